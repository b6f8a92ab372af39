//! One step of the load: so many calls at once, and what they cost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use tests::mesh::{Mesh, SERVICES};
use tokio::task::JoinSet;
use voice_server::media_token::MediaToken;

use super::{
    caller::{Outcome, Plan, call},
    utterance::Utterance,
};
use crate::{
    process::{cpu_seconds, resident_mb},
    quantile,
};

/// Between two calls that begin.
const STAGGER: Duration = Duration::from_millis(20);
/// Calls go on for a moment while what they cost is read.
const TAIL: Duration = Duration::from_millis(300);
/// The greeting, and the first question.
const SETTLE: Duration = Duration::from_secs(8);

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Calls at once.
    pub calls: u32,
    /// What the callers say; nothing for callers who only hold the line.
    pub utterance: Option<Arc<Utterance>>,
    /// Silence that ends an utterance.
    pub endpoint: Duration,
    /// How long it is measured.
    pub lasts: Duration,
}

/// What a step came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// Calls at once.
    pub calls: u32,
    /// From the frame that completes the silence to the first audio, in milliseconds.
    #[serde(skip)]
    pub answers: Vec<f64>,
    /// From the last voiced frame to the first audio, in milliseconds.
    #[serde(skip)]
    pub gaps: Vec<f64>,
    /// From the detector's frame to `clear`, in milliseconds.
    #[serde(skip)]
    pub barges: Vec<f64>,
    /// Answers that were measured.
    pub answered: usize,
    /// Interruptions that were measured.
    pub interrupted: usize,
    /// Interruptions that nobody answered.
    pub missed: u32,
    /// Questions that nobody answered.
    pub unanswered: u32,
    /// Gaps within a clause.
    pub underruns: u32,
    /// Calls that broke.
    pub broken: u32,
    /// The most audio that was ever ahead, in milliseconds.
    pub most_ahead_ms: f64,
    /// Share of frames that the generator sent late.
    pub late_ticks: u32,
    /// CPU of the four services, in milliseconds per call and second.
    pub cpu_ms: f64,
    /// The same for each service.
    pub cpu_ms_each: Vec<(String, f64)>,
    /// CPU of generator, simulators and Redis, in milliseconds per call and second.
    pub cpu_ms_beside: f64,
    /// Memory of the four services, in megabytes.
    pub memory_mb: f64,
}

impl Measured {
    /// A quantile of what the mesh adds to `floor_ms`.
    pub fn added(&self, floor_ms: f64, at: f64) -> f64 {
        quantile(&self.answers, at) - floor_ms
    }
}

/// Holds that many calls for a while.
///
/// # Errors
/// When a call cannot be begun or a service is gone.
pub async fn hold(mesh: &mut Mesh, step: Step) -> anyhow::Result<Measured> {
    let begin = Instant::now();
    let from = begin + STAGGER * step.calls + SETTLE;
    let until = from + step.lasts;
    let mut calls = JoinSet::new();
    for seed in 0..step.calls {
        tokio::time::sleep_until((begin + STAGGER * seed).into()).await;
        let held = Held { utterance: step.utterance.clone(), from, until: until + TAIL };
        calls.spawn(call(Plan { endpoint: step.endpoint, ..plan(mesh, seed, held) }));
    }
    tokio::time::sleep_until(from.into()).await;
    let before = usage(mesh)?;
    tokio::time::sleep_until(until.into()).await;
    let after = usage(mesh)?;
    let seconds = step.lasts.as_secs_f64() * f64::from(step.calls.max(1));
    let each = |n: usize| (after.services[n].1 - before.services[n].1) * 1_000.0 / seconds;
    let mut measured = Measured {
        calls: step.calls,
        cpu_ms_each: (0..SERVICES.len()).map(|n| (SERVICES[n].to_owned(), each(n))).collect(),
        cpu_ms_beside: (after.beside - before.beside) * 1_000.0 / seconds,
        memory_mb: after.memory_mb,
        ..Measured::default()
    };
    measured.cpu_ms = measured.cpu_ms_each.iter().map(|(_, cpu)| cpu).sum();
    while let Some(ended) = calls.join_next().await {
        match ended? {
            Ok(outcome) => measured.add(outcome),
            Err(error) => {
                eprintln!("a call broke: {error:#}");
                measured.broken += 1;
            }
        }
    }
    measured.answered = measured.answers.len();
    measured.interrupted = measured.barges.len();
    Ok(measured)
}

impl Measured {
    fn add(&mut self, outcome: Outcome) {
        self.answers.extend(outcome.answers);
        self.gaps.extend(outcome.gaps);
        self.barges.extend(outcome.barges);
        self.missed += outcome.missed;
        self.unanswered += outcome.unanswered;
        self.underruns += outcome.underruns;
        self.late_ticks += outcome.late_ticks;
        self.most_ahead_ms = self.most_ahead_ms.max(outcome.most_ahead.as_secs_f64() * 1_000.0);
    }
}

/// What a caller says, and for how long.
#[derive(Clone, Debug)]
pub struct Held {
    /// What he says, again and again; nothing for a caller who only holds the line.
    pub utterance: Option<Arc<Utterance>>,
    /// When he begins to count.
    pub from: Instant,
    /// When he hangs up.
    pub until: Instant,
}

/// A caller of a mesh, let in as a webhook's answer would.
pub fn plan(mesh: &Mesh, seed: u32, held: Held) -> Plan {
    let call_id = uuid::Uuid::new_v4().simple().to_string();
    let token = MediaToken::new(&call_id, &mesh.address("relay"), Timestamp::now());
    let Held { utterance, from, until } = held;
    Plan {
        address: mesh.address("gateway").trim_start_matches("http://").to_owned(),
        path: format!("/media/{}", token.sign(&mesh.env("VOICE_SECRET_KEY").into())),
        utterance,
        endpoint: Duration::from_millis(500),
        from,
        until,
        seed,
    }
}

struct Usage {
    services: Vec<(&'static str, f64)>,
    beside: f64,
    memory_mb: f64,
}

fn usage(mesh: &mut Mesh) -> anyhow::Result<Usage> {
    let mut usage = Usage { services: Vec::new(), beside: 0.0, memory_mb: 0.0 };
    for service in SERVICES {
        let pid = mesh.child(service).pid().with_context(|| format!("{service} is gone"))?;
        usage.services.push((service, cpu_seconds(pid)));
        usage.memory_mb += resident_mb(pid);
    }
    for other in ["redis", "signalwire", "groq"] {
        usage.beside += mesh.child(other).pid().map(cpu_seconds).unwrap_or_default();
    }
    // The generator's children are everything else: they are counted above.
    usage.beside += crate::process::own_cpu_seconds();
    Ok(usage)
}
