//! Everything that can befall a stream: one function each. They give what the client is told, if he is still there.

use bytes::Bytes;
use tonic::{Status, transport::Endpoint};

use super::{Duration, GARBAGE, MAX_MESSAGE_KB, RELEASE, Stage, given_back, raw::Exchange, rows::Row};
use crate::front::Front;

/// How a stream ended for its client.
pub(super) type Told = Option<Result<(), Status>>;

/// Until when a client waits who does not wait for ever.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long a client plays one response.
const PLAYING: Duration = Duration::from_millis(50);

/// Clients at a time who take nothing of what is sent to them.
const READERS: usize = 8;
/// What one of them tells the server that it may send.
const NARROW: u32 = 1_024;
/// So little that the first message stays stuck.
const CLOSED: u32 = 16;
/// What each of them would like to send meanwhile, in messages, and how long a message may find no room.
const FLOOD: (usize, Duration) = (2_000, Duration::from_millis(200));
/// What a process may need for all of them. A text of a minute is 20 MB of sound to them.
const MEMORY_KB: u64 = 16 * 1_024;

/// Something that can befall a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    HalfClosed,
    Cancelled,
    Late,
    LateUnread,
    CutOff,
    Unread,
    Drained,
    Killed,
    Empty,
    DataFirst,
    FirstTwice,
    Garbage,
    Large,
}

impl Column {
    pub(super) const ALL: [Self; 13] = [
        Self::HalfClosed,
        Self::Cancelled,
        Self::Late,
        Self::LateUnread,
        Self::CutOff,
        Self::Unread,
        Self::Drained,
        Self::Killed,
        Self::Empty,
        Self::DataFirst,
        Self::FirstTwice,
        Self::Garbage,
        Self::Large,
    ];

    pub(super) async fn befall(self, stage: &mut Stage, row: &Row) -> Told {
        match self {
            Self::HalfClosed => half_closed(stage, row).await,
            Self::Cancelled => cancelled(stage, row).await,
            Self::Late => late(stage, row).await,
            Self::LateUnread => late_unread(stage, row).await,
            Self::CutOff => cut_off(stage, row).await,
            Self::Unread => unread(stage, row).await,
            Self::Drained => drained(stage, row).await,
            Self::Killed => killed(stage, row).await,
            Self::Empty => sent(stage, row, Vec::new()).await,
            Self::DataFirst => sent(stage, row, stage.messages(row, 1..2)).await,
            Self::FirstTwice => first_twice(stage, row).await,
            Self::Garbage => amid(stage, row, Bytes::from_static(GARBAGE)).await,
            Self::Large => amid(stage, row, Bytes::from(vec![0; MAX_MESSAGE_KB * 1_024 + 1])).await,
        }
    }
}

/// The client has nothing more to send.
async fn half_closed(stage: &Stage, row: &Row) -> Told {
    let mut exchange = stage.talking(row, stage.endpoint(row), None).await.unwrap();
    exchange.close();
    Some(exchange.end().await)
}

/// The client does not want it any more.
async fn cancelled(stage: &Stage, row: &Row) -> Told {
    drop(stage.talking(row, stage.endpoint(row), None).await.unwrap());
    None
}

/// The client's deadline passes in mid-stream: he takes no more than he can play, so that it goes on for longer.
async fn late(stage: &Stage, row: &Row) -> Told {
    let endpoint = stage.endpoint(row).initial_stream_window_size(NARROW);
    let mut exchange = match stage.talking(row, endpoint, Some(DEADLINE)).await {
        Ok(exchange) => exchange,
        Err(status) => return Some(Err(status)),
    };
    loop {
        tokio::time::sleep(PLAYING).await;
        match exchange.next().await {
            Ok(Some(_)) => {}
            ended => return Some(ended.map(drop)),
        }
    }
}

/// The same of a client that takes nothing of what is sent to it: everything is given back while he still does not.
async fn late_unread(stage: &Stage, row: &Row) -> Told {
    let passed = tokio::time::Instant::now() + DEADLINE;
    let channel = stage.endpoint(row).initial_stream_window_size(CLOSED).connect().await.unwrap();
    let exchange = stage.open(&channel, row, Some(DEADLINE)).await.unwrap();
    tokio::time::sleep_until(passed).await;
    let held = async || {
        let open = stage.open_at(row.service).await.unwrap();
        open.into_iter().filter(|line| line.contains(row.rpc)).collect()
    };
    given_back(RELEASE, held).await.unwrap();
    Some(exchange.end().await)
}

/// The client's connection breaks without a word.
async fn cut_off(stage: &Stage, row: &Row) -> Told {
    let (connection, endpoint) = breakable(stage, row).await;
    let exchange = stage.talking(row, endpoint, None).await.unwrap();
    drop(connection);
    let told = exchange.end().await;
    assert!(told.is_err(), "{told:?}");
    None
}

/// A connection that breaks when it is dropped.
async fn breakable(stage: &Stage, row: &Row) -> (Front, Endpoint) {
    let port = stage.mesh.address(row.service).rsplit_once(':').unwrap().1.parse().unwrap();
    let front = Front::open(vec![port]).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", front.port)).unwrap();
    (front, endpoint)
}

/// Clients take nothing of what is sent to them, and go on sending. What that costs has a bound, and others are served.
async fn unread(stage: &mut Stage, row: &Row) -> Told {
    let before = stage.mesh.memory_kb(row.service);
    let (connection, endpoint) = breakable(stage, row).await;
    let channel = endpoint.initial_stream_window_size(NARROW).connect().await.unwrap();
    let floods = (0..READERS).map(async |_| {
        let exchange = stage.open(&channel, row, None).await.unwrap();
        let (most, patience) = FLOOD;
        for n in row.lead..most {
            let sending = exchange.send((row.message)(stage, n));
            if !matches!(tokio::time::timeout(patience, sending).await, Ok(Some(()))) {
                break;
            }
        }
        exchange
    });
    let exchanges = futures::future::join_all(floods).await;
    let other = stage.talking(row, stage.endpoint(row), None).await;
    assert!(other.is_ok(), "{} serves nobody else: {other:?}", row.rpc);
    let grown = stage.mesh.memory_kb(row.service).saturating_sub(before);
    assert!(grown < MEMORY_KB, "{} needs {grown} KB for {READERS} clients that do not read", row.rpc);
    // Whoever has no room for what he would still send does not even say that he leaves: he has to be gone.
    drop((connection, exchanges));
    None
}

/// The process is asked to stop.
async fn drained(stage: &mut Stage, row: &Row) -> Told {
    let exchange = stage.talking(row, stage.endpoint(row), None).await.unwrap();
    stage.mesh.child(row.service).signal("TERM").await.unwrap();
    let told = exchange.end().await;
    // Whoever makes its call go on would be waited for.
    stage.call = None;
    assert_eq!(stage.mesh.child(row.service).wait(super::LIMIT).await.unwrap(), Some(0));
    stage.mesh.restart(row.service).await.unwrap();
    Some(told)
}

/// The process is killed.
async fn killed(stage: &mut Stage, row: &Row) -> Told {
    let exchange = stage.talking(row, stage.endpoint(row), None).await.unwrap();
    stage.mesh.child(row.service).kill().await.unwrap();
    let told = exchange.end().await;
    stage.mesh.restart(row.service).await.unwrap();
    Some(told)
}

/// The client sends what is a first message once more. Where one request is all there is, the second is another one, which
/// would be refused if anybody read it.
async fn first_twice(stage: &Stage, row: &Row) -> Told {
    let mut messages = stage.messages(row, 0..1);
    if row.takes_more {
        messages.extend(stage.messages(row, 0..1));
        return sent(stage, row, messages).await;
    }
    messages.push(Bytes::new());
    let channel = stage.endpoint(row).connect().await.unwrap();
    match Exchange::ask(&channel, row.rpc, messages, None).await {
        Ok(mut exchange) => match exchange.next().await {
            Ok(Some(_)) => None,
            ended => Some(ended.map(drop)),
        },
        Err(status) => Some(Err(status)),
    }
}

/// The client sends a message that is not to be, in mid-stream where it can.
async fn amid(stage: &Stage, row: &Row, message: Bytes) -> Told {
    if !row.takes_more {
        return sent(stage, row, vec![message]).await;
    }
    let exchange = stage.talking(row, stage.endpoint(row), None).await.unwrap();
    exchange.send(message).await.unwrap();
    Some(exchange.end().await)
}

/// The client sends these messages, and no more.
async fn sent(stage: &Stage, row: &Row, messages: Vec<Bytes>) -> Told {
    let channel = stage.endpoint(row).connect().await.unwrap();
    let told = async { Exchange::ask(&channel, row.rpc, messages, None).await?.end().await };
    Some(told.await)
}
