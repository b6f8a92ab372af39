//! `make bench-jobs`: the queue beside bare sockets and stock Celery, in the same run, on the same Redis.

use std::{
    collections::HashMap,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bench::{
    Better, Report, floor, parts,
    process::{bind, cpu_seconds, resident_mb},
    quantile,
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{
    child::{Child, Spec},
    mesh::{Mesh, Options, own_redis},
    speech::hosted,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use voice_jobs::{Consumer, ConsumerConfig, Handler, Job, JobFailure, Jobs, NewJob, Progress, ProgressSink};

const TASK: &str = "noop";
const ROUNDS: usize = 3;
const TRIPS: usize = 300;
const FLIGHT: usize = 64;
const MANY: usize = 10_000;
const CELERY_MANY: usize = 1_000;
const KILLS: usize = 100;
const LANES: usize = 4;
const WATCHED: usize = 2_000;
const INTERVAL: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(30);

/// Takes as long as it is told; one that takes time says when it has passed.
struct Provider(Duration);

impl Handler for Provider {
    fn run(
        &self,
        _: Job,
        progress: ProgressSink,
        _: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<Value, JobFailure>> + Send>> {
        let pause = self.0;
        Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
                let text = Timestamp::now().as_microsecond().to_string();
                progress.emit(Progress::ReplyDelta { text }).await;
            }
            Ok(json!({ "llm_response": "ok", "user_transcript": "x" }))
        })
    }
}

fn main() -> anyhow::Result<()> {
    voice_server::runtime::run(run_all())
}

async fn run_all() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["worker", url, queue, concurrency, millis] => {
            return work(url, queue, concurrency.parse()?, Duration::from_millis(millis.parse()?)).await;
        }
        ["floor-worker", address] => {
            println!("{}", json!({ "worker": "ready" }));
            return floor::work(address);
        }
        ["floor-publisher", address] => {
            println!("{}", json!({ "publisher": "ready" }));
            return floor::publish(address, WATCHED, INTERVAL).await;
        }
        _ => {}
    }
    let folder = tempfile::tempdir()?;
    let (mut redis, url) = own_redis(folder.path()).await?;
    let bench = Bench { url, folder, redis: redis.pid().context("redis is gone")? };
    let mut report = Report::default();
    let wants = parts(&args, &["trips", "watching", "scaling", "kills", "memory"])?;
    if wants("trips") {
        trips_and_throughput(&bench, &mut report).await?;
    }
    if wants("watching") {
        watching(&bench, &mut report).await?;
    }
    if wants("scaling") {
        scaling(&bench, &mut report).await?;
    }
    if wants("kills") {
        kills(&bench, &mut report).await?;
    }
    redis.kill().await?;
    if wants("memory") {
        memory(&mut report).await?;
    }
    report.finish("jobs")
}

async fn work(url: &str, queue: &str, concurrency: usize, pause: Duration) -> anyhow::Result<()> {
    let jobs = Jobs::connect(&url.to_owned().into(), queue)?;
    let worker_name = format!("bench-{}@here", std::process::id());
    let consumer = Consumer::new(jobs, ConsumerConfig { worker_name, concurrency, tasks: vec![TASK] });
    println!("{}", json!({ "worker": "ready" }));
    // On the runtime's own threads, where services do their work: the one that waits in `main` is slow to wake.
    let consuming = consumer.run(Arc::new(Provider(pause)), CancellationToken::new(), Duration::ZERO);
    Ok(TaskTracker::new().spawn(consuming).await?)
}

struct Bench {
    url: String,
    folder: tempfile::TempDir,
    redis: u32,
}

impl Bench {
    fn jobs(&self, queue: &str) -> anyhow::Result<Jobs> {
        Ok(Jobs::connect(&self.url.clone().into(), queue)?)
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("redis://").trim_end_matches("/0")
    }

    /// Gives Redis these cores, and this process and a worker those.
    async fn bind(&self, worker: &Child, [redis, others]: [&str; 2]) -> anyhow::Result<()> {
        bind(self.redis, redis).await?;
        for pid in [std::process::id(), worker.pid().context("the worker is gone")?] {
            bind(pid, others).await?;
        }
        Ok(())
    }

    async fn worker(&self, queue: &str, concurrency: usize, pause: Duration) -> anyhow::Result<Child> {
        self.child(&["worker", &self.url, queue, &concurrency.to_string(), &pause.as_millis().to_string()])
            .await
    }

    /// This program in a process of its own.
    async fn child(&self, args: &[&str]) -> anyhow::Result<Child> {
        let program = std::env::current_exe()?;
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let spec = Spec {
            name: &args[0],
            program: &program,
            args: &args,
            env: &[],
            folder: self.folder.path(),
            announces: true,
        };
        Child::start(spec).await
    }
}

/// Where Redis and those who ask it run during round trips: apart, as on two machines, so that every message wakes a core,
/// and all on one core, where nothing is waited for but work. Left to the kernel it is the one in one run and the other
/// in the next, for the bare processes and for ours by themselves.
const PLACES: [(&str, &str, [&str; 2]); 2] =
    [("floor", "ours", ["1", "0"]), ("floor_on_one_core", "ours_on_one_core", ["0", "0"])];
/// All cores.
const ANYWHERE: [&str; 2] = ["0-1", "0-1"];

/// Runs a job to its end; gives how long it took, in milliseconds.
async fn run(jobs: &Jobs) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut events = Box::pin(jobs.run(jobs.job(TASK)));
    let end = async {
        while let Some(event) = events.next().await {
            if matches!(event?.event, Progress::Completed { .. }) {
                return Ok(begun.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        anyhow::bail!("the job has no end")
    };
    tokio::time::timeout(LIMIT, end).await.context("a job was lost")?
}

struct Celery {
    p50_ms: f64,
    jobs_per_s: f64,
    cpu_ms: f64,
}

async fn celery(bench: &Bench) -> anyhow::Result<Celery> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = |program: &str| {
        let mut command = Command::new(root.join("../.venv/bin").join(program));
        command.current_dir(root.join("celery")).env("REDIS_URL", &bench.url).kill_on_drop(true);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut worker = python("celery")
        .args(["-A", "noop", "worker", "--pool", "prefork", "-c", "2", "--loglevel", "error"])
        .stdout(Stdio::null())
        .spawn()
        .context("stock celery is not installed: run `make setup`")?;
    let mut producer = python("python")
        .args(["noop.py", &TRIPS.to_string(), &CELERY_MANY.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(producer.stdout.take().context("piped above")?).lines();
    ensure!(lines.next_line().await?.as_deref() == Some("ready"), "the celery producer failed");
    let pid = worker.id().context("celery is gone")?;
    let before = cpu_seconds(pid) + cpu_seconds(bench.redis);
    producer.stdin.take().context("piped above")?.write_all(b"\n").await?;
    let said: Value = serde_json::from_str(&lines.next_line().await?.context("celery said nothing")?)?;
    let spent =
        cpu_seconds(pid) + cpu_seconds(bench.redis) - before + said["cpu_s"].as_f64().unwrap_or_default();
    // A prefork worker ends its children itself when it is asked politely.
    let _ = Command::new("kill").arg(pid.to_string()).status().await;
    let _ = tokio::time::timeout(Duration::from_secs(10), worker.wait()).await;
    Ok(Celery {
        p50_ms: said["p50_ms"].as_f64().unwrap_or_default(),
        jobs_per_s: said["jobs_per_s"].as_f64().unwrap_or_default(),
        cpu_ms: spent * 1_000.0 / CELERY_MANY as f64,
    })
}

/// Floor, ours and Celery, round after round; medians of the rounds.
async fn trips_and_throughput(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut samples: HashMap<&str, Vec<f64>> = HashMap::new();
    let mut keep = |name, value| samples.entry(name).or_default().push(value);
    // A message of the queue's own, for the floor to carry.
    let jobs = bench.jobs("sample")?;
    jobs.enqueue(&jobs.job(TASK)).await?;
    let message = floor::waiting(bench.address(), "sample")?;
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}: bare sockets, ours, celery");
        for (floor, ours, cores) in PLACES {
            let (address, message) = (bench.address().to_owned(), message.clone());
            let worker = bench.child(&["floor-worker", &address]).await?;
            bench.bind(&worker, cores).await?;
            let trips = tokio::task::spawn_blocking(move || floor::round_trips(&address, &message, TRIPS));
            keep(floor, quantile(&trips.await??, 0.5));
            drop(worker);
            let producer = bench.jobs(ours)?;
            let worker = bench.worker(ours, FLIGHT, Duration::ZERO).await?;
            bench.bind(&worker, cores).await?;
            let trips = TaskTracker::new().spawn(async move {
                let mut trips = Vec::new();
                for _ in 0..TRIPS {
                    trips.push(run(&producer).await?);
                }
                anyhow::Ok(trips)
            });
            keep(ours, quantile(&trips.await??, 0.5));
            bench.bind(&worker, ANYWHERE).await?;
        }
        let jobs = bench.jobs("noop")?;
        let worker = bench.worker("noop", FLIGHT, Duration::ZERO).await?;
        run(&jobs).await?;
        // Producer, worker and Redis: this process and its children.
        let cpu = cpu_seconds(std::process::id());
        let begun = Instant::now();
        let (mut flying, mut left) = (FuturesUnordered::new(), MANY);
        while left > 0 || !flying.is_empty() {
            while left > 0 && flying.len() < FLIGHT {
                flying.push(run(&jobs));
                left -= 1;
            }
            if let Some(done) = flying.next().await {
                done?;
            }
        }
        keep("ours_jobs_per_s", MANY as f64 / begun.elapsed().as_secs_f64());
        let spent = cpu_seconds(std::process::id()) - cpu;
        keep("ours_cpu_ms", spent * 1_000.0 / MANY as f64);
        drop(worker);
        let Celery { p50_ms, jobs_per_s, cpu_ms } = celery(bench).await?;
        keep("celery", p50_ms);
        keep("celery_jobs_per_s", jobs_per_s);
        keep("celery_cpu_ms", cpu_ms);
    }
    let of = |name: &str| quantile(&samples[name], 0.5);
    report.figure("round_trip_p50_over_floor", of("ours") / of("floor"), "x", 2.0, Better::Lower);
    report.figure("round_trip_p50_celery_over_ours", of("celery") / of("ours"), "x", 10.0, Better::Higher);
    let throughput = of("ours_jobs_per_s") / of("celery_jobs_per_s");
    report.figure("throughput_ours_over_celery", throughput, "x", 10.0, Better::Higher);
    let cpu = of("celery_cpu_ms") / of("ours_cpu_ms");
    report.figure("cpu_per_job_celery_over_ours", cpu, "x", 10.0, Better::Higher);
    report.peer("round_trip_p50_over_floor_on_one_core", of("ours_on_one_core") / of("floor_on_one_core"));
    report.peer("round_trip_p50_ms_floor", of("floor"));
    report.peer("round_trip_p50_ms_ours", of("ours"));
    report.peer("round_trip_p50_ms_celery", of("celery"));
    report.peer("jobs_per_s_ours", of("ours_jobs_per_s"));
    report.peer("jobs_per_s_celery", of("celery_jobs_per_s"));
    report.peer("cpu_ms_per_job_ours", of("ours_cpu_ms"));
    report.peer("cpu_ms_per_job_celery", of("celery_cpu_ms"));
    Ok(())
}

/// From an event's writing to its arrival, at 500 jobs a second; bare publications at the same pace.
async fn watching(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    println!("watching at 500 jobs a second");
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    let jobs = bench.jobs("watched")?;
    let _worker = bench.worker("watched", 256, Duration::from_millis(20)).await?;
    run(&jobs).await?;
    for _ in 0..ROUNDS {
        let listener = floor::Listener::begin(bench.address())?;
        let publisher = bench.child(&["floor-publisher", bench.address()]).await?;
        let all = tokio::task::spawn_blocking(move || listener.hear(WATCHED));
        floors.push(quantile(&all.await??, 0.99));
        drop(publisher);
        let mut watchers = JoinSet::new();
        let mut ticks = tokio::time::interval(INTERVAL);
        for _ in 0..WATCHED {
            ticks.tick().await;
            let jobs = jobs.clone();
            watchers.spawn(async move {
                let mut latencies = Vec::new();
                let mut events = Box::pin(jobs.run(jobs.job(TASK)));
                while let Some(Ok(event)) = events.next().await {
                    if let Progress::ReplyDelta { text } = event.event {
                        let late =
                            Timestamp::now().as_microsecond() - text.parse::<i64>().unwrap_or_default();
                        latencies.push(late as f64 / 1_000.0);
                    }
                }
                latencies
            });
        }
        let all: Vec<f64> = watchers.join_all().await.into_iter().flatten().collect();
        ensure!(all.len() == WATCHED, "{} events of {WATCHED}", all.len());
        ours.push(quantile(&all, 0.99));
    }
    let (floor, ours) = (quantile(&floors, 0.5), quantile(&ours, 0.5));
    report.figure("watch_p99_over_floor", ours / floor, "x", 2.0, Better::Lower);
    report.peer("watch_p99_ms_floor", floor);
    report.peer("watch_p99_ms_ours", ours);
    Ok(())
}

/// Four workers beside one, with providers that take half a second.
async fn scaling(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const EACH: usize = 16;
    const BATCHES: usize = 6;
    let mut rates = Vec::new();
    for count in [1, 4] {
        println!("{count} workers with slow providers");
        let queue = format!("slow{count}");
        let jobs = bench.jobs(&queue)?;
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(bench.worker(&queue, EACH, Duration::from_millis(500)).await?);
        }
        run(&jobs).await?;
        let total = EACH * BATCHES * count;
        let begun = Instant::now();
        let all: FuturesUnordered<_> = (0..total).map(|_| run(&jobs)).collect();
        for done in all.collect::<Vec<_>>().await {
            done?;
        }
        rates.push(total as f64 / begun.elapsed().as_secs_f64());
    }
    report.figure("throughput_4_workers_over_1", rates[1] / rates[0], "x", 3.8, Better::Higher);
    Ok(())
}

/// Kills workers in mid-job; counts what became of the jobs.
async fn kills(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let lanes = (0..LANES).map(|lane| kill_lane(bench, lane));
    let outcomes = futures::future::try_join_all(lanes).await?;
    let all: Vec<&Killed> = outcomes.iter().flatten().collect();
    let slowest = all.iter().filter_map(|killed| killed.elsewhere).max().unwrap_or_default();
    report.figure("redelivery_max_s", slowest.as_secs_f64(), "s", 1.5, Better::Lower);
    let lost = all.iter().filter(|killed| killed.completions == 0).count();
    report.figure("jobs_lost", lost as f64, "", 0.0, Better::Lower);
    let twice = all.iter().filter(|killed| killed.completions > 1).count();
    report.figure("jobs_completed_twice", twice as f64, "", 0.0, Better::Lower);
    report.peer("kills", all.len());
    Ok(())
}

struct Killed {
    /// From the kill to the start elsewhere.
    elsewhere: Option<Duration>,
    completions: usize,
}

async fn kill_lane(bench: &Bench, lane: usize) -> anyhow::Result<Vec<Killed>> {
    let queue = format!("kills{lane}");
    let jobs = bench.jobs(&queue)?;
    let pause = Duration::from_millis(200);
    let mut workers = HashMap::new();
    let mut outcomes = Vec::new();
    for n in 0..KILLS / LANES {
        while workers.len() < 2 {
            let worker = bench.worker(&queue, 8, pause).await?;
            workers.insert(worker.pid().context("it died")?, worker);
        }
        if lane == 0 {
            println!("kill {} of {KILLS}", n * LANES + 1);
        }
        let new = jobs.job(TASK);
        let mut events = Box::pin(jobs.run(new.clone()));
        let (mut killed_at, mut outcome) = (None, Killed { elsewhere: None, completions: 0 });
        let follow = async {
            while let Some(event) = events.next().await {
                match event?.event {
                    Progress::Started { worker } if killed_at.is_none() => {
                        let pid = worker.trim_start_matches("bench-").split('@').next().unwrap_or_default();
                        let mut victim = workers.remove(&pid.parse()?).context("an unknown worker")?;
                        victim.kill().await?;
                        killed_at = Some(Instant::now());
                    }
                    Progress::Started { .. } => outcome.elsewhere = killed_at.map(|at| at.elapsed()),
                    _ => {}
                }
            }
            anyhow::Ok(())
        };
        let _ = tokio::time::timeout(LIMIT, follow).await;
        // What was written after the end would show in the stream.
        let again = jobs.watch(&new.id, 0).take_until(tokio::time::sleep(Duration::from_millis(50)));
        let all: Vec<_> = again.collect().await;
        let is_end = |event: &&Result<voice_jobs::ProgressEvent, _>| matches!(event, Ok(event) if matches!(event.event, Progress::Completed { .. }));
        outcome.completions = all.iter().filter(is_end).count();
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// The real worker with a thousand jobs that wait for their provider.
async fn memory(report: &mut Report) -> anyhow::Result<()> {
    println!("a thousand waiting jobs");
    // Over TLS and HTTP/2, as the real provider is asked.
    let options = Options { is_groq_encrypted: true, ..Options::default() };
    let mut mesh = Mesh::start(options.with("WORKER_CONCURRENCY", 1_000)).await?;
    mesh.groq.faults(json!({ "stt": { "kind": "hang" } })).await?;
    let jobs = Jobs::connect(&mesh.env("REDIS_URL").into(), &mesh.env("JOB_QUEUE"))?;
    let pid = mesh.child("worker").pid().context("the worker is gone")?;
    let idle = resident_mb(pid);
    let mut tasks = JoinSet::new();
    let url = hosted(recording(), &mut tasks).await?;
    for _ in 0..1_000 {
        let args = vec!["call".into(), url.clone().into(), json!([])];
        jobs.enqueue(&NewJob { args, ..NewJob::new("get_llm_response_task") }).await?;
    }
    let (mut most, mut in_hand) = (0.0_f64, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        most = most.max(resident_mb(pid));
        in_hand = in_hand.max(jobs.stats().await?.in_hand);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(in_hand >= 990, "only {in_hand} jobs were in hand at once");
    report.figure("worker_mb_1000_waiting", most, "MB", 40.0, Better::Lower);
    report.peer("worker_mb_idle", idle);
    Ok(())
}

/// A second of speech-like sound.
fn recording() -> Vec<u8> {
    let voice = |n: usize| 0.3 * (n as f32 * 0.4).sin();
    let samples = (0..8_000).map(voice).collect();
    voice_audio::wav::write_pcm16(&voice_audio::Audio { samples, sample_rate_hertz: 8_000 })
}
