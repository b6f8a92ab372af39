//! `Converse`: a call leg made of audio frames.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_stream::stream;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use metrics::Histogram;
use tokio::sync::oneshot;
use tonic::{Status, Streaming};
use voice_ledger::Owner;
use voice_proto::relay::v1::{
    CallerAudio, ClearAudio, ConversationStarted, ConverseConfig, ConverseRequest, ConverseResponse,
    DigitPressed, PlayoutMark, converse_request::Payload, converse_response,
};
use voice_server::Unreadable;

use super::{Api, asks, audio, convert, watch};
use crate::{
    error::Error,
    leg::{Leg, LegEvent, Outgoing, outbox},
    registry::CallRecord,
    sound::AudioFormat,
    switchboard::{Converse, Order},
};

/// The configuration is what a client begins with, so it is not waited for as long as what he says.
const CONFIG_WAIT: Duration = Duration::from_secs(10);

/// The longest piece of audio.
const LONGEST_AUDIO: Duration = Duration::from_millis(200);

/// Characters of a name of who calls, and whom.
const LONGEST_NUMBER: usize = 64;

/// How a leg begins.
#[derive(Debug)]
struct Setup {
    format: AudioFormat,
    token: Option<String>,
    converse: Converse,
    answers_marks: bool,
    wants_events: bool,
}

impl Api {
    /// Connects a leg with its call; gives all that goes out on it.
    pub(super) async fn connect(
        &self,
        mut requests: Streaming<ConverseRequest>,
        by: Option<String>,
    ) -> Result<BoxStream<'static, Result<ConverseResponse, Status>>, Status> {
        let first =
            tokio::time::timeout(CONFIG_WAIT, requests.message()).await.map_err(|_| Error::IdleTimeout)??;
        let Some(ConverseRequest { payload: Some(Payload::Config(config)) }) = first else {
            return Err(Error::MissingConfig.into());
        };
        let Setup { format, token, converse, answers_marks, wants_events } = config.try_into()?;
        let (outbox, mut delivery) = outbox();
        let events = Received::new(requests, format).boxed();
        let leg = Leg { format, answers_marks, events, outbox };
        let record = match token {
            Some(token) => self.bring(&token, converse, leg, by).await?,
            None => self.begin(None, converse, leg, by).await?,
        };
        let started = ConversationStarted {
            call: Some(convert::to_call(&record)),
            format: Some(audio::to_format(format)),
        };
        let audio = stream! {
            yield respond(converse_response::Payload::Started(started));
            while let Some(outgoing) = delivery.next().await {
                yield outgoing.map_err(Status::from).and_then(|outgoing| respond(to_payload(outgoing)));
            }
        };
        if !wants_events {
            return Ok(audio.boxed());
        }
        let events = watch(record, 0).map(|response| {
            let event = response?.event.ok_or_else(|| Status::internal("an event without one"))?;
            respond(converse_response::Payload::Event(event))
        });
        Ok(futures::stream::select(audio, events).boxed())
    }

    /// Brings a leg to the call that its token names: one that waits for it, or one that a gateway has just taken.
    async fn bring(
        &self,
        token: &str,
        converse: Converse,
        leg: Leg,
        by: Option<String>,
    ) -> Result<Arc<CallRecord>, Error> {
        let call_id = self.desk.redeem(token, Timestamp::now())?;
        match self.desk.hand_over(&call_id, leg) {
            Ok(()) => self.registry.find(&call_id).ok_or(Error::CallNotFound(call_id)),
            Err(_) if self.registry.find(&call_id).is_some() => Err(Error::MediaTokenRefused),
            Err(leg) => match self.peers.home_of(&call_id).await {
                // It is over and forgotten.
                Owner::Here => Err(Error::MediaTokenRefused),
                Owner::There(relay_addr) => Err(Error::CallElsewhere { relay_addr }),
                Owner::Nobody => self.begin(Some(call_id), converse, leg, by).await,
            },
        }
    }

    async fn begin(
        &self,
        call_id: Option<String>,
        converse: Converse,
        leg: Leg,
        by: Option<String>,
    ) -> Result<Arc<CallRecord>, Error> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Converse { call_id, converse, leg, by, reply })?;
        answer.await.unwrap_or(Err(Error::Draining))
    }
}

impl TryFrom<ConverseConfig> for Setup {
    type Error = Error;

    fn try_from(config: ConverseConfig) -> Result<Self, Error> {
        let ConverseConfig {
            format,
            media_token,
            context,
            caller_number,
            called_number,
            instructions,
            answers_marks,
            wants_events,
        } = config;
        let converse = Converse {
            context,
            caller_number: asks::short_text("caller_number", caller_number, LONGEST_NUMBER)?,
            called_number: asks::short_text("called_number", called_number, LONGEST_NUMBER)?,
            instructions: asks::instructions(instructions)?,
        };
        let token = (!media_token.is_empty()).then_some(media_token);
        Ok(Self { format: audio::from_format(format)?, token, converse, answers_marks, wants_events })
    }
}

/// What comes in, to its end or to the first thing that must not be.
struct Received {
    /// `None` once nothing more is taken.
    requests: Option<Streaming<ConverseRequest>>,
    format: AudioFormat,
    /// How long frames were on their way.
    way: Histogram,
}

impl Received {
    fn new(requests: Streaming<ConverseRequest>, format: AudioFormat) -> Self {
        Self { requests: Some(requests), format, way: metrics::histogram!("converse_way_seconds") }
    }
}

impl Stream for Received {
    type Item = LegEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LegEvent>> {
        let Some(requests) = &mut self.requests else { return Poll::Ready(None) };
        let event = match ready!(Pin::new(requests).poll_next(cx)) {
            Some(Ok(ConverseRequest { payload })) => {
                to_event(payload, self.format, &self.way).unwrap_or_else(LegEvent::Refused)
            }
            Some(Err(status)) => match Unreadable::of(&status) {
                Some(unreadable) => LegEvent::Refused(unreadable.into()),
                None => LegEvent::Broken,
            },
            None => return Poll::Ready(None),
        };
        if matches!(event, LegEvent::Refused(_) | LegEvent::Broken) {
            self.requests = None;
        }
        Poll::Ready(Some(event))
    }
}

fn to_event(payload: Option<Payload>, format: AudioFormat, way: &Histogram) -> Result<LegEvent, Error> {
    match payload {
        Some(Payload::Audio(CallerAudio { audio, send_time })) => {
            let is_whole = audio.len().is_multiple_of(format.sample_bytes());
            if !is_whole || format.duration_of(audio.len()) > LONGEST_AUDIO {
                let message = format!("has {} bytes; whole samples of 200 ms at most are taken", audio.len());
                return Err(Error::InvalidField { field: "audio", message });
            }
            if let Some(sent) = send_time.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok()) {
                way.record(Timestamp::now().duration_since(sent).as_secs_f64().max(0.0));
            }
            Ok(LegEvent::Audio(audio))
        }
        Some(Payload::Digit(DigitPressed { digit })) => {
            let mut chars = digit.chars();
            let key = chars.next().filter(|key| matches!(key, '0'..='9' | '*' | '#' | 'A'..='D'));
            let message = "is not one of 0-9 * # A-D".to_owned();
            let key = key.filter(|_| chars.next().is_none());
            key.map(LegEvent::Digit).ok_or(Error::InvalidField { field: "digit", message })
        }
        Some(Payload::Mark(PlayoutMark { name })) => Ok(LegEvent::Mark(name)),
        Some(Payload::Config(_)) => Err(Error::RepeatedConfig),
        None => {
            let message = "is not set; send audio, a digit or a mark".to_owned();
            Err(Error::InvalidField { field: "payload", message })
        }
    }
}

fn to_payload(outgoing: Outgoing) -> converse_response::Payload {
    match outgoing {
        Outgoing::Audio(audio) => converse_response::Payload::Audio(audio),
        Outgoing::Clear => converse_response::Payload::Clear(ClearAudio {}),
        Outgoing::Mark(name) => converse_response::Payload::Mark(PlayoutMark { name }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the items of a response stream are results")]
fn respond(payload: converse_response::Payload) -> Result<ConverseResponse, Status> {
    Ok(ConverseResponse { payload: Some(payload) })
}
