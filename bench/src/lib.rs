//! What every benchmark needs: a table for people, JSON for machines, and the numbers in between.

pub mod calls;
pub mod floor;
pub mod process;
pub mod rpc;
pub mod speech;

use std::{fs, path::PathBuf};

use serde::Serialize;

/// The parts of a benchmark that were asked for, or all of them.
///
/// # Errors
/// When one is asked for that there is not.
pub fn parts<'a>(args: &'a [&'a str], known: &'a [&'a str]) -> anyhow::Result<impl Fn(&str) -> bool + 'a> {
    for part in args {
        anyhow::ensure!(known.contains(part), "{part} is none of the parts: {}", known.join(", "));
    }
    Ok(|part: &str| args.is_empty() || args.contains(&part))
}

/// Which way a figure should go.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The less, the better.
    Lower,
    /// The more, the better.
    Higher,
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Stable name.
    pub name: &'static str,
    /// What was measured.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What is to be reached.
    pub target: f64,
    /// Which way it should go.
    pub better: Better,
}

/// All figures of one benchmark.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    figures: Vec<Figure>,
    peers: serde_json::Map<String, serde_json::Value>,
    machine: serde_json::Map<String, serde_json::Value>,
}

impl Report {
    /// Adds a figure.
    pub fn figure(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        target: f64,
        better: Better,
    ) {
        self.figures.push(Figure { name, value, unit, target, better });
    }

    /// Adds what was measured beside it in the same run.
    pub fn peer(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.peers.insert(name.to_owned(), value.into());
    }

    /// Prints the table and writes `target/bench/<name>.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self, name: &str) -> anyhow::Result<()> {
        println!("\n{:<28} {:>10} {:<6} {:>10}", "figure", "measured", "", "target");
        for figure in &self.figures {
            let (sign, is_met) = match figure.better {
                Better::Lower => ("<=", figure.value <= figure.target),
                Better::Higher => (">=", figure.value >= figure.target),
            };
            let verdict = if is_met { "" } else { "  MISSED" };
            println!(
                "{:<28} {:>10.1} {:<6} {sign} {:>7.1}{verdict}",
                figure.name, figure.value, figure.unit, figure.target
            );
        }
        for (name, value) in &self.peers {
            println!("  {name}: {value}");
        }
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, m)| m);
        self.machine.insert("cpu".into(), model.unwrap_or("unknown").into());
        // This process may be bound to one of them.
        let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
        self.machine.insert("cores".into(), cores.into());
        self.machine.insert("load_1m".into(), load().into());
        let folder = PathBuf::from("target/bench");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.json"));
        fs::write(&path, serde_json::to_vec_pretty(&self)?)?;
        println!("written to {}", path.display());
        Ok(())
    }
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The value that a share `quantile` of the samples does not exceed.
pub fn quantile(samples: &[f64], quantile: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 - 1.0) * quantile).round().max(0.0) as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
