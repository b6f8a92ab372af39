//! Times of day.

use super::{
    Cursor, Said,
    numbers::{cardinal, range},
};

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time<'a> {
    hour: u8,
    minute: &'a str,
    half: Option<&'static str>,
}

fn half(text: &str) -> Option<&'static str> {
    match text {
        "am" | "AM" | "a.m" | "A.M" | "Am" => Some("a.m."),
        "pm" | "PM" | "p.m" | "P.M" | "Pm" => Some("p.m."),
        _ => None,
    }
}

impl<'a> Time<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
        let (figures, rest) = text.split_at(end);
        let half = if rest.is_empty() { None } else { Some(half(rest)?) };
        let (hour, minute) = figures.split_once([':', '.']).unwrap_or((figures, ""));
        let is_dotted = figures.contains('.');
        let value = |text: &str, most: u8| {
            let value = text.parse::<u8>().ok().filter(|value| *value <= most);
            value.filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        };
        if hour.len() > 2
            || !minute.is_empty() && (minute.len() != 2 || value(minute, 59).is_none())
            || figures.ends_with([':', '.'])
        {
            return None;
        }
        let hour = value(hour, 23)?;
        if half.is_some() && !(1..=12).contains(&hour)
            || is_dotted && half.is_none() && rest.is_empty() && minute.is_empty()
        {
            return None;
        }
        Some(Self { hour, minute, half })
    }

    fn say(self) -> String {
        let half = self.half.or(match self.hour {
            0 if !self.minute.is_empty() => Some("a.m."),
            13.. if !self.minute.is_empty() => Some("p.m."),
            _ => None,
        });
        let hour = match self.hour % 12 {
            _ if self.half.is_none() && self.minute.is_empty() => self.hour,
            0 => 12,
            hour => hour,
        };
        let hour = cardinal(&hour.to_string());
        let said = match (self.minute, half) {
            ("", _) | ("00", Some(_)) => hour,
            ("00", None) => format!("{hour} o'clock"),
            (minute, _) if minute.starts_with('0') => format!("{hour} oh {}", cardinal(minute)),
            (minute, _) => format!("{hour} {}", cardinal(minute)),
        };
        match half {
            Some(half) => format!("{said} {half}"),
            None => said,
        }
    }

    /// Whether nothing but a time looks like this.
    fn is_sure(self, text: &str) -> bool {
        self.half.is_some() || !self.minute.is_empty() && text.contains(':')
    }
}

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    if core.len() > 24 || !core.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let behind = cursor.core(1).and_then(half);
    let said = |count, text: String| Some(Said::short(count, text));
    if let Some((from, to)) = range(core) {
        let (first, mut second) = (Time::parse(from)?, Time::parse(to)?);
        let is_sure = behind.is_some() || first.is_sure(from) || second.is_sure(to);
        second.half = second.half.or(behind);
        let is_half_known = second.half.is_none() || (1..=12).contains(&second.hour);
        return if is_sure && is_half_known {
            said(1 + usize::from(behind.is_some()), format!("{} to {}", first.say(), second.say()))
        } else {
            None
        };
    }
    // A length of time, or a time with its seconds.
    if let Some(((first, second), third)) =
        core.rsplit_once(':').and_then(|(rest, third)| Some((rest.split_once(':')?, third)))
    {
        let is_two = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        if is_two(second) && is_two(third) {
            let seconds =
                if third == "00" { String::new() } else { format!(" and {} seconds", cardinal(third)) };
            if first.len() == 1 {
                let hours =
                    if first == "1" { "one hour".into() } else { format!("{} hours", cardinal(first)) };
                return said(1, format!("{hours} {} minutes{seconds}", cardinal(second)));
            }
            let time = Time::parse(&core[..first.len() + 3])?;
            return said(1, format!("{}{seconds}", time.say()));
        }
        return None;
    }
    let Some(mut time) = Time::parse(core) else { return ratio(core) };
    if let Some(half) = behind.filter(|_| time.half.is_none() && (1..=12).contains(&time.hour)) {
        // "am" is a verb unless a time stands before it.
        time.half = Some(half);
        return said(2, time.say());
    }
    if time.is_sure(core) { said(1, time.say()) } else { None }
}

/// `3:1` is "three to one".
fn ratio(core: &str) -> Option<Said> {
    let (left, right) = core.split_once(':')?;
    let is_number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(left) && is_number(right))
        .then(|| Said::new(1, format!("{} to {}", cardinal(left), cardinal(right))))
}
