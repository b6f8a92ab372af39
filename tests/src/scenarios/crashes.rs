//! A worker that dies, or loses its line, at any step of a job: nothing is lost, nothing is finished twice.

use std::collections::BTreeSet;

use anyhow::Context as _;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use voice_jobs::{Jobs, NewJob, Progress, ProgressEvent};

use super::*;
use crate::{
    child::{Child, Spec},
    groq::GroqSim,
    mesh::{binary, eventually, own_redis},
    redis::Probe,
    speech::{hosted, spoken, target_folder},
    wire::{Point, QUEUE, Stop, When, Wire},
};

pub(super) const TASK: &str = "get_llm_response_task";

/// When the time of a job comes that is claimed before: a worker has to be there by then, on a machine that starts others.
const LATER: jiff::SignedDuration = jiff::SignedDuration::from_secs(6);

/// Steps that are tried at the same time.
const AT_ONCE: usize = 4;

/// Which way a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight to its result.
    Straight,
    /// Its time has not come when it is claimed.
    Later,
    /// Its first attempt fails in a way that may pass.
    Retried,
    /// Its worker is asked to stop, and hands it back.
    Stopped,
}

/// Something that a worker asks of Redis on a job's way.
#[derive(Clone, Copy, Debug)]
struct Step {
    way: Way,
    script: &'static str,
    /// Something in the command that tells this step from others of its script; `{id}` is the job's id.
    with: &'static str,
    /// Whether it is of interest only once the job has been in this worker's hands.
    is_within: bool,
}

const fn step(way: Way, script: &'static str, with: &'static str) -> Step {
    Step { way, script, with, is_within: true }
}

/// The first claim is made before anything of the job is known.
const CLAIM: Step = Step { is_within: false, ..step(Way::Straight, "claim", "") };

const STEPS: [Step; 12] = [
    CLAIM,
    step(Way::Straight, "emit", "\"fetched\""),
    step(Way::Straight, "emit", "\"transcript\""),
    step(Way::Straight, "emit", "\"reply_delta\""),
    step(Way::Straight, "tend", ""),
    step(Way::Straight, "settle", "SUCCESS"),
    step(Way::Later, "settle", "park"),
    step(Way::Later, "tend", ""),
    step(Way::Later, "start", "{id}"),
    step(Way::Later, "settle", "SUCCESS"),
    step(Way::Retried, "settle", "RETRY"),
    // Its goodbye, with which goes back what it holds.
    step(Way::Stopped, "tend", "\r\n1\r\n"),
];

/// What producers and operators ask of Redis, and no worker on a job's way.
const OF_OTHERS: [&str; 3] = ["enqueue", "requeue", "revoke"];

#[test]
fn every_script_has_a_step_at_which_it_is_cut_off() {
    let jobs = Jobs::connect(&"redis://127.0.0.1/0".to_owned().into(), QUEUE).unwrap();
    let all: BTreeSet<&str> = jobs.scripts().into_iter().map(|(name, _)| name).collect();
    let tried = STEPS.iter().map(|step| step.script).chain(OF_OTHERS);
    assert_eq!(all, tried.collect());
}

#[tokio::test]
async fn a_worker_killed_at_any_step_loses_nothing_and_finishes_nothing_twice() {
    every_step(Fault::Killed).await;
}

#[tokio::test]
async fn a_worker_whose_line_breaks_at_any_step_loses_nothing_and_finishes_nothing_twice() {
    every_step(Fault::HungUp).await;
}

/// What befalls a worker that has been stopped at a step.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    HungUp,
}

/// Has a fault befall a worker at each step, before and after it, and sees how the job ends.
async fn every_step(fault: Fault) {
    let all = STEPS.into_iter().flat_map(|step| [(step, When::Before), (step, When::After)]);
    let tries = all.map(async |(step, when)| {
        let tried = attempt(step, when, fault).await;
        tried.err().map(|error| format!("{when:?} {step:?}: {error:#}"))
    });
    let failures: Vec<_> = futures::stream::iter(tries).buffer_unordered(AT_ONCE).collect().await;
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

async fn attempt(step: Step, when: When, fault: Fault) -> anyhow::Result<()> {
    let mut plant = Plant::build(step.way).await?;
    // What is stopped stays so: a command that had not gone out never does, an answer is never delivered.
    let _stopped = plant.run_to(step, when).await?;
    match fault {
        Fault::Killed => {
            plant.workers[0].kill().await?;
            plant.is_in_one_place().await?;
            plant.replace_worker().await?;
        }
        Fault::HungUp => {
            plant.wire.hang_up();
            if step.way == Way::Stopped {
                plant.replace_worker().await?;
            }
        }
    }
    plant.ends_well().await
}

/// A Redis, a provider, a worker behind a bad wire, and one job.
pub(super) struct Plant {
    folder: std::path::PathBuf,
    redis_url: String,
    groq: GroqSim,
    wire: Wire,
    pub(super) workers: Vec<Child>,
    pub(super) jobs: Jobs,
    job_id: String,
    probe: Probe,
    /// Hears every result of the job that is published.
    results: Probe,
    _redis: Child,
    _provider: Child,
    _recordings: JoinSet<()>,
}

impl Plant {
    pub(super) async fn build(way: Way) -> anyhow::Result<Self> {
        let folder = target_folder().join("mesh").join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&folder)?;
        let (redis, redis_url) = own_redis(&folder).await?;
        let stt = format!("canned={QUESTION}");
        // Slow enough for a heartbeat in mid-job.
        let args =
            ["groq", "--api-key", "gsk_test", "--stt", &stt, "--tts", "canned", "--first-token-ms", "600"];
        let args = args.map(str::to_owned);
        let program = binary("voice-sim");
        let spec =
            Spec { name: "groq", program: &program, args: &args, env: &[], folder: &folder, announces: true };
        let provider = Child::start(spec).await?;
        let groq = GroqSim::new(provider.said("base_url")?);
        groq.script(&[(QUESTION, ANSWER)]).await?;
        let mut recordings = JoinSet::new();
        let url = hosted(spoken(QUESTION).await?, &mut recordings).await?;
        let jobs = Jobs::connect(&redis_url.clone().into(), QUEUE)?;
        let mut job = NewJob { args: vec!["call-1".into(), url.into(), json!([])], ..NewJob::new(TASK) };
        let mut results = Probe::connect(&redis_url).await?;
        results.ask(&["SUBSCRIBE", &format!("celery-task-meta-{}", job.id)]).await?;
        match way {
            Way::Straight => {}
            Way::Later => {
                job.eta = Some(jiff::Timestamp::now() + LATER);
            }
            // The worker asks twice before it gives an attempt up.
            Way::Retried => {
                groq.faults(json!({ "stt": { "kind": "status", "status": 500, "count": 2 } })).await?;
            }
            Way::Stopped => groq.faults(json!({ "stt": { "kind": "hang", "count": 1 } })).await?,
        }
        jobs.enqueue(&job).await?;
        let wire = Wire::lay(&redis_url).await?;
        let probe = Probe::connect(&redis_url).await?;
        Ok(Self {
            folder,
            redis_url,
            groq,
            wire,
            workers: Vec::new(),
            jobs,
            job_id: job.id,
            probe,
            results,
            _redis: redis,
            _provider: provider,
            _recordings: recordings,
        })
    }

    /// Starts a worker, and stops it at a step.
    async fn run_to(&mut self, step: Step, when: When) -> anyhow::Result<Stop> {
        let Step { script, with, is_within, .. } = step;
        let is_answer_of_claim = script == "claim" && when == When::After;
        let mut stop = self.wire.stop_at(Point {
            command: script.to_owned(),
            when,
            with: if is_answer_of_claim { self.job_id.clone() } else { with.replace("{id}", &self.job_id) },
            once_seen: if is_within { self.job_id.clone() } else { String::new() },
        });
        self.hire("doomed", &self.wire.url.clone()).await?;
        if step.way == Way::Stopped {
            let stream = format!("voice:progress:{}", self.job_id);
            eventually(LIMIT, "the job's start", async || {
                (self.probe.ask(&["EXISTS", &stream]).await.ok()?.number() == 1).then_some(())
            })
            .await?;
            self.workers[0].signal("TERM").await?;
        }
        let ended = self.events();
        let reached = tokio::select! {
            reached = &mut stop.reached => Some(reached),
            events = ended => {
                events?;
                // The last step's answer comes just after the job's end.
                tokio::time::timeout(LIMIT, &mut stop.reached).await.ok()
            }
        };
        reached.context("the job ended without this step")??;
        Ok(stop)
    }

    /// Another worker, with a good line and a provider that is well.
    pub(super) async fn replace_worker(&mut self) -> anyhow::Result<()> {
        self.groq.faults(json!({ "stt": null })).await?;
        self.hire("second", &self.redis_url.clone()).await
    }

    async fn hire(&mut self, name: &str, redis_url: &str) -> anyhow::Result<()> {
        let env = [
            ("REDIS_URL", redis_url),
            ("JOB_QUEUE", QUEUE),
            ("GROQ_BASE_URL", self.groq.base()),
            ("GROQ_API_KEY", "gsk_test"),
            ("DRAIN_SECONDS", "1"),
            ("RECORDING_ALLOWED_HOSTS", "127.0.0.1"),
            ("RECORDING_ALLOW_PRIVATE", "true"),
            ("WORKER_LISTEN_ADDR", "127.0.0.1:0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let program = binary("worker");
        let folder = &self.folder;
        let spec = Spec { name, program: &program, args: &[], env: &env, folder, announces: true };
        self.workers.push(Child::start(spec).await?);
        Ok(())
    }

    /// Everything that happens to the job, to its end.
    async fn events(&self) -> anyhow::Result<Vec<ProgressEvent>> {
        let watching = async {
            let mut events = Box::pin(self.jobs.watch(&self.job_id, 0));
            let mut all = Vec::new();
            while let Some(event) = events.next().await {
                all.push(event?);
            }
            anyhow::Ok(all)
        };
        tokio::time::timeout(LIMIT, watching).await?
    }

    /// The message is in one place, and once.
    async fn is_in_one_place(&mut self) -> anyhow::Result<()> {
        let probe = &mut self.probe;
        let mut places = Vec::new();
        for step in ["", "\u{6}\u{16}3", "\u{6}\u{16}6", "\u{6}\u{16}9"] {
            places.extend(probe.ask(&["LRANGE", &format!("{QUEUE}{step}"), "0", "-1"]).await?.texts());
        }
        places.extend(probe.ask(&["ZRANGE", &format!("voice:parked:{QUEUE}"), "0", "-1"]).await?.texts());
        let in_hand = probe.ask(&["HGETALL", "unacked"]).await?.texts();
        for held in in_hand.chunks(2) {
            let index = probe.ask(&["ZSCORE", "unacked_index", &held[0]]).await?.texts();
            anyhow::ensure!(index.len() == 1, "{} is in hand but not in the index", held[0]);
            let mut owners = 0;
            for hands in probe.ask(&["KEYS", "voice:held:*"]).await?.texts() {
                owners += probe.ask(&["HEXISTS", &hands, &held[0]]).await?.number();
            }
            anyhow::ensure!(owners == 1, "{} is in the hands of {owners}", held[0]);
            places.push(held[1].clone());
        }
        let result = probe.ask(&["GET", &format!("celery-task-meta-{}", self.job_id)]).await?.texts();
        places.extend(result.into_iter().filter(|result| result.contains("SUCCESS")));
        let found = places.iter().filter(|place| place.contains(&self.job_id)).count();
        anyhow::ensure!(found == 1, "the job is in {found} places: {places:#?}");
        Ok(())
    }

    /// One result, no gap in what happened, nothing left over.
    async fn ends_well(&mut self) -> anyhow::Result<()> {
        let events = self.events().await?;
        let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        anyhow::ensure!(numbers == (1..=numbers.len() as u64).collect::<Vec<_>>(), "a gap: {events:#?}");
        let ends: Vec<_> = events.iter().filter(|event| event.event.is_last()).collect();
        anyhow::ensure!(
            matches!(&ends[..], [only] if matches!(&only.event, Progress::Completed { reply, .. } if reply == ANSWER)),
            "not one end: {events:#?}"
        );
        let told = |event: &ProgressEvent| (event.at, event.event.clone());
        let is_twice = events.windows(2).any(|pair| told(&pair[0]) == told(&pair[1]));
        anyhow::ensure!(!is_twice, "something was told twice: {events:#?}");
        let last_start = events.iter().rposition(|event| matches!(event.event, Progress::Started { .. }));
        let said: String = events[last_start.unwrap_or_default()..].iter().filter_map(delta).collect();
        anyhow::ensure!(said == ANSWER, "the last attempt said \"{said}\": {events:#?}");
        let stream = format!("voice:progress:{}", self.job_id);
        let probe = &mut self.probe;
        eventually(LIMIT, "empty hands", async || {
            let mut left = probe.ask(&["HLEN", "unacked"]).await.ok()?.number();
            left += probe.ask(&["ZCARD", "unacked_index"]).await.ok()?.number();
            left += probe.ask(&["LLEN", QUEUE]).await.ok()?.number();
            left += probe.ask(&["ZCARD", &format!("voice:parked:{QUEUE}")]).await.ok()?.number();
            left += probe.ask(&["HLEN", &format!("voice:deaths:{QUEUE}")]).await.ok()?.number();
            left += probe.ask(&["KEYS", "voice:held:*"]).await.ok()?.texts().len() as i64;
            (left == 0).then_some(())
        })
        .await?;
        let length = self.probe.ask(&["XLEN", &stream]).await?.number();
        anyhow::ensure!(length == numbers.len() as i64, "events after the last one");
        let results = self.results.published().await?;
        let successes = results.iter().filter(|result| result.contains("\"SUCCESS\"")).count();
        anyhow::ensure!(successes == 1, "{successes} results were published: {results:#?}");
        let last: Value = serde_json::from_str(results.back().map_or("null", |last| last))?;
        anyhow::ensure!(last["status"] == "SUCCESS", "something was published after the result");
        Ok(())
    }
}

fn delta(event: &ProgressEvent) -> Option<&str> {
    if let Progress::ReplyDelta { text } = &event.event { Some(text) } else { None }
}
