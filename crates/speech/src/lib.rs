//! tmp
use std::time::Duration;
#[derive(Debug)]
pub struct ClauseSplitter(String);
#[derive(Debug, Clone)]
pub struct Clause {
    pub text: String,
    pub span: std::ops::Range<usize>,
}
impl ClauseSplitter {
    pub fn new(_m: usize) -> Self {
        Self(String::new())
    }
    pub fn push(&mut self, d: &str) -> Vec<Clause> {
        let mut v = vec![];
        for c in d.chars() {
            self.0.push(c);
            if c == '.' || c == ',' {
                v.push(Clause { text: std::mem::take(&mut self.0).trim().to_owned(), span: 0..0 });
            }
        }
        v
    }
    pub fn finish(self) -> Vec<Clause> {
        if self.0.trim().is_empty() {
            vec![]
        } else {
            vec![Clause { text: self.0.trim().to_owned(), span: 0..0 }]
        }
    }
}
pub fn heard(c: &[(&str, Duration)], p: Duration) -> String {
    let mut left = p;
    let mut o = String::new();
    for (t, d) in c {
        if left >= *d {
            o.push_str(t);
            o.push(' ');
            left -= *d;
        } else {
            let ws: Vec<&str> = t.split_whitespace().collect();
            let n = (ws.len() as f64 * left.as_secs_f64() / d.as_secs_f64()) as usize;
            o.push_str(&ws[..n].join(" "));
            break;
        }
    }
    o.trim().to_owned()
}
