//! Thousands of jobs, watchers that come and go, lines that break: afterwards everything is as it was. By hand, for
//! longer: `SOAK_JOBS=100000 cargo test --workspace scenarios::soak`.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::StreamExt as _;
use prost_types::Timestamp;
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};
use voice_proto::worker::v1::{
    CancelJobRequest, CreateJobRequest, WatchJobRequest, job_event::Event as JobEvent,
    worker_service_client::WorkerServiceClient,
};

use super::*;
use crate::{
    mesh::{eventually, own_redis},
    redis::Probe,
    speech::{hosted, spoken, target_folder},
    wire::Wire,
};

/// Jobs of one round, before which the lines break.
const ROUND: usize = 500;

/// Jobs that are watched at the same time.
const AT_ONCE: usize = 32;

/// One job in so many is a whole turn; the others are too late, which costs the queue the same and the provider nothing.
const WHOLE: usize = 16;

/// How often a mesh is looked at that rests, and for how long it must have done so.
const RESTS: usize = 5;
const REST: Duration = Duration::from_millis(500);

/// A pool has as many connections as were needed at one moment; what leaks grows with the jobs, of which there are thousands.
const POOLED: usize = 12;

/// Allocators keep some of what they once had.
const MOST_GROWTH_MB: f64 = 24.0;

type Worker = WorkerServiceClient<Channel>;

struct Soak {
    mesh: Mesh,
    wires: [Wire; 2],
    probe: Probe,
    worker: Worker,
    recording: String,
    made: AtomicUsize,
}

/// What is held open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Footprint {
    connections: usize,
    channels: BTreeSet<String>,
    patterns: i64,
    /// Open files of worker and relay, but for those to providers.
    files: [usize; 2],
}

impl Footprint {
    /// Whichever is more of each; the channels are those of the other.
    fn or_more(self, other: Self) -> Self {
        Self {
            connections: self.connections.max(other.connections),
            patterns: self.patterns.max(other.patterns),
            files: [0, 1].map(|n| self.files[n].max(other.files[n])),
            channels: other.channels,
        }
    }
}

impl Soak {
    /// Every line breaks, and then there is a round of jobs and a call.
    async fn round(&mut self) {
        self.break_lines();
        let jobs = (0..ROUND).map(|_| self.made.fetch_add(1, Ordering::Relaxed));
        let jobs = futures::stream::iter(jobs.map(|n| self.job(n))).buffer_unordered(AT_ONCE).collect::<()>();
        let call = async {
            let (caller, mut watch) = greeted(&self.mesh).await;
            caller.say(QUESTION).await.unwrap();
            watch.until(LIMIT, thinking).await.unwrap();
            caller.hang_up().await.unwrap();
            watch.to_end(LIMIT).await.unwrap();
        };
        tokio::join!(jobs, call);
    }

    /// One job, and somebody who watches it to its end, for a while, or until he cancels it.
    async fn job(&self, n: usize) {
        let job_id = format!("soak-{n}");
        let is_whole = n.is_multiple_of(WHOLE);
        let request = CreateJobRequest {
            job_id: job_id.clone(),
            recording_uri: self.recording.clone(),
            expire_time: (!is_whole).then_some(Timestamp { seconds: 1, nanos: 0 }),
            ..CreateJobRequest::default()
        };
        self.patiently(async |worker| worker.create_job(request.clone()).await).await;
        let watch = WatchJobRequest { job_id: job_id.clone(), after_sequence: 0 };
        let open = async || self.patiently(async |worker| worker.watch_job(watch.clone()).await).await;
        let (mut events, mut others) = (open().await, open().await);
        let first = tokio::time::timeout(LIMIT, others.message()).await.unwrap().unwrap();
        assert!(first.is_some(), "{job_id}");
        drop(others);
        if n % (2 * WHOLE) == WHOLE {
            self.patiently(async |worker| {
                worker.cancel_job(CancelJobRequest { job_id: job_id.clone() }).await
            })
            .await;
        }
        let mut last = None;
        while let Some(event) = tokio::time::timeout(LIMIT, events.message()).await.unwrap().unwrap() {
            last = event.event.unwrap().event;
        }
        let is_over = matches!(last, Some(JobEvent::Completed(_) | JobEvent::Cancelled(_)));
        assert!(is_over, "{job_id}: {last:?}");
    }

    /// Asks again while the line to Redis is broken.
    async fn patiently<T>(
        &self,
        ask: impl AsyncFn(&mut Worker) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> T {
        let asked = eventually(LIMIT, "the queue", async || match ask(&mut self.worker.clone()).await {
            Ok(answer) => Some(answer.into_inner()),
            Err(status) if status.code() == Code::Unavailable => None,
            Err(status) => panic!("{status}"),
        });
        asked.await.unwrap()
    }

    /// What is held open once every line has been made anew.
    async fn footprint(&mut self) -> Footprint {
        let besides = [port_of(&self.mesh.env("GROQ_BASE_URL")), port_of(&self.recording)];
        let clients = self.probe.ask(&["CLIENT", "LIST"]).await.unwrap().texts().concat();
        let channels = self.probe.ask(&["PUBSUB", "CHANNELS"]).await.unwrap().texts();
        let patterns = self.probe.ask(&["PUBSUB", "NUMPAT"]).await.unwrap().number();
        let files = ["worker", "relay"].map(|name| open_files(self.mesh.child(name).pid().unwrap(), besides));
        Footprint {
            connections: clients.lines().count(),
            channels: channels.into_iter().collect(),
            patterns,
            files,
        }
    }

    /// Ends every connection to Redis, whatever is under way on it.
    fn break_lines(&mut self) {
        self.wires.iter().for_each(Wire::hang_up);
    }

    /// The most that is held open by a mesh that rests, over several times that its lines were made anew: how many
    /// connections a pool has depends on the moment.
    async fn at_rest(&mut self) -> Footprint {
        let mut most: Option<Footprint> = None;
        for _ in 0..RESTS {
            self.break_lines();
            let mut last = None;
            let quiet = eventually(LIMIT, "a mesh that rests", async || {
                let now = self.footprint().await;
                let is_same = last.as_ref() == Some(&now);
                last = Some(now);
                tokio::time::sleep(REST).await;
                if is_same { last.take() } else { None }
            });
            let now = quiet.await.unwrap();
            most = Some(most.map_or(now.clone(), |most| most.or_more(now)));
        }
        most.unwrap()
    }

    /// Breaks every line, and waits until no more is held open than before, but for a pool's connections.
    async fn comes_back_to(&mut self, before: &Footprint) {
        self.break_lines();
        let mut last = None;
        let back = eventually(LIMIT, "what was before", async || {
            let now = self.footprint().await;
            let is_back = now.channels == before.channels
                && now.patterns == before.patterns
                && now.connections <= before.connections + POOLED
                && (0..2).all(|n| now.files[n] <= before.files[n] + POOLED);
            last = Some(now);
            is_back.then_some(())
        });
        let back = back.await;
        assert!(back.is_ok(), "{last:#?} instead of {before:#?}");
    }

    fn resident(&mut self) -> [f64; 2] {
        ["worker", "relay"].map(|name| resident_mb(self.mesh.child(name).pid().unwrap()))
    }

    /// Keys that never go by themselves, with how much is in them.
    async fn lasting_keys(&mut self) -> Vec<(String, i64)> {
        let mut lasting = Vec::new();
        for key in self.probe.ask(&["KEYS", "*"]).await.unwrap().texts() {
            if self.probe.ask(&["TTL", &key]).await.unwrap().number() == -1 {
                let size = match self.probe.ask(&["TYPE", &key]).await.unwrap().texts()[0].as_str() {
                    "zset" => self.probe.ask(&["ZCARD", &key]).await.unwrap().number(),
                    "list" => self.probe.ask(&["LLEN", &key]).await.unwrap().number(),
                    "hash" => self.probe.ask(&["HLEN", &key]).await.unwrap().number(),
                    "set" => self.probe.ask(&["SCARD", &key]).await.unwrap().number(),
                    _ => 1,
                };
                lasting.push((key, size));
            }
        }
        lasting.sort();
        lasting
    }
}

/// How many jobs are made at least.
#[expect(clippy::disallowed_methods, reason = "it is set by hand, for this test alone")]
fn jobs() -> usize {
    std::env::var("SOAK_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(2_000)
}

fn port_of(url: &str) -> u16 {
    let host = url.split('/').nth(2).unwrap();
    host.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Open files of a process, but for its connections to some ports.
fn open_files(pid: u32, besides: [u16; 2]) -> usize {
    // A line has the remote address in its third column, as hexadecimals, and the inode in its tenth.
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let excluded: BTreeSet<String> = table
        .lines()
        .filter_map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let port = u16::from_str_radix(columns.get(2)?.rsplit_once(':')?.1, 16).ok()?;
            besides.contains(&port).then(|| format!("socket:[{}]", columns[9]))
        })
        .collect();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.filter(|target| !excluded.contains(&target.to_string_lossy().into_owned())).count()
}

fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1_024.0
}

#[tokio::test]
async fn thousands_of_jobs_watchers_and_broken_lines_leave_nothing_behind() {
    let jobs = jobs();
    let folder = target_folder().join("mesh").join(uuid::Uuid::new_v4().simple().to_string());
    fs::create_dir_all(&folder).unwrap();
    let (_redis, redis_url) = own_redis(&folder).await.unwrap();
    let wires = [Wire::lay(&redis_url).await.unwrap(), Wire::lay(&redis_url).await.unwrap()];
    let own_env = ["worker", "relay"].into_iter().zip(&wires);
    let own_env = own_env.map(|(service, wire)| (service, "REDIS_URL", wire.url.clone())).collect();
    let options = Options { redis_url: Some(redis_url.clone()), own_env, ..Options::default() };
    // A busy machine takes its time, and here nobody waits on the telephone.
    let mesh = mesh(options.with("TURN_BUDGET_MS", 60_000)).await;
    let mut recordings = JoinSet::new();
    let recording = hosted(spoken(QUESTION).await.unwrap(), &mut recordings).await.unwrap();
    let (probe, worker) = (Probe::connect(&redis_url).await.unwrap(), mesh.worker().await.unwrap());
    let queue = mesh.env("JOB_QUEUE");
    let mut soak = Soak { mesh, wires, probe, worker, recording, made: AtomicUsize::new(0) };

    // Somebody waits through all of it for a job whose time never comes.
    let patient = CreateJobRequest {
        job_id: "patient".into(),
        recording_uri: soak.recording.clone(),
        start_time: Some(Timestamp { seconds: 4_000_000_000, nanos: 0 }),
        ..CreateJobRequest::default()
    };
    soak.worker.create_job(patient).await.unwrap();
    let watch = WatchJobRequest { job_id: "patient".into(), after_sequence: 0 };
    let mut waiting = soak.worker.watch_job(watch).await.unwrap().into_inner();

    // What a process makes once, it makes now.
    soak.round().await;
    let before = soak.at_rest().await;
    let resident = soak.resident();
    while soak.made.load(Ordering::Relaxed) < jobs {
        soak.round().await;
    }
    // Nobody follows any more what nobody watches, even while the line holds.
    let followed = eventually(LIMIT, "no subscription but those before", async || {
        let now = soak.footprint().await;
        ((&now.channels, now.patterns) == (&before.channels, before.patterns)).then_some(())
    });
    followed.await.unwrap();
    soak.comes_back_to(&before).await;
    let grown = soak.resident();
    for (before, after) in resident.into_iter().zip(grown) {
        assert!(after - before <= MOST_GROWTH_MB, "{resident:?} MB became {grown:?} MB");
    }
    soak.patiently(async |worker| worker.cancel_job(CancelJobRequest { job_id: "patient".into() }).await)
        .await;
    let last = tokio::time::timeout(LIMIT, waiting.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(last.event.unwrap().event, Some(JobEvent::Cancelled(_))));
    let lasting = soak.lasting_keys().await;
    let expected = [
        ("voice:claims".to_owned(), 1),
        (format!("voice:leases:{queue}"), 1),
        (format!("voice:parked:{queue}"), 1),
        (format!("voice:ready:{queue}"), 1),
        // The one relay that is there.
        (format!("voice:relays:{queue}"), 1),
    ];
    assert_eq!(lasting, expected);
}
