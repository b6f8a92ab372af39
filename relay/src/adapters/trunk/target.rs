//! Whom the call is to be handed to: called by himself, told something, and connected with the caller.

use std::time::Duration;

use tokio::time::Instant;
use voice_call::{Event, TransferFailure};
use voice_signalwire::{CallEvent, CallState, ConnectState, DialEvent, Error, Leg, Media, PlayState};

use super::{Answered, AudioLeg, Connection, News, TRANSFER_RING, Trunk, control_id, to_failure};
use crate::{
    kept::{KeptLeg, Stage},
    ports::{Announcement, Clip},
};

/// A clip whose end is not reported has been played this long after it should have been.
const PLAY_SLACK: Duration = Duration::from_secs(2);

/// Whom the call is to be handed to.
#[derive(Debug)]
pub(super) struct Target {
    /// By which the platform's events about him are known before he has a leg.
    tag: String,
    leg: Option<Leg>,
    is_answered: bool,
    telling: Option<Telling>,
    is_connected: bool,
}

/// What he is being told.
#[derive(Debug)]
struct Telling {
    control: String,
    /// When he has heard it, if nobody says so.
    due: Option<Instant>,
    /// What the platform itself says if this cannot be played.
    words: Option<Media>,
}

// === impl Target ===

impl Target {
    fn is(&self, leg: &Leg, tag: Option<&str>) -> bool {
        match &self.leg {
            Some(known) => known.call_id == leg.call_id,
            None => tag == Some(&self.tag),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.telling.as_ref()?.due
    }
}

// === impl Trunk ===

impl Trunk {
    /// Calls him.
    pub(in super::super) fn call_target(&mut self, number: &str) {
        let tag = format!("{}/{}", self.page.call_id(), control_id());
        let dial = self.client.dial(&tag, &self.own_number, number, TRANSFER_RING);
        let target =
            Target { tag: tag.clone(), leg: None, is_answered: false, telling: None, is_connected: false };
        self.target = Some(target);
        self.work.spawn(async move { Answered::Called(tag, dial.await) });
    }

    /// Tells him something, once he has answered.
    pub(in super::super) fn tell_target(&mut self, announcement: Announcement) {
        let Announcement { clip, text, language } = announcement;
        let words = Media::Tts { text, language };
        match clip {
            Some(Clip { url, duration, .. }) => {
                let due = Instant::now() + duration + PLAY_SLACK;
                self.play_to_target(&Media::Audio { url }, Some(due), Some(words));
            }
            None => self.play_to_target(&words, None, None),
        }
    }

    fn play_to_target(&mut self, media: &Media, due: Option<Instant>, words: Option<Media>) {
        let Some(target) = self.target.as_mut().filter(|target| target.is_answered) else { return };
        let Some(leg) = &target.leg else { return };
        let control = control_id();
        let play = self.client.play(leg, &control, std::slice::from_ref(media));
        target.telling = Some(Telling { control: control.clone(), due, words });
        self.work.spawn(async move { Answered::Told(control, play.await) });
    }

    pub(in super::super) fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Connects the two; a stream of the caller's audio ends with that.
    pub(in super::super) fn join_target(&mut self, stream: Option<AudioLeg>) {
        let Some(target) = self.target.as_ref().and_then(|target| target.leg.clone()) else { return };
        self.connect(stream, move |client, leg| client.connect_call(leg, &target));
    }

    /// Hangs up on him.
    pub(in super::super) fn drop_target(&mut self) {
        if let Some(Target { leg: Some(leg), is_answered, .. }) = self.forget_target() {
            let reason = if is_answered { "hangup" } else { "cancel" };
            self.end_leg(&leg, reason);
        }
    }

    /// Ends another leg than the call's own.
    fn end_leg(&mut self, leg: &Leg, reason: &str) {
        let end = self.client.end(leg, reason);
        self.work.spawn(async move {
            let _ = end.await;
            Answered::Nothing
        });
    }

    /// He is gone, or not wanted any more.
    fn forget_target(&mut self) -> Option<Target> {
        let target = self.target.take()?;
        if matches!(self.connection, Connection::Phone | Connection::StreamThenPhone) {
            self.connection = Connection::None;
        }
        self.page.update(|kept| kept.target = None);
        Some(target)
    }

    /// Whoever was called by a process that has died has nobody any more who would connect him; one with whom the caller
    /// talks is kept in mind.
    pub(super) fn take_target_back(&mut self, stage: Stage) {
        let Some(leg) = self.page.read(|kept| kept.target.clone()).map(Leg::from) else { return };
        self.target = Some(Target {
            tag: String::new(),
            leg: Some(leg),
            is_answered: true,
            telling: None,
            is_connected: true,
        });
        if stage != Stage::HandedOver {
            self.drop_target();
        }
    }

    /// Takes what concerns another leg than the call's own.
    pub(super) fn take_target_event(
        &mut self,
        leg: &Leg,
        tag: Option<&str>,
        event: &CallEvent,
    ) -> Option<News> {
        let Some(target) = self.target.as_mut().filter(|target| target.is(leg, tag)) else {
            // He was given up before he had a leg.
            if *event == CallEvent::State(CallState::Ringing) {
                self.end_leg(leg, "cancel");
            }
            return None;
        };
        if target.leg.is_none() {
            target.leg = Some(leg.clone());
            self.page.update(|kept| kept.target = Some(KeptLeg::from(leg)));
        }
        match event {
            CallEvent::State(CallState::Answered) => self.target_answered(),
            CallEvent::State(CallState::Ending | CallState::Ended) => {
                self.target_lost(TransferFailure::Failed)
            }
            CallEvent::NotReached(why) => self.target_lost(to_failure(*why)),
            CallEvent::Play { control_id, state } => self.played_to_target(control_id, *state),
            // Either leg may be told of the connection, or both.
            CallEvent::Connect(state @ (ConnectState::Connected | ConnectState::Disconnected)) => {
                self.connection_changed(*state)
            }
            CallEvent::State(CallState::Ringing)
            | CallEvent::Connect(ConnectState::Connecting | ConnectState::Failed(_))
            | CallEvent::DigitsSent { .. }
            | CallEvent::Detect { .. }
            | CallEvent::Record(_)
            | CallEvent::Collect(_) => None,
        }
    }

    /// Takes what came of calling him.
    pub(in super::super) fn take_dial(&mut self, tag: &str, event: &DialEvent) -> Option<News> {
        let is_own = matches!(event, DialEvent::Answered(leg) if self.is_of(leg));
        let target = self.target.as_ref().filter(|target| target.tag == tag);
        match (event, target) {
            (DialEvent::Answered(leg), Some(_)) => {
                let answered = CallEvent::State(CallState::Answered);
                self.take_target_event(leg, Some(tag), &answered)
            }
            (DialEvent::Failed(why), Some(target)) if !target.is_answered => {
                self.target_lost(to_failure(*why))
            }
            // Nobody waits for him any more.
            (DialEvent::Answered(leg), None) if !is_own => {
                self.end_leg(leg, "hangup");
                None
            }
            // What is told of the call's own dialling is old.
            (DialEvent::Answered(_), None) | (DialEvent::Failed(_), _) => None,
        }
    }

    fn target_answered(&mut self) -> Option<News> {
        let target = self.target.as_mut()?;
        let was_answered = std::mem::replace(&mut target.is_answered, true);
        (!was_answered).then_some(News::Call(Event::TargetAnswered))
    }

    /// He cannot be had, or has hung up.
    fn target_lost(&mut self, reason: TransferFailure) -> Option<News> {
        let Target { is_answered, is_connected, .. } = self.forget_target()?;
        if is_connected {
            self.hang_up();
            return None;
        }
        let reason = if is_answered { TransferFailure::HungUp } else { reason };
        Some(News::Call(Event::TransferFailed { reason }))
    }

    /// The two can talk. Both legs may be told so.
    pub(super) fn connected(&mut self) -> Option<News> {
        let was_connected =
            self.target.as_mut().is_some_and(|target| std::mem::replace(&mut target.is_connected, true));
        (!was_connected).then_some(News::Call(Event::TransferConnected))
    }

    pub(super) fn not_called(&mut self, tag: &str, error: &Error) -> Option<News> {
        self.target.as_ref().filter(|target| target.tag == tag && !target.is_answered)?;
        tracing::warn!(%error, "somebody could not be called to hand a call to");
        Some(self.not_transferred(TransferFailure::Failed))
    }

    fn telling(&mut self, control: &str) -> Option<&mut Telling> {
        self.target.as_mut()?.telling.as_mut().filter(|telling| telling.control == control)
    }

    fn played_to_target(&mut self, control: &str, state: PlayState) -> Option<News> {
        let telling = self.telling(control)?;
        match state {
            PlayState::Playing | PlayState::Paused => None,
            PlayState::Finished => self.target_told(),
            PlayState::Failed => match telling.words.take() {
                Some(words) => {
                    self.play_to_target(&words, None, None);
                    None
                }
                // The caller has waited long enough.
                None => self.target_told(),
            },
        }
    }

    pub(super) fn not_told(&mut self, control: &str, error: &Error) -> Option<News> {
        self.telling(control)?;
        match error {
            Error::Gone => self.target_lost(TransferFailure::HungUp),
            // Whether it arrived is not known: if it has, its end is told.
            Error::Disconnected => None,
            error => {
                tracing::warn!(%error, "an announcement was refused");
                self.played_to_target(control, PlayState::Failed)
            }
        }
    }

    pub(super) fn target_told(&mut self) -> Option<News> {
        let told = self.target.as_mut()?.telling.take();
        told.map(|_| News::Call(Event::TargetTold))
    }
}
