//! The shell around a call: its 20 ms clock, and the carrying out of what it wants done.
//!
//! Locks are taken in one order: call, then sockets, then hub, then journal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    call::{Call, NewDial, Output, Passed, Ring},
    documents, media,
    params::{ControlId, Media},
    platform::Platform,
    streams::{self, SocketHandle},
};

/// One frame on the line.
const FRAME: Duration = Duration::from_millis(20);

/// A call that tasks share.
#[derive(Debug)]
pub(crate) struct Line {
    call: Mutex<Call>,
    context: String,
    /// Media sockets, by stream.
    sockets: Mutex<HashMap<String, SocketHandle>>,
    /// What the caller of another call has said to this one's since the last tick.
    said_there: Mutex<Vec<Vec<f32>>>,
}

impl Line {
    /// The call, for a moment; whoever changes it calls [`settle`] before letting go.
    pub(crate) fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().expect("no holder of a call panics")
    }

    /// Its media sockets.
    pub(crate) fn sockets(&self) -> MutexGuard<'_, HashMap<String, SocketHandle>> {
        self.sockets.lock().expect("no holder of the sockets panics")
    }

    fn said_there(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        self.said_there.lock().expect("no holder of what was said panics")
    }
}

/// A caller dials the number; gives the call's id.
pub(crate) fn ring(platform: &Arc<Platform>, ring: Ring) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    let context = ring.context.clone();
    let url = Arc::clone(&platform.recordings_url);
    let call = Call::new(id.clone(), ring, url, platform.speed, platform.clock.now());
    begin(platform, id.clone(), call, context);
    id
}

/// A caller dials a number whose calls documents conduct; gives the call's id.
pub(crate) fn ring_conducted(platform: &Arc<Platform>, ring: Ring, voice_url: String) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    let url = Arc::clone(&platform.recordings_url);
    let call = Call::conducted(id.clone(), ring, voice_url, url, platform.speed, platform.clock.now());
    begin(platform, id.clone(), call, String::new());
    id
}

fn begin(platform: &Arc<Platform>, id: String, call: Call, context: String) {
    let line =
        Line { call: Mutex::new(call), context, sockets: Mutex::default(), said_there: Mutex::default() };
    let line = Arc::new(line);
    platform.add_line(id, Arc::clone(&line));
    settle(platform, &line, &mut line.call());
    platform.tasks.spawn(keep_time(Arc::clone(platform), line));
}

/// A client calls somebody.
pub(crate) fn dial(platform: &Arc<Platform>, dial: NewDial) {
    let id = uuid::Uuid::new_v4().to_string();
    let url = Arc::clone(&platform.recordings_url);
    let call = Call::dialled(id.clone(), dial, url, platform.speed, platform.clock.now());
    begin(platform, id, call, String::new());
}

/// Connects a call to another one. The two are never locked at the same time.
fn join(platform: &Arc<Platform>, line: &Arc<Line>, peer_id: &str) {
    let (id, owner) = {
        let call = line.call();
        (call.id.clone(), call.owner().map(str::to_owned))
    };
    let answer = platform.line(peer_id).map_or(Err("error"), |peer| {
        let mut call = peer.call();
        let answer = call.join(&id, owner.as_deref(), platform.clock.now());
        settle(platform, &peer, &mut call);
        answer
    });
    let mut call = line.call();
    call.join_answered(peer_id, answer, platform.clock.now());
    settle(platform, line, &mut call);
}

fn part(platform: &Arc<Platform>, id: &str, peer_id: &str, is_over: bool) {
    if let Some(peer) = platform.line(peer_id) {
        let mut call = peer.call();
        call.part(id, platform.clock.now());
        if is_over && platform.switches().joined_calls_end_together {
            call.hang_up(&platform.world());
        }
        settle(platform, &peer, &mut call);
    }
}

/// Offers waiting calls of these contexts to whoever has just subscribed.
pub(crate) fn offer_waiting(platform: &Arc<Platform>, contexts: &[String]) {
    for line in platform.lines() {
        let mut call = line.call();
        if contexts.iter().any(|context| call.waits_for_consumer(context)) {
            offer(platform, &line, &mut call, None);
            settle(platform, &line, &mut call);
        }
    }
}

/// Carries out everything that a call wants done.
pub(crate) fn settle(platform: &Arc<Platform>, line: &Arc<Line>, call: &mut Call) {
    while let Some(output) = call.poll_output() {
        match output {
            Output::Event { event_type, state, params } => {
                platform.send_event(call.owner(), event_type, &state, &params);
            }
            Output::Note { event, at_ms, fields } => platform.journal.record(at_ms, event, fields),
            Output::Load { control_id, media } => {
                platform.tasks.spawn(load(Arc::clone(platform), Arc::clone(line), control_id, media));
            }
            Output::Publish { recording_id, samples } => {
                let delay = Duration::from_millis(platform.switches().recording_delay_ms);
                platform.recordings.publish(recording_id, &samples, delay);
            }
            Output::Offer { passed_by } => offer(platform, line, call, passed_by.as_ref()),
            Output::Join { peer_id } => {
                let (platform, line) = (Arc::clone(platform), Arc::clone(line));
                platform.tasks.clone().spawn(async move { join(&platform, &line, &peer_id) });
            }
            Output::OpenSocket(request) => streams::open(platform, line, request),
            Output::ToSocket { stream_id, to_socket } => {
                if let Some(socket) = line.sockets().get(&stream_id) {
                    socket.send(to_socket);
                }
            }
            Output::PostStatus { url, form } => {
                let platform = Arc::clone(platform);
                platform.tasks.clone().spawn(async move {
                    let answer = documents::post(&platform, &url, &form).await;
                    let error = answer.err();
                    platform.note("status_posted", json!({ "url": url, "form": form, "error": error }));
                });
            }
            Output::FetchDocument { url, form } => {
                let (platform, line) = (Arc::clone(platform), Arc::clone(line));
                platform.tasks.clone().spawn(documents::fetch(platform, line, url, form));
            }
            Output::Violation { what } => platform.violate(Some(&call.id), &what),
            Output::Part { peer_id, is_over } => {
                let (platform, id) = (Arc::clone(platform), call.id.clone());
                platform.tasks.clone().spawn(async move { part(&platform, &id, &peer_id, is_over) });
            }
            Output::ToPeer { peer_id, samples } => {
                if let Some(peer) = platform.line(&peer_id) {
                    peer.said_there().push(samples);
                }
            }
        }
    }
}

fn offer(platform: &Arc<Platform>, line: &Line, call: &mut Call, passed_by: Option<&Passed>) {
    let hub = &platform.hub;
    let other = hub.consumer(&line.context, passed_by.map(|passed| passed.session.as_str()));
    let again =
        || passed_by.filter(|passed| passed.may_come_back).and_then(|_| hub.consumer(&line.context, None));
    if let Some(session) = other.or_else(again) {
        call.offer_to(session, &platform.project, platform.clock.now());
    }
}

/// The deadline clock: a late tick is made up for, so that sound keeps its length.
async fn keep_time(platform: Arc<Platform>, line: Arc<Line>) {
    let mut ticks = interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            () = platform.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let said_there = std::mem::take(&mut *line.said_there());
        let mut call = line.call();
        for samples in said_there {
            call.hear_peer(samples);
        }
        call.tick(&platform.world());
        settle(&platform, &line, &mut call);
        if call.is_ended() {
            platform.retire_line(call.id.clone());
            return;
        }
    }
}

/// Fetches the items of a play, in order.
async fn load(platform: Arc<Platform>, line: Arc<Line>, control_id: ControlId, media: Vec<Media>) {
    for (item, media) in media.iter().enumerate() {
        let sound = media::load(&platform.fetcher, media).await;
        let is_over = sound.is_err();
        let mut call = line.call();
        call.loaded(&control_id, item, sound, platform.clock.now());
        settle(&platform, &line, &mut call);
        if is_over || call.is_ended() {
            return;
        }
    }
}
