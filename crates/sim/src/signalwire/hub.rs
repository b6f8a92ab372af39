//! Sessions and the sockets they are reached over. A session outlives its sockets; its contexts do not.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Frames that may wait for a slow reader before he is cut off.
const OUTGOING: usize = 8_192;
/// Events kept for a session without a socket, when they are replayed.
const MISSED: usize = 1_000;

/// Something to be written to a socket.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A text frame.
    Frame(Frame),
    /// An orderly end.
    Close,
}

/// A text frame, with what is to be noted when it goes out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// The frame.
    pub(crate) text: String,
    /// Everything behind it waits as well.
    pub(crate) not_before: Option<Instant>,
    /// Id under which an ack is expected, and of what.
    pub(crate) ack: Option<(String, String)>,
    /// Journal fields of an event.
    pub(crate) event: Option<Value>,
}

/// An event that nobody has confirmed yet.
#[derive(Clone, Debug)]
pub(crate) struct Unacked {
    /// What it is.
    pub(crate) what: String,
    /// When it went out.
    pub(crate) since: Instant,
}

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: u64,
    outgoing: mpsc::Sender<Outgoing>,
    /// Cancelled = the connection is torn down without a word.
    pub(crate) gone: CancellationToken,
    pub(crate) unacked: Mutex<HashMap<String, Unacked>>,
    pub(crate) state: Mutex<SocketState>,
}

/// How far a socket is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketState {
    /// Protocol of its session, once authenticated.
    pub(crate) session: Option<String>,
    /// Acks are expected.
    pub(crate) acks_events: bool,
    /// Our `signalwire.disconnect`, while it is out.
    pub(crate) disconnect: Option<(String, Instant)>,
    /// The client has confirmed it.
    pub(crate) is_leaving: bool,
}

impl Socket {
    /// Queues a frame; a reader who leaves thousands unread is cut off.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outgoing.try_send(outgoing) {
            self.gone.cancel();
        }
    }

    /// Queues a plain frame.
    pub(crate) fn send_json(&self, frame: &Value) {
        self.send(Outgoing::Frame(Frame { text: frame.to_string(), ..Frame::default() }));
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, SocketState> {
        self.state.lock().expect("no holder of a socket's state panics")
    }

    pub(crate) fn unacked(&self) -> MutexGuard<'_, HashMap<String, Unacked>> {
        self.unacked.lock().expect("no holder of the unacked events panics")
    }
}

/// What a connect gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) protocol: String,
    pub(crate) signature: String,
    pub(crate) is_restored: bool,
}

/// All sessions and sockets.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    sockets: HashMap<u64, Arc<Socket>>,
    last_socket: u64,
    turn: usize,
}

#[derive(Debug, Default)]
struct Session {
    socket: Option<u64>,
    contexts: BTreeSet<String>,
    missed: VecDeque<Frame>,
    /// An event that is to come after the next one.
    held: Option<Frame>,
}

impl Hub {
    /// Adds a socket that has just been accepted.
    pub(crate) fn open(&self) -> (Arc<Socket>, mpsc::Receiver<Outgoing>) {
        let (outgoing, receiver) = mpsc::channel(OUTGOING);
        let mut inner = self.lock();
        inner.last_socket += 1;
        let socket = Arc::new(Socket {
            id: inner.last_socket,
            outgoing,
            gone: CancellationToken::new(),
            unacked: Mutex::default(),
            state: Mutex::default(),
        });
        inner.sockets.insert(socket.id, Arc::clone(&socket));
        (socket, receiver)
    }

    /// Forgets a socket. Its session stays and can be resumed.
    pub(crate) fn close(&self, id: u64) {
        let mut inner = self.lock();
        inner.sockets.remove(&id);
        for session in inner.sessions.values_mut().filter(|session| session.socket == Some(id)) {
            session.socket = None;
            session.contexts.clear();
        }
    }

    /// Gives a socket its session: the one it asks for, if there is such a one, or a new one.
    pub(crate) fn attach(&self, socket: &Socket, resume: Option<&str>) -> Attached {
        let mut inner = self.lock();
        let known = resume.filter(|protocol| inner.sessions.contains_key(*protocol));
        let (protocol, is_restored) = if let Some(protocol) = known {
            (protocol.to_owned(), true)
        } else {
            let id = uuid::Uuid::new_v4();
            (format!("signalwire_{}_{id}_voicesim", uuid::Uuid::new_v4().simple()), false)
        };
        let session = inner.sessions.entry(protocol.clone()).or_default();
        session.contexts.clear();
        let before = session.socket.replace(socket.id);
        if let Some(old) = before.and_then(|id| inner.sockets.get(&id)) {
            old.gone.cancel();
        }
        socket.state().session = Some(protocol.clone());
        let signature = protocol.split('_').nth(1).unwrap_or_default().to_owned();
        Attached { protocol, signature, is_restored }
    }

    /// Subscribes a session to contexts.
    pub(crate) fn receive(&self, protocol: &str, contexts: &[String]) {
        if let Some(session) = self.lock().sessions.get_mut(protocol) {
            session.contexts.extend(contexts.iter().cloned());
        }
    }

    /// Ends subscriptions.
    pub(crate) fn unreceive(&self, protocol: &str, contexts: &[String]) {
        if let Some(session) = self.lock().sessions.get_mut(protocol) {
            session.contexts.retain(|context| !contexts.contains(context));
        }
    }

    /// Forgets a session; it cannot be resumed any more.
    pub(crate) fn forget(&self, protocol: &str) {
        self.lock().sessions.remove(protocol);
    }

    /// Picks, in turn, a session that is connected and subscribed to a context.
    pub(crate) fn consumer(&self, context: &str, except: Option<&str>) -> Option<String> {
        let mut inner = self.lock();
        let mut able: Vec<&String> = inner
            .sessions
            .iter()
            .filter(|(protocol, session)| {
                session.socket.is_some()
                    && session.contexts.contains(context)
                    && Some(protocol.as_str()) != except
            })
            .map(|(protocol, _)| protocol)
            .collect();
        able.sort();
        let chosen = able.get(inner.turn % able.len().max(1)).map(|protocol| (*protocol).clone());
        inner.turn = inner.turn.wrapping_add(1);
        chosen
    }

    /// Sends an event to a session. `false` if nobody is there; with `keep` it then waits for the next socket.
    pub(crate) fn deliver(&self, protocol: &str, frame: Frame, keep: bool) -> bool {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(protocol) else { return false };
        let held = session.held.take();
        let Some(id) = session.socket else {
            if keep && session.missed.len() < MISSED {
                session.missed.push_back(frame);
                session.missed.extend(held);
            }
            return false;
        };
        let Some(socket) = inner.sockets.get(&id) else { return false };
        for frame in [Some(frame), held].into_iter().flatten() {
            send_event(socket, frame);
        }
        true
    }

    /// Keeps an event back until the next one has gone out. An event that is held already goes first.
    pub(crate) fn hold(&self, protocol: &str, frame: Frame) {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(protocol) else { return };
        let before = session.held.replace(frame);
        let socket = session.socket;
        if let (Some(frame), Some(socket)) = (before, socket.and_then(|id| inner.sockets.get(&id))) {
            send_event(socket, frame);
        }
    }

    /// Sends what is still held of a session: no event came that it could follow.
    pub(crate) fn release(&self, protocol: &str, id: &str) {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(protocol) else { return };
        let is_it = |frame: &mut Frame| frame.ack.as_ref().is_some_and(|(held, _)| held == id);
        let held = session.held.take_if(is_it);
        let socket = session.socket;
        if let (Some(frame), Some(socket)) = (held, socket.and_then(|id| inner.sockets.get(&id))) {
            send_event(socket, frame);
        }
    }

    /// Sends what came while nobody was there.
    pub(crate) fn replay(&self, protocol: &str) {
        let mut inner = self.lock();
        let Some(session) = inner.sessions.get_mut(protocol) else { return };
        let missed = std::mem::take(&mut session.missed);
        let socket = session.socket;
        if let Some(socket) = socket.and_then(|id| inner.sockets.get(&id)) {
            missed.into_iter().for_each(|frame| send_event(socket, frame));
        }
    }

    /// The socket of a session.
    pub(crate) fn socket_of(&self, protocol: &str) -> Option<Arc<Socket>> {
        let inner = self.lock();
        inner.sessions.get(protocol)?.socket.and_then(|id| inner.sockets.get(&id).cloned())
    }

    /// All open sockets.
    pub(crate) fn sockets(&self) -> Vec<Arc<Socket>> {
        self.lock().sockets.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of the hub panics")
    }
}

/// Acks are only waited for where the client has promised them.
fn send_event(socket: &Socket, mut frame: Frame) {
    if !socket.state().acks_events {
        frame.ack = None;
    }
    socket.send(Outgoing::Frame(frame));
}
