//! A call that documents conduct instead of a RELAY client: a form is posted to an address, and what comes back says
//! what the platform does, verb by verb.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::json;

use super::{Call, Output, Ring, State, World};
use crate::signalwire::{
    clock::Now,
    params::{Seconds, StreamTo},
};

/// Documents of one call: one that redirects to itself would go on for ever.
const MOST_DOCUMENTS: usize = 20;

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    /// The call is connected to a stream, until its socket closes.
    ConnectStream(StreamTo),
    /// A stream listens, while the document goes on.
    StartStream(StreamTo),
    /// Nothing happens for a while.
    Pause(Seconds),
    /// Another document takes over.
    Redirect(String),
    /// The call is not taken.
    Reject,
    /// The call is over.
    Hangup,
}

/// A document on its way or being carried out.
#[derive(Debug, Default)]
pub(crate) struct Script {
    verbs: VecDeque<Verb>,
    doing: Doing,
}

#[derive(Debug, Default, PartialEq)]
enum Doing {
    /// Waits for a document.
    #[default]
    Fetching,
    /// Waits for a tick.
    Pausing { until: u64 },
    /// Waits for the end of a stream.
    Streaming,
}

/// A document that was asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DocumentLog {
    requested_at_ms: f64,
    url: String,
    /// How many verbs it has, or why there is none.
    result: Option<Result<usize, String>>,
}

impl Call {
    /// A call that rings where documents conduct calls.
    pub(crate) fn conducted(
        id: String,
        ring: Ring,
        voice_url: String,
        recordings_url: std::sync::Arc<str>,
        speed: u32,
        now: Now,
    ) -> Self {
        let fields = json!({ "from": ring.from, "to": ring.to, "voice_url": voice_url });
        let mut call = Self::bare(id, ring, recordings_url, speed, now);
        call.script = Some(Script::default());
        call.note("call_ringing", fields);
        call.fetch_document(voice_url);
        call
    }

    /// A document came, or did not.
    pub(crate) fn document(&mut self, fetched: Result<Vec<Verb>, String>, world: &World) {
        self.now = world.now;
        if let Some(log) = self.documents.last_mut() {
            log.result = Some(fetched.as_ref().map(Vec::len).map_err(Clone::clone));
        }
        let Some(script) = self.script.as_mut().filter(|script| script.doing == Doing::Fetching) else {
            return;
        };
        match fetched {
            Ok(verbs) => {
                script.verbs = verbs.into();
                self.next_verb(world);
            }
            Err(why) => {
                self.note("document_failed", json!({ "reason": why }));
                self.end("error", world);
            }
        }
    }

    /// Goes on with the document.
    pub(super) fn next_verb(&mut self, world: &World) {
        while !self.is_ended() {
            let Some(script) = &mut self.script else { return };
            let verb = script.verbs.pop_front().unwrap_or(Verb::Hangup);
            if verb != Verb::Reject {
                self.answer_by_script();
            }
            match verb {
                Verb::ConnectStream(to) => match self.check_stream(world, &to, "Stream") {
                    Ok(codec) => {
                        self.connect_stream(world, to, codec);
                        return self.do_now(Doing::Streaming);
                    }
                    Err(refusal) => self.violations.push(refusal.message),
                },
                Verb::StartStream(to) => match self.check_stream(world, &to, "Stream") {
                    Ok(codec) => self.listen_by_script(world, to, codec),
                    Err(refusal) => self.violations.push(refusal.message),
                },
                Verb::Pause(span) => {
                    return self.do_now(Doing::Pausing { until: self.ticks + span.frames() });
                }
                Verb::Redirect(url) => return self.fetch_document(url),
                Verb::Reject => self.end("busy", world),
                Verb::Hangup => self.end("hangup", world),
            }
        }
    }

    /// Lets a pause come to its end.
    pub(super) fn advance_script(&mut self, world: &World) {
        let ticks = self.ticks;
        let is_due = |script: &Script| matches!(script.doing, Doing::Pausing { until } if ticks >= until);
        if self.script.as_ref().is_some_and(is_due) {
            self.next_verb(world);
        }
    }

    fn do_now(&mut self, doing: Doing) {
        if let Some(script) = &mut self.script {
            script.doing = doing;
        }
    }

    fn answer_by_script(&mut self) {
        if matches!(self.state, State::Created { .. }) {
            self.state = State::Answered;
            self.answered_at_ms = Some(self.now.at_ms);
            self.note("call_answered", json!({}));
        }
    }

    fn fetch_document(&mut self, url: String) {
        let status = if self.documents.is_empty() { "ringing" } else { "in-progress" };
        let form = [
            ("CallSid", self.id.as_str()),
            ("AccountSid", "AC-voice-sim"),
            ("ApiVersion", "2010-04-01"),
            ("From", &self.ring.from),
            ("To", &self.ring.to),
            ("CallStatus", status),
            ("Direction", "inbound"),
        ];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        // A document that is one too many is as good as none.
        let url = if self.documents.len() < MOST_DOCUMENTS { url } else { String::new() };
        let log = DocumentLog { requested_at_ms: self.now.at_ms, url: url.clone(), result: None };
        self.documents.push(log);
        self.note("document_requested", json!({ "url": url, "status": status }));
        self.do_now(Doing::Fetching);
        self.outputs.push_back(Output::FetchDocument { url, form });
    }
}
