//! Every RPC that is a stream × everything that can become of a stream: with which code and reason it ends, and that all
//! that was held for it is given back. [`rows`] knows how each RPC is spoken to, [`columns`] what can befall it.

mod columns;
pub(super) mod raw;
mod rows;

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::task::JoinSet;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use voice_proto::{
    relay::v1::ConverseConfig,
    worker::v1::{CancelJobRequest, CreateJobRequest, GetQueueStatsRequest},
};
use voice_server::status::reason_of;

use self::{
    columns::Column,
    raw::Exchange,
    rows::{Row, Subject},
};
use super::*;
use crate::{
    leg::AudioCaller,
    mesh::metrics,
    speech::{hosted, spoken},
};

/// Everything that was held for a stream is given back by then, counted from when its client knows how it ended.
const RELEASE: Duration = Duration::from_secs(1);

/// A job is no stream's: it outlives who watches it. One in the hands of a worker that was killed is given back by then.
const REDELIVERY: Duration = Duration::from_millis(1_500);

/// Whether it is given back is looked at as often as fits into that time: on a busy machine looking takes longer, too.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Every process's last words to a stream are said by then.
const DRAIN: Duration = Duration::from_secs(1);

/// What no message begins with: there is no wire type 7.
pub(super) const GARBAGE: &[u8] = &[0x07];

/// As large as no message may be.
const MAX_MESSAGE_KB: usize = 64;

/// What a client sees of something that befalls its stream.
#[derive(Clone, Copy, Debug)]
enum Cell {
    /// It ends with a code and, unless all is well, a reason.
    Ends(Code, &'static str),
    /// Nobody is there any more to be told.
    Left,
    /// It is as if it had not happened.
    Ignored,
    /// It cannot happen, and why.
    Never(&'static str),
}

use Cell::{Ends, Ignored, Left, Never};

const OK: Cell = Ends(Code::Ok, "");
const LATE: Cell = Ends(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
const STOPPED: Cell = Ends(Code::Unavailable, "STOPPING");
/// An error without a reason did not come from the mesh: a connection broke.
const KILLED: Cell = Ends(Code::Unknown, "");
const EMPTY: Cell = Ends(Code::InvalidArgument, "MISSING_MESSAGE");
const FIRST: Cell = Ends(Code::InvalidArgument, "MISSING_CONFIG");
const TWICE: Cell = Ends(Code::InvalidArgument, "REPEATED_CONFIG");
const NONSENSE: Cell = Ends(Code::InvalidArgument, "MALFORMED_MESSAGE");
const LARGE: Cell = Ends(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
const ONE: Cell =
    Never("it begins once its one request has closed that side, and no message but the first counts");

/// Who has to end it while a process is drained: a call that is live says goodbye, a text that is complete is spoken to
/// its end; what a client keeps open is cut when time is up.
#[rustfmt::skip]
const TABLE: [(Row, [Cell; Column::ALL.len()]); 7] = [
    //                             half-closed  cancelled  late  late, unread  cut off  unread  drained  killed  empty  data first  first twice  garbage   large
    (rows::WATCH_CALL,           [ ONE,         Left,      LATE, LATE,         Left,    Left,   OK,      KILLED, EMPTY, ONE,        Ignored,     NONSENSE, LARGE ]),
    (rows::CONVERSE,             [ OK,          Left,      LATE, LATE,         Left,    Left,   OK,      KILLED, FIRST, FIRST,      TWICE,       NONSENSE, LARGE ]),
    (rows::TRANSCRIBE,           [ OK,          Left,      LATE, LATE,         Left,    Left,   STOPPED, KILLED, FIRST, FIRST,      TWICE,       NONSENSE, LARGE ]),
    (rows::PROCESS_TURN,         [ OK,          Left,      LATE, LATE,         Left,    Left,   STOPPED, KILLED, FIRST, FIRST,      TWICE,       NONSENSE, LARGE ]),
    (rows::WATCH_JOB,            [ ONE,         Left,      LATE, LATE,         Left,    Left,   STOPPED, KILLED, EMPTY, ONE,        Ignored,     NONSENSE, LARGE ]),
    (rows::SYNTHESIZE,           [ ONE,         Left,      LATE, LATE,         Left,    Left,   OK,      KILLED, EMPTY, ONE,        Ignored,     NONSENSE, LARGE ]),
    (rows::STREAMING_SYNTHESIZE, [ OK,          Left,      LATE, LATE,         Left,    Left,   STOPPED, KILLED, FIRST, FIRST,      TWICE,       NONSENSE, LARGE ]),
];

/// Streams without a row.
const ELSEWHERE: [(&str, &str); 3] = [
    ("/voice.tool.v1.ToolService/CallTool", "is served by users and called by us"),
    ("/grpc.health.v1.Health/Watch", "is tonic-health's, and every client of the mesh follows it"),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "is tonic-reflection's"),
];

#[test]
fn every_rpc_that_is_a_stream_has_its_row() {
    let sets = [
        voice_proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ];
    let files = sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file);
    let mut streams = BTreeMap::new();
    for file in files {
        for service in &file.service {
            let all = service.method.iter();
            for method in all.filter(|method| method.client_streaming() || method.server_streaming()) {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                streams.insert(path, method.client_streaming());
            }
        }
    }
    for (path, why) in ELSEWHERE {
        // One that is not there yet, or any more, is no gap.
        streams.remove(path);
        assert!(!why.is_empty());
    }
    for (row, cells) in &TABLE {
        assert_eq!(streams.remove(row.rpc), Some(row.takes_more), "{}", row.rpc);
        assert!(cells.iter().all(|cell| !matches!(cell, Never(why) if why.is_empty())), "{}", row.rpc);
    }
    assert_eq!(streams, BTreeMap::new(), "streams of which nobody knows how they end");
}

#[tokio::test]
async fn every_stream_ends_as_the_table_says_and_leaves_nothing_behind() {
    let mut stage = Stage::set().await;
    let mut wrong = Vec::new();
    for (place, column) in Column::ALL.into_iter().enumerate() {
        for (row, cells) in &TABLE {
            let expected = cells[place];
            if matches!(expected, Never(_)) {
                continue;
            }
            let told = stage.play(column, row).await;
            if !expected.allows(told.as_ref()) {
                wrong.push(format!("{} × {column:?}: {told:?} instead of {expected:?}", row.rpc));
            }
            let by = if matches!(column, Column::Killed) { REDELIVERY } else { RELEASE };
            if let Err(error) = stage.is_released(by).await {
                wrong.push(format!("{} × {column:?}: {error:#}", row.rpc));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_client_that_only_stops_reading_still_has_its_stream() {
    let (stage, row) = (Stage::set().await, &rows::CONVERSE);
    let exchange = stage.talking(row, stage.endpoint(row), None).await.unwrap();
    let requests = exchange.stop_reading();
    // It is what does not happen that is waited for.
    tokio::time::sleep(RELEASE).await;
    assert!(!stage.open_at(row.service).await.unwrap().is_empty(), "docs/errors.md says so");
    drop(requests);
    stage.is_released(RELEASE).await.unwrap();
}

impl Cell {
    fn allows(self, told: Option<&Result<(), Status>>) -> bool {
        match (self, told) {
            (Ends(Code::Ok, _), Some(Ok(()))) | (Left | Ignored, None) => true,
            (Ends(code, reason), Some(Err(status))) => {
                code == status.code() && reason == reason_of(status).unwrap_or_default()
            }
            (Ends(..) | Left | Ignored | Never(_), _) => false,
        }
    }
}

/// Looks until nothing is held any more.
async fn given_back(by: Duration, held: impl AsyncFn() -> String) -> anyhow::Result<()> {
    for _ in 0..by.as_millis() / BETWEEN_LOOKS.as_millis() {
        if held().await.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let held = held().await;
    anyhow::ensure!(held.is_empty(), "not given back within {by:?}: {held}");
    Ok(())
}

/// One mesh for all cells, and what their streams are about.
struct Stage {
    mesh: Mesh,
    /// A sentence in the caller's voice: mu-law, 8 kHz.
    speech: bytes::Bytes,
    /// The same as a recording.
    recording_uri: String,
    /// A call that goes on for as long as a cell is tried.
    call: Option<AudioCaller>,
    /// A job of the same kind.
    job_id: Option<String>,
    jobs: usize,
    _recordings: JoinSet<()>,
}

impl Stage {
    async fn set() -> Self {
        // A job lasts: a word of its reply comes every tenth of a second.
        let groq_args = ["--first-token-ms", "0", "--token-ms", "100"].map(str::to_owned).to_vec();
        let drains = [("relay", 30), ("worker", DRAIN.as_secs()), ("tts", 15 * DRAIN.as_secs())];
        let own_env = drains.map(|(service, seconds)| (service, "DRAIN_SECONDS", seconds.to_string()));
        let options = Options { groq_args, own_env: own_env.to_vec(), ..Options::default() }
            .with("MAX_MESSAGE_KB", MAX_MESSAGE_KB)
            .with("TURN_BUDGET_MS", 60_000)
            .with("STT_PARTIALS_PER_MINUTE", 6_000);
        let mesh = mesh(options).await;
        let long = "and so on ".repeat(60);
        mesh.groq.script(&[(rows::SHORTLY, "Yes."), (QUESTION, &long)]).await.unwrap();
        let wav = spoken(QUESTION).await.unwrap();
        let audio = voice_audio::wav::read(&wav).unwrap();
        let samples = voice_audio::resample::resample(&audio.samples, audio.sample_rate_hertz, 8_000);
        let mut recordings = JoinSet::new();
        Self {
            mesh,
            speech: voice_audio::mulaw::encode(&samples).into(),
            recording_uri: hosted(wav, &mut recordings).await.unwrap(),
            call: None,
            job_id: None,
            jobs: 0,
            _recordings: recordings,
        }
    }

    /// Has something befall a stream of a row; gives what its client is told.
    async fn play(&mut self, column: Column, row: &Row) -> columns::Told {
        match row.subject {
            Subject::Nothing => {}
            Subject::Call => {
                let relay = self.mesh.relay().await.unwrap();
                self.call = Some(AudioCaller::begin(relay, ConverseConfig::default()).await.unwrap());
            }
            Subject::Job => {
                self.jobs += 1;
                let (job_id, recording_uri) = (format!("job-{}", self.jobs), self.recording_uri.clone());
                self.job_id = Some(job_id.clone());
                let job = CreateJobRequest { job_id, recording_uri, ..CreateJobRequest::default() };
                self.mesh.worker().await.unwrap().create_job(job).await.unwrap();
            }
        }
        let told = tokio::time::timeout(LIMIT, column.befall(self, row)).await;
        self.call = None;
        if let Some(job_id) = self.job_id.take() {
            self.mesh.worker().await.unwrap().cancel_job(CancelJobRequest { job_id }).await.unwrap();
        }
        told.unwrap_or_else(|_| panic!("{} × {column:?} comes to no end", row.rpc))
    }

    /// A stream of a row that has begun to answer.
    async fn talking(
        &self,
        row: &Row,
        endpoint: Endpoint,
        deadline: Option<Duration>,
    ) -> Result<Exchange, Status> {
        let channel = endpoint.connect().await.map_err(|error| Status::from_error(error.into()))?;
        let mut exchange = self.open(&channel, row, deadline).await?;
        exchange.next().await?;
        Ok(exchange)
    }

    /// The same of which nothing has been read.
    async fn open(
        &self,
        channel: &Channel,
        row: &Row,
        deadline: Option<Duration>,
    ) -> Result<Exchange, Status> {
        let first = self.messages(row, 0..row.lead);
        if row.takes_more {
            Exchange::open(channel, row.rpc, first, deadline).await
        } else {
            Exchange::ask(channel, row.rpc, first, deadline).await
        }
    }

    fn messages(&self, row: &Row, which: std::ops::Range<usize>) -> Vec<bytes::Bytes> {
        which.map(|n| (row.message)(self, n)).collect()
    }

    fn endpoint(&self, row: &Row) -> Endpoint {
        Endpoint::from_shared(self.mesh.address(row.service)).unwrap()
    }

    /// Waits until no process does anything for anybody.
    async fn is_released(&self, by: Duration) -> anyhow::Result<()> {
        given_back(by, async || self.held().await.unwrap_or_else(|error| format!("{error:#}"))).await
    }

    /// What a process says that it has open.
    async fn open_at(&self, service: &str) -> anyhow::Result<Vec<String>> {
        let text = metrics(&self.mesh.address(service)).await?;
        // Of what is counted by method, health is always followed by somebody.
        let is_held = |line: &&str| {
            let is_open = line.starts_with("rpc_open{") && line.contains("method=\"/voice.");
            (is_open || line.starts_with("calls_live")) && !line.ends_with(" 0")
        };
        Ok(text.lines().filter(is_held).map(str::to_owned).collect())
    }

    /// Everything that some process holds for somebody.
    async fn held(&self) -> anyhow::Result<String> {
        let mut held = Vec::new();
        for service in ["relay", "worker", "tts"] {
            held.extend(self.open_at(service).await?);
        }
        let asked = self.mesh.groq.requests().await?;
        held.extend(asked.iter().filter(|request| request["state"] == "open").map(ToString::to_string));
        let stats =
            self.mesh.worker().await?.get_queue_stats(GetQueueStatsRequest {}).await?.into_inner().stats;
        let stats = stats.unwrap_or_default();
        if stats.in_hand_count + stats.waiting_count > 0 {
            held.push(format!("{stats:?}"));
        }
        Ok(held.join("\n"))
    }
}
