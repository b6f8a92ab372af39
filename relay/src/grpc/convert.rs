//! Wire types from and to the domain's.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use jiff::Timestamp;
use voice_call::{
    Activity, Answerer, CancelReason, DismissReason, EndReason, EndpointReason, Notice, PlaybackKind,
    Recogniser, SayOutcome, SpeculationOutcome, State, TimedPart, ToolOutcome, TransferFailure, TurnId,
};
use voice_proto::relay::v1 as pb;

use super::peers::Listed;
use crate::{
    error::Error,
    journal::{Entry, Played},
    registry::{CallRecord, Origin, Place, Status},
};

const DEFAULT_PAGE: usize = 50;
const LARGEST_PAGE: i32 = 1_000;

/// The id of a call.
#[derive(Debug)]
pub(super) struct CallId(pub(super) String);

#[derive(Debug)]
pub(super) struct WatchCall {
    pub(super) call_id: CallId,
    pub(super) after: u64,
}

#[derive(Debug)]
pub(super) struct ListCalls {
    pub(super) limit: usize,
    pub(super) before: Option<Place>,
    states: Vec<i32>,
}

// === requests ===

pub(super) fn call_id(call_id: String) -> Result<CallId, Error> {
    if call_id.is_empty() {
        return Err(Error::InvalidField {
            field: "call_id",
            message: "is empty; ListCalls tells the ids".into(),
        });
    }
    Ok(CallId(call_id))
}

impl TryFrom<pb::GetCallRequest> for CallId {
    type Error = Error;

    fn try_from(request: pb::GetCallRequest) -> Result<Self, Error> {
        let pb::GetCallRequest { call_id: id } = request;
        call_id(id)
    }
}

impl TryFrom<pb::EndCallRequest> for CallId {
    type Error = Error;

    fn try_from(request: pb::EndCallRequest) -> Result<Self, Error> {
        let pb::EndCallRequest { call_id: id } = request;
        call_id(id)
    }
}

impl TryFrom<pb::WatchCallRequest> for WatchCall {
    type Error = Error;

    fn try_from(request: pb::WatchCallRequest) -> Result<Self, Error> {
        let pb::WatchCallRequest { call_id: id, after_sequence } = request;
        let after = u64::try_from(after_sequence).map_err(|_| Error::InvalidField {
            field: "after_sequence",
            message: format!("{after_sequence} is below zero"),
        })?;
        Ok(Self { call_id: call_id(id)?, after })
    }
}

impl TryFrom<pb::ListCallsRequest> for ListCalls {
    type Error = Error;

    fn try_from(request: pb::ListCallsRequest) -> Result<Self, Error> {
        let pb::ListCallsRequest { page_size, page_token, states } = request;
        let limit = match page_size {
            0 => DEFAULT_PAGE,
            1..=LARGEST_PAGE => page_size as usize,
            _ => {
                let message = format!("{page_size} is not between 1 and {LARGEST_PAGE}");
                return Err(Error::InvalidField { field: "page_size", message });
            }
        };
        let before = if page_token.is_empty() {
            None
        } else {
            let message = "is not a token that ListCalls gave".to_owned();
            Some(place(&page_token).ok_or(Error::InvalidField { field: "page_token", message })?)
        };
        if let Some(state) = states.iter().find(|state| pb::CallState::try_from(**state).is_err()) {
            return Err(Error::InvalidField { field: "states", message: format!("{state} is not a state") });
        }
        Ok(Self { limit, before, states })
    }
}

impl ListCalls {
    pub(super) fn wants(&self, record: &CallRecord) -> bool {
        self.states.is_empty() || self.states.contains(&(to_state(record.status().state) as i32))
    }
}

// === responses ===

pub(super) fn to_page(own: &[Arc<CallRecord>], others: Vec<Listed>, limit: usize) -> pb::ListCallsResponse {
    let mut calls: Vec<_> = own.iter().map(|record| to_call(record)).collect();
    let mut has_more = calls.len() > limit;
    let mut unreachable_relays = Vec::new();
    for Listed { addr, page } in others {
        match page {
            Some(page) => {
                has_more |= !page.next_page_token.is_empty();
                calls.extend(page.calls);
            }
            None => unreachable_relays.push(addr),
        }
    }
    calls.sort_by_cached_key(|call| Reverse(place_of(call)));
    has_more |= calls.len() > limit;
    calls.truncate(limit);
    let next_page_token = calls.last().filter(|_| has_more).map(to_token).unwrap_or_default();
    pb::ListCallsResponse { calls, next_page_token, unreachable_relays }
}

/// When a call was learned of, and its id.
fn place_of(call: &pb::Call) -> (i64, i32, String) {
    let at = call.create_time.unwrap_or_default();
    (at.seconds, at.nanos, call.call_id.clone())
}

fn to_token(call: &pb::Call) -> String {
    let (seconds, nanos, call_id) = place_of(call);
    format!("{seconds}.{nanos}.{call_id}")
}

/// Reads what [`to_token`] has written.
fn place(token: &str) -> Option<Place> {
    let mut parts = token.splitn(3, '.');
    let (seconds, nanos) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let created_at = Timestamp::new(seconds, nanos).ok()?;
    Some(Place { created_at, call_id: parts.next()?.to_owned() })
}

pub(super) fn to_call(record: &CallRecord) -> pb::Call {
    let Status { state, activity, turns, ended_at } = record.status();
    pb::Call {
        call_id: record.call_id.clone(),
        state: to_state(state).into(),
        activity: to_activity(activity).into(),
        context: record.context.clone(),
        caller_number: record.caller_number.clone(),
        called_number: record.called_number.clone(),
        create_time: Some(to_timestamp(record.created_at)),
        end_time: ended_at.map(to_timestamp),
        end_reason: to_end_reason(state).into(),
        turn_count: turns as i32,
        direction: match record.origin {
            Origin::Placed => pb::CallDirection::Outbound,
            Origin::Received | Origin::Streamed => pb::CallDirection::Inbound,
        }
        .into(),
        last_sequence: record.journal.head().sequence as i64,
    }
}

pub(super) fn to_event(entry: Entry) -> pb::CallEvent {
    let Entry { sequence, at, notice, played } = entry;
    pb::CallEvent {
        sequence: sequence as i64,
        event_time: Some(to_timestamp(at)),
        event: Some(to_payload(notice, played)),
    }
}

fn to_payload(notice: Notice, played: Vec<Played>) -> pb::call_event::Event {
    use pb::call_event::Event;
    match notice {
        Notice::StateChanged { state, activity } => Event::StateChanged(pb::StateChanged {
            state: to_state(state).into(),
            activity: to_activity(activity).into(),
            end_reason: to_end_reason(state).into(),
        }),
        Notice::SpeechStarted => Event::SpeechStarted(pb::SpeechStarted {}),
        Notice::SpeechEnded { reason, silence } => Event::SpeechEnded(pb::SpeechEnded {
            reason: match reason {
                EndpointReason::Line => pb::EndpointReason::Provider,
                EndpointReason::ShortSilence => pb::EndpointReason::ShortSilence,
                EndpointReason::LongSilence => pb::EndpointReason::LongSilence,
                EndpointReason::TooLong => pb::EndpointReason::TooLong,
            }
            .into(),
            silence_duration: Some(to_duration(silence)),
        }),
        Notice::SpeechDismissed { reason, text } => Event::SpeechDismissed(pb::SpeechDismissed {
            reason: match reason {
                DismissReason::Noise => pb::DismissReason::Noise,
                DismissReason::Backchannel => pb::DismissReason::Backchannel,
            }
            .into(),
            text,
        }),
        Notice::PartialTranscript { text, stable, source } => Event::Transcript(pb::CallTranscript {
            turn_id: String::new(),
            text,
            is_final: false,
            source: match source {
                Recogniser::Line => pb::TranscriptSource::Provider,
                Recogniser::Worker => pb::TranscriptSource::Worker,
            }
            .into(),
            stable_length: i32::try_from(stable).unwrap_or(i32::MAX),
        }),
        Notice::Transcript { turn, text } => Event::Transcript(pb::CallTranscript {
            turn_id: turn.to_string(),
            stable_length: text.chars().count().try_into().unwrap_or(i32::MAX),
            text,
            is_final: true,
            source: pb::TranscriptSource::Worker.into(),
        }),
        Notice::ReplyDelta { turn, text } => {
            Event::ReplyDelta(pb::CallReplyDelta { turn_id: turn.to_string(), text })
        }
        Notice::PlaybackStarted { playback, kind, turn, text, duration } => {
            Event::PlaybackStarted(pb::PlaybackStarted {
                playback_id: playback.0.into(),
                kind: to_kind(kind).into(),
                turn_id: to_turn_id(turn),
                text,
                play_duration: Some(to_duration(duration)),
                clips: played.into_iter().map(to_played).collect(),
            })
        }
        Notice::PlaybackFinished { playback, kind, turn } => Event::PlaybackFinished(pb::PlaybackFinished {
            playback_id: playback.0.into(),
            kind: to_kind(kind).into(),
            turn_id: to_turn_id(turn),
        }),
        Notice::PlaybackInterrupted { playback, kind, turn, said, heard } => {
            Event::PlaybackInterrupted(pb::PlaybackInterrupted {
                playback_id: playback.0.into(),
                kind: to_kind(kind).into(),
                turn_id: to_turn_id(turn),
                said,
                heard,
            })
        }
        Notice::TurnFailed { turn, reason } => {
            Event::TurnFailed(pb::TurnFailed { turn_id: turn.to_string(), reason })
        }
        Notice::TurnCancelled { turn, reason } => Event::TurnCancelled(pb::TurnCancelled {
            turn_id: turn.to_string(),
            reason: match reason {
                CancelReason::CallerWentOn => pb::TurnCancelReason::CallerWentOn,
                CancelReason::NothingSaid => pb::TurnCancelReason::NothingSaid,
                CancelReason::CallEnded => pb::TurnCancelReason::CallEnded,
                CancelReason::SaidOver => pb::TurnCancelReason::SaidOver,
            }
            .into(),
        }),
        Notice::InterruptionRepaired { playback, kind, turn, silence } => {
            Event::InterruptionRepaired(pb::InterruptionRepaired {
                playback_id: playback.0.into(),
                kind: to_kind(kind).into(),
                turn_id: to_turn_id(turn),
                silence_duration: Some(to_duration(silence)),
            })
        }
        Notice::SpeculationSettled { turn, outcome } => Event::SpeculationSettled(pb::SpeculationSettled {
            turn_id: turn.to_string(),
            outcome: match outcome {
                SpeculationOutcome::Kept => pb::SpeculationOutcome::Kept,
                SpeculationOutcome::CallerWentOn => pb::SpeculationOutcome::CallerWentOn,
                SpeculationOutcome::Contradicted => pb::SpeculationOutcome::Contradicted,
                SpeculationOutcome::Failed => pb::SpeculationOutcome::Failed,
                SpeculationOutcome::NothingSaid => pb::SpeculationOutcome::NothingSaid,
                SpeculationOutcome::CallEnded => pb::SpeculationOutcome::CallEnded,
            }
            .into(),
        }),
        Notice::TurnTimings { turn, parts, won } => Event::TurnTimings(pb::TurnTimings {
            turn_id: turn.to_string(),
            total_duration: Some(to_duration(parts.iter().map(|part| part.duration).sum())),
            parts: parts.into_iter().map(to_part).collect(),
            won_duration: Some(to_duration(won)),
        }),
        Notice::Degraded { reason } => Event::Degraded(pb::Degraded { reason: reason.to_owned() }),
        Notice::AnswererDetected { answerer } => Event::AnswererDetected(pb::AnswererDetected {
            answerer: match answerer {
                Answerer::Human => pb::Answerer::Human,
                Answerer::Machine => pb::Answerer::Machine,
                Answerer::Unknown => pb::Answerer::Unknown,
            }
            .into(),
        }),
        Notice::SayEnded { say, outcome, heard } => Event::SayEnded(pb::SayEnded {
            say_id: say.0.into(),
            outcome: match outcome {
                SayOutcome::Heard => pb::SayOutcome::Heard,
                SayOutcome::Interrupted => pb::SayOutcome::Interrupted,
                SayOutcome::Unsaid => pb::SayOutcome::Unsaid,
            }
            .into(),
            heard,
        }),
        Notice::Instructed { text } => Event::Instructed(pb::Instructed { text }),
        Notice::DigitsSent { digits } => Event::DigitsSent(pb::DigitsSent { digits }),
        Notice::TransferConnected => Event::TransferConnected(pb::TransferConnected {}),
        Notice::TransferFailed { reason } => Event::TransferFailed(pb::TransferFailed {
            reason: match reason {
                TransferFailure::Busy => pb::TransferFailureReason::Busy,
                TransferFailure::NoAnswer => pb::TransferFailureReason::NoAnswer,
                TransferFailure::HungUp => pb::TransferFailureReason::HungUp,
                TransferFailure::Refused => pb::TransferFailureReason::Refused,
                TransferFailure::Failed => pb::TransferFailureReason::Unreachable,
            }
            .into(),
        }),
        Notice::MessageLeft { turn, recordings } => {
            Event::MessageLeft(pb::MessageLeft { message_id: turn.to_string(), recording_urls: recordings })
        }
        Notice::ToolCalled { turn, tool_call, name, arguments } => Event::ToolCalled(pb::ToolCalled {
            turn_id: turn.to_string(),
            tool_call_id: tool_call,
            name,
            arguments,
        }),
        Notice::ToolEnded { turn, tool_call, name, outcome, reason } => Event::ToolEnded(pb::ToolEnded {
            turn_id: turn.to_string(),
            tool_call_id: tool_call,
            name,
            outcome: match outcome {
                ToolOutcome::Done => pb::ToolOutcome::Done,
                ToolOutcome::Refused => pb::ToolOutcome::Refused,
                ToolOutcome::Failed => pb::ToolOutcome::Failed,
                ToolOutcome::Cancelled => pb::ToolOutcome::Cancelled,
            }
            .into(),
            reason: reason.to_owned(),
        }),
        Notice::DigitPressed { digit } => Event::DigitPressed(pb::DigitPressed { digit: digit.to_string() }),
    }
}

fn to_played(played: Played) -> pb::PlayedClip {
    let Played { engine, is_cached } = played;
    pb::PlayedClip { engine, is_cached }
}

fn to_part(part: TimedPart) -> pb::TurnPart {
    pb::TurnPart { name: part.name.to_owned(), part_duration: Some(to_duration(part.duration)) }
}

fn to_turn_id(turn: Option<TurnId>) -> String {
    turn.map(|turn| turn.to_string()).unwrap_or_default()
}

fn to_state(state: State) -> pb::CallState {
    match state {
        State::Ringing => pb::CallState::Ringing,
        State::Active => pb::CallState::Active,
        State::Ending { .. } => pb::CallState::Ending,
        State::Ended { .. } => pb::CallState::Ended,
    }
}

fn to_activity(activity: Option<Activity>) -> pb::Activity {
    match activity {
        None => pb::Activity::Unspecified,
        Some(Activity::Listening) => pb::Activity::Listening,
        Some(Activity::Thinking) => pb::Activity::Thinking,
        Some(Activity::Speaking) => pb::Activity::Speaking,
    }
}

fn to_kind(kind: PlaybackKind) -> pb::PlaybackKind {
    match kind {
        PlaybackKind::Greeting => pb::PlaybackKind::Greeting,
        PlaybackKind::Reply => pb::PlaybackKind::Reply,
        PlaybackKind::Filler => pb::PlaybackKind::Filler,
        PlaybackKind::Apology => pb::PlaybackKind::Apology,
        PlaybackKind::NoInput => pb::PlaybackKind::NoInput,
        PlaybackKind::Goodbye => pb::PlaybackKind::Goodbye,
        PlaybackKind::Busy => pb::PlaybackKind::Busy,
        PlaybackKind::Say => pb::PlaybackKind::Say,
        PlaybackKind::Voicemail => pb::PlaybackKind::Voicemail,
        PlaybackKind::Transfer => pb::PlaybackKind::Transfer,
    }
}

fn to_end_reason(state: State) -> pb::EndReason {
    let (State::Ending { reason } | State::Ended { reason }) = state else {
        return pb::EndReason::Unspecified;
    };
    match reason {
        EndReason::CallerHangup => pb::EndReason::CallerHangup,
        EndReason::Requested => pb::EndReason::Requested,
        EndReason::NoInput => pb::EndReason::NoInput,
        EndReason::CallLimit => pb::EndReason::CallLimit,
        EndReason::TurnLimit => pb::EndReason::TurnLimit,
        EndReason::Failures => pb::EndReason::Failures,
        EndReason::Busy => pb::EndReason::Busy,
        EndReason::Drain => pb::EndReason::Drain,
        EndReason::Transferred => pb::EndReason::Transferred,
        EndReason::LineLost => pb::EndReason::LineLost,
        EndReason::CalleeBusy => pb::EndReason::CalleeBusy,
        EndReason::NoAnswer => pb::EndReason::NoAnswer,
        EndReason::DialFailed => pb::EndReason::DialFailed,
        EndReason::Voicemail => pb::EndReason::Voicemail,
        EndReason::Assistant => pb::EndReason::Assistant,
    }
}

fn to_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

fn to_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}
