//! `make soak`: a thousand silent calls held for minutes, then ten thousand short ones. What they took has to be given back:
//! memory, open files, tasks and Redis keys are as they were. `make soak SIZE="1 100 1000"` is shorter:
//! minutes, calls held, short calls.

use std::{
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bench::{
    calls::{
        caller::{Outcome, call},
        load::{Held, plan},
    },
    process::resident_mb,
};
use tests::{
    mesh::{Mesh, Options, SERVICES, metrics},
    redis::Probe,
};
use tokio::task::JoinSet;

/// Short calls at the same time.
const AT_ONCE: usize = 50;
/// How long a short call lasts.
const SHORT: Duration = Duration::from_millis(1_500);
/// Between two calls that begin.
const STAGGER: Duration = Duration::from_millis(10);
/// Allocators keep some of what they once had, and recent calls are remembered for whoever asks for them.
const MOST_GROWTH_MB: f64 = 64.0;
/// Pools keep some connections, and each has tasks of its own.
const MOST_FILES: usize = 16;
const MOST_TASKS: usize = 32;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let given: Vec<u64> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let [minutes, held, short] = match given.as_slice() {
        [] => [10, 1_000, 10_000],
        [minutes, held, short] => [*minutes, *held, *short],
        _ => anyhow::bail!("give minutes, calls held and short calls, or nothing"),
    };
    let groq_args = ["--stt", "canned=yes", "--tts", "canned"].map(str::to_owned).to_vec();
    let options = Options { groq_args, ..Options::default() };
    // Silent callers are not asked whether they are still there.
    let folder = tempfile::tempdir()?;
    let assistants = folder.path().join("assistants.toml");
    fs::write(&assistants, "[default]\nno_input_seconds = 3600\n")?;
    let options = options.with("CALL_AUDIO", "stream").with("MAX_CALLS", 2_000).with("RUST_LOG", "warn");
    let options = options.with("ASSISTANTS_FILE", assistants.display());
    let mut mesh = Mesh::start(options).await?;
    let mut redis = Probe::connect(&mesh.env("REDIS_URL")).await?;
    // Whatever is made once is made now.
    shorts(&mesh, AT_ONCE * 4).await?;
    let rested = Footprint::of(&mut mesh, &mut redis).await?;
    println!("before: {rested:?}");
    hold(&mesh, held, Duration::from_mins(minutes)).await?;
    let after_held = Footprint::at_rest(&mut mesh, &mut redis, &rested).await?;
    println!("after {held} calls of {minutes} minutes: {after_held:?}");
    shorts(&mesh, usize::try_from(short)?).await?;
    let after_short = Footprint::at_rest(&mut mesh, &mut redis, &rested).await?;
    println!("after {short} short calls: {after_short:?}");
    for after in [&after_held, &after_short] {
        ensure!(after.is_like(&rested), "not everything was given back: {after:?}, before {rested:?}");
    }
    println!("everything was given back");
    Ok(())
}

async fn hold(mesh: &Mesh, held: u64, lasts: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + STAGGER * u32::try_from(held)? + lasts;
    let mut calls = JoinSet::new();
    for seed in 0..u32::try_from(held)? {
        calls.spawn(call(plan(mesh, seed, Held { utterance: None, from: until, until })));
        tokio::time::sleep(STAGGER).await;
    }
    let mut broken = 0;
    while !calls.is_empty() {
        let progress = tokio::time::timeout(Duration::from_secs(10), calls.join_next()).await;
        if let Ok(Some(ended)) = progress {
            broken += usize::from(ended?.is_err());
        }
        print!(
            "\r{} calls are held, {broken} broke, {} s left   ",
            calls.len(),
            until.saturating_duration_since(Instant::now()).as_secs()
        );
        std::io::stdout().flush()?;
    }
    println!();
    ensure!(broken == 0, "{broken} of {held} calls broke");
    Ok(())
}

async fn shorts(mesh: &Mesh, count: usize) -> anyhow::Result<()> {
    let mut calls: JoinSet<anyhow::Result<Outcome>> = JoinSet::new();
    let mut broken = 0;
    for n in 0..count {
        if calls.len() >= AT_ONCE
            && let Some(ended) = calls.join_next().await
        {
            broken += usize::from(ended?.is_err());
        }
        let until = Instant::now() + SHORT;
        calls.spawn(call(plan(mesh, u32::try_from(n)?, Held { utterance: None, from: until, until })));
        if n % 100 == 0 {
            print!("\r{n} of {count} short calls, {broken} broke");
            std::io::stdout().flush()?;
        }
    }
    while let Some(ended) = calls.join_next().await {
        broken += usize::from(ended?.is_err());
    }
    println!("\r{count} of {count} short calls, {broken} broke");
    ensure!(broken == 0, "{broken} of {count} short calls broke");
    Ok(())
}

/// What is held.
#[derive(Clone, Debug)]
struct Footprint {
    memory_mb: f64,
    files: usize,
    tasks: usize,
    keys: i64,
}

impl Footprint {
    async fn of(mesh: &mut Mesh, redis: &mut Probe) -> anyhow::Result<Self> {
        let keys = redis.ask(&["DBSIZE"]).await?.number();
        let mut footprint = Self { memory_mb: 0.0, files: 0, tasks: 0, keys };
        for service in SERVICES {
            let pid = mesh.child(service).pid().with_context(|| format!("{service} is gone"))?;
            footprint.memory_mb += resident_mb(pid);
            footprint.files += fs::read_dir(format!("/proc/{pid}/fd"))?.count();
            footprint.tasks += tasks(&metrics(&mesh.address(service)).await?)
                .with_context(|| format!("{service} does not count its tasks"))?;
        }
        Ok(footprint)
    }

    /// What is held once it is like before, or after a minute.
    async fn at_rest(mesh: &mut Mesh, redis: &mut Probe, before: &Self) -> anyhow::Result<Self> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let now = Self::of(mesh, redis).await?;
            if now.is_like(before) || Instant::now() > deadline {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn is_like(&self, before: &Self) -> bool {
        self.memory_mb <= before.memory_mb + MOST_GROWTH_MB
            && self.files <= before.files + MOST_FILES
            && self.tasks <= before.tasks + MOST_TASKS
            && self.keys <= before.keys
    }
}

fn tasks(metrics: &str) -> Option<usize> {
    let line = metrics.lines().find(|line| line.starts_with("tokio_tasks{"))?;
    line.split_whitespace().last()?.parse().ok()
}
