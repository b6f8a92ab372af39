//! What a call asks of the shell around it.

use serde_json::Value;

use super::{OpenSocket, ToSocket};
use crate::signalwire::params::{ControlId, Media};

/// What a call wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send an event to the call's owner.
    Event {
        /// Its type.
        event_type: &'static str,
        /// Its state, by which faults find it.
        state: String,
        /// Inner parameters.
        params: Value,
    },
    /// Write into the journal.
    Note {
        /// What happened.
        event: &'static str,
        /// When.
        at_ms: f64,
        /// Details.
        fields: Value,
    },
    /// Fetch what is to be played; each item comes back through [`Call::loaded`](super::Call::loaded).
    Load {
        /// Of the playback.
        control_id: ControlId,
        /// In order.
        media: Vec<Media>,
    },
    /// Make a recording available.
    Publish {
        /// Its id.
        recording_id: String,
        /// 8 kHz.
        samples: Vec<i16>,
    },
    /// Find a consumer for the call, by preference not this one.
    Offer {
        /// Who passed it, and whether he may get it again.
        passed_by: Option<Passed>,
    },
    /// Connect the call to another one that is up; the answer comes back through [`Call::join_answered`](super::Call::join_answered).
    Join {
        /// The other one.
        peer_id: String,
    },
    /// Open the socket of a media stream; what comes of it comes back through
    /// [`Call::stream_opened`](super::Call::stream_opened).
    OpenSocket(OpenSocket),
    /// Something for a media socket.
    ToSocket {
        /// Of the stream.
        stream_id: String,
        /// What.
        to_socket: ToSocket,
    },
    /// Post a form to whoever wants to know of a stream.
    PostStatus {
        /// Where to.
        url: String,
        /// Its fields.
        form: Vec<(String, String)>,
    },
    /// Ask for a document; it comes back through [`Call::document`](super::Call::document).
    FetchDocument {
        /// Where.
        url: String,
        /// What is posted there.
        form: Vec<(String, String)>,
    },
    /// The client broke the protocol.
    Violation {
        /// How.
        what: String,
    },
    /// The call has left another one that it was connected to.
    Part {
        /// The other one.
        peer_id: String,
        /// Whether it is over.
        is_over: bool,
    },
    /// 20 ms of the caller for another call that this one is connected to.
    ToPeer {
        /// The other one.
        peer_id: String,
        /// What he says.
        samples: Vec<f32>,
    },
}

/// A consumer that gave the call back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// His session's protocol.
    pub(crate) session: String,
    /// The call comes back to him if there is nobody else.
    pub(crate) may_come_back: bool,
}
