//! What processes cost, from `/proc`, and where they run.

use std::{fs, process::Stdio};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Lets a process run on these cores alone.
///
/// # Errors
/// When there are no such cores.
pub async fn bind(pid: u32, cores: &str) -> anyhow::Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["-acp", cores, &pid.to_string()]).stdout(Stdio::null());
    ensure!(
        taskset.status().await.context("taskset")?.success(),
        "a process cannot be bound to core {cores}"
    );
    Ok(())
}

/// Seconds of CPU of a process and of all its descendants, dead ones that were waited for included.
pub fn cpu_seconds(pid: u32) -> f64 {
    let all = stats();
    let mut family = vec![pid];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid));
        at += 1;
    }
    let ticks: u64 = all.iter().filter(|stat| family.contains(&stat.pid)).map(|stat| stat.ticks).sum();
    ticks as f64 / 100.0
}

/// Seconds of CPU of this process alone.
pub fn own_cpu_seconds() -> f64 {
    read(std::process::id()).map_or(0.0, |stat| stat.ticks as f64 / 100.0)
}

/// Resident memory of a process, in megabytes.
pub fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 =
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kilobytes / 1_024.0
}

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn stats() -> Vec<Stat> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = [11, 12, 13, 14].iter().map(|at| fields[*at].parse::<u64>().unwrap_or(0)).sum();
    Some(Stat { pid, parent: fields[1].parse().ok()?, ticks })
}
