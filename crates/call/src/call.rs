//! The state machine of one call. What happens while it is active is in `call/talk.rs` and the files beside it.

mod draft;
mod handover;
mod hearing;
mod interruption;
mod message;
mod requests;
mod resumption;
mod screening;
mod silence;
mod speaking;
pub(crate) mod speculation;
mod talk;
mod tools;
mod turns;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

pub use resumption::Kept;
use screening::Screening;
use talk::{Cx, Step, Talk};

use crate::{
    ClipId, Command, Config, DialFailure, EndReason, Event, Message, Notice, PlaybackKind, Voicemail,
    notice::CancelReason,
};

/// How long the provider may take to report that an answered call is up, or that an ended one is down.
const PROVIDER_WAIT: Duration = Duration::from_secs(10);

/// Where a call is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not answered yet.
    Ringing,
    /// The conversation goes on.
    Active,
    /// Hanging up, or handed over.
    Ending {
        /// Why.
        reason: EndReason,
    },
    /// Over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// What the assistant is doing while a call is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Waiting for the caller, or hearing him.
    Listening,
    /// Working on a reply, or on something else to say.
    Thinking,
    /// Speaking.
    Speaking,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    config: Config,
    life: Life,
    out: Outbox,
    reported: Option<(State, Option<Activity>)>,
    history: Vec<Message>,
}

#[derive(Debug)]
enum Life {
    Ringing {
        deadline: Instant,
        pickup: Pickup,
    },
    Screening(Screening),
    Active(Box<Talk>),
    /// With the conversation that goes on if nobody takes the call over.
    Ending {
        reason: EndReason,
        deadline: Instant,
        kept: Option<Box<Talk>>,
    },
    Ended {
        reason: EndReason,
    },
}

/// What follows on the answer.
#[derive(Debug)]
enum Pickup {
    Greet,
    TurnAway(EndReason),
    /// The call is ours.
    Placed(Voicemail),
}

/// Commands that wait to be taken, and the ids they use.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    commands: VecDeque<Command>,
    /// Clips that were asked for and may be needed yet.
    pub(crate) clips: Vec<ClipId>,
    pub(crate) last_turn: u32,
    pub(crate) last_clip: u32,
    pub(crate) last_playback: u32,
    pub(crate) last_say: u32,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn push(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn report(&mut self, notice: Notice) {
        self.push(Command::Report(notice));
    }
}

// === impl Call ===

impl Call {
    /// Takes a call that rings, to have a conversation.
    pub fn answer(now: Instant, config: Config) -> Self {
        Self::new(config, Command::Answer, now + PROVIDER_WAIT, Pickup::Greet)
    }

    /// Takes a call that there is no room for: it is told so and ended.
    pub fn turn_away(now: Instant, config: Config) -> Self {
        Self::new(config, Command::Answer, now + PROVIDER_WAIT, Pickup::TurnAway(EndReason::Busy))
    }

    /// Calls somebody, whose telephone may ring for as long as `ring`.
    pub fn place(now: Instant, config: Config, voicemail: Voicemail, ring: Duration) -> Self {
        Self::new(config, Command::Dial, now + ring + PROVIDER_WAIT, Pickup::Placed(voicemail))
    }

    fn new(config: Config, first: Command, deadline: Instant, pickup: Pickup) -> Self {
        let life = Life::Ringing { deadline, pickup };
        let mut call = Self { config, life, out: Outbox::default(), reported: None, history: Vec::new() };
        call.out.push(first);
        call.report_state();
        call
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::HungUp => self.end(self.reason_of_hangup()),
            Event::LineFailed => self.end(EndReason::LineLost),
            Event::EndRequested => self.hang_up(now, EndReason::Requested),
            Event::DialFailed { reason } => self.dial_failed(reason),
            event => self.advance(now, event),
        }
        self.settle();
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Every expiry removes or moves its deadline ahead; the bound turns a mistake into a late call, not a hang.
        for _ in 0..64 {
            if self.next_timeout().is_none_or(|deadline| deadline > now) {
                break;
            }
            self.expire(now);
        }
        self.settle();
    }

    /// When [`Call::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.life {
            Life::Ringing { deadline, .. } | Life::Ending { deadline, .. } => Some(*deadline),
            Life::Screening(screening) => Some(screening.deadline),
            Life::Active(talk) => talk.next_deadline(&self.config),
            Life::Ended { .. } => None,
        }
    }

    /// Takes the next thing to be done.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.out.commands.pop_front()
    }

    /// Where the call is in its life.
    pub fn state(&self) -> State {
        match &self.life {
            Life::Ringing { .. } => State::Ringing,
            Life::Screening(_) | Life::Active(_) => State::Active,
            Life::Ending { reason, .. } => State::Ending { reason: *reason },
            Life::Ended { reason } => State::Ended { reason: *reason },
        }
    }

    /// What the assistant is doing; `None` unless the call is active.
    pub fn activity(&self) -> Option<Activity> {
        match &self.life {
            Life::Screening(_) => Some(Activity::Listening),
            Life::Active(talk) => Some(talk.activity()),
            Life::Ringing { .. } | Life::Ending { .. } | Life::Ended { .. } => None,
        }
    }

    /// The conversation so far, as the caller heard it.
    pub fn history(&self) -> Vec<Message> {
        match &self.life {
            Life::Active(talk) => talk.history.messages(),
            Life::Ringing { .. } | Life::Screening(_) | Life::Ending { .. } | Life::Ended { .. } => {
                self.history.clone()
            }
        }
    }

    /// A rule of the conversation that does not hold.
    pub(crate) fn broken_rule(&self) -> Option<&'static str> {
        match &self.life {
            Life::Active(talk) => talk.broken_rule(),
            Life::Ringing { .. } | Life::Screening(_) | Life::Ending { .. } | Life::Ended { .. } => None,
        }
    }

    fn advance(&mut self, now: Instant, event: Event) {
        match (&mut self.life, event) {
            (Life::Ringing { pickup, .. }, Event::Answered) => {
                match std::mem::replace(pickup, Pickup::Greet) {
                    Pickup::Greet => self.begin_talk(now),
                    Pickup::TurnAway(reason) => self.dismiss(now, reason),
                    Pickup::Placed(voicemail) => self.reached(now, voicemail),
                }
            }
            (Life::Ringing { pickup, .. }, Event::DrainStarted) => match pickup {
                Pickup::Placed(_) => self.hang_up(now, EndReason::Drain),
                Pickup::Greet => *pickup = Pickup::TurnAway(EndReason::Drain),
                Pickup::TurnAway(_) => {}
            },
            (Life::Screening(_), event) => self.screen(now, event),
            (Life::Active(talk), event) => {
                let mut cx = Cx { now, config: &self.config, out: &mut self.out };
                let step = talk.handle(&mut cx, event);
                self.follow(now, step);
            }
            (Life::Ending { reason: EndReason::Transferred, kept, .. }, Event::TransferFailed { reason }) => {
                let kept = kept.take();
                self.out.report(Notice::TransferFailed { reason });
                self.transfer_failed(now, kept, reason);
            }
            (Life::Ending { reason: EndReason::Transferred, .. }, Event::TransferConnected) => {
                self.out.report(Notice::TransferConnected);
            }
            // It may be given back.
            (Life::Ending { kept: Some(talk), .. }, Event::DrainStarted) => talk.is_draining = true,
            // Nothing else matters to a call that is not active: late events of what is over.
            (Life::Ringing { .. } | Life::Ending { .. } | Life::Ended { .. }, _) => {}
        }
    }

    pub(super) fn dismiss(&mut self, now: Instant, reason: EndReason) {
        let phrases = self.config.phrases.clone();
        let (kind, text) = match reason {
            EndReason::Busy => (PlaybackKind::Busy, phrases.busy),
            _ => (PlaybackKind::Goodbye, phrases.goodbye),
        };
        let mut cx = Cx { now, config: &self.config, out: &mut self.out };
        self.life = Life::Active(Box::new(Talk::last_words(&mut cx, reason, kind, &text)));
    }

    fn dial_failed(&mut self, reason: DialFailure) {
        match &self.life {
            Life::Ringing { .. } => self.end(match reason {
                DialFailure::Busy => EndReason::CalleeBusy,
                DialFailure::NoAnswer => EndReason::NoAnswer,
                DialFailure::Failed => EndReason::DialFailed,
            }),
            // The call was given up while it rang.
            Life::Ending { reason, .. } => self.end(*reason),
            // It was answered; a late word about the dialling means nothing.
            Life::Screening(_) | Life::Active(_) | Life::Ended { .. } => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        match &mut self.life {
            Life::Ringing { pickup, .. } => {
                let reason = if matches!(pickup, Pickup::Placed(_)) {
                    EndReason::NoAnswer
                } else {
                    EndReason::LineLost
                };
                self.out.push(Command::HangUp);
                self.end(reason);
            }
            Life::Screening(_) => self.screened_too_long(now),
            Life::Active(talk) => {
                let mut cx = Cx { now, config: &self.config, out: &mut self.out };
                let step = talk.expire(&mut cx);
                self.follow(now, step);
            }
            Life::Ending { reason, .. } => {
                let reason = *reason;
                self.out.push(Command::HangUp);
                self.end(reason);
            }
            Life::Ended { .. } => {}
        }
    }

    fn follow(&mut self, now: Instant, step: Step) {
        match step {
            Step::Stay => {}
            Step::HangUp(reason) => self.hang_up(now, reason),
            Step::Transfer(to) => self.hand_over(now, to),
            Step::Gone => self.handed_over(now),
        }
    }

    fn hang_up(&mut self, now: Instant, reason: EndReason) {
        let is_transferred = matches!(self.life, Life::Ending { reason: EndReason::Transferred, .. });
        if matches!(self.life, Life::Ended { .. } | Life::Ending { .. }) && !is_transferred {
            return;
        }
        self.leave_talk(CancelReason::CallEnded);
        self.out.push(Command::HangUp);
        self.life = Life::Ending { reason, deadline: now + PROVIDER_WAIT, kept: None };
    }

    fn end(&mut self, reason: EndReason) {
        if matches!(self.life, Life::Ended { .. }) {
            return;
        }
        self.leave_talk(CancelReason::CallEnded);
        self.life = Life::Ended { reason };
    }

    /// Stops whatever the conversation has in the works.
    pub(super) fn leave_talk(&mut self, reason: CancelReason) {
        if let Life::Active(talk) = &mut self.life {
            talk.abandon(&mut self.out, reason);
            self.history = talk.history.messages();
        }
    }

    fn reason_of_hangup(&self) -> EndReason {
        match &self.life {
            Life::Ending { reason, .. } | Life::Ended { reason } => *reason,
            Life::Ringing { pickup: Pickup::Placed(_), .. } => EndReason::DialFailed,
            Life::Ringing { .. } | Life::Screening(_) | Life::Active(_) => EndReason::CallerHangup,
        }
    }

    /// Tells what has changed by what was just done.
    fn settle(&mut self) {
        self.forget_clips();
        self.report_state();
    }

    fn forget_clips(&mut self) {
        let needs = |clip: &ClipId| matches!(&self.life, Life::Active(talk) if talk.needs(*clip));
        let (needed, over) = std::mem::take(&mut self.out.clips).into_iter().partition(needs);
        self.out.clips = needed;
        let over: Vec<ClipId> = over;
        if !over.is_empty() && !matches!(self.life, Life::Ended { .. }) {
            self.out.push(Command::ForgetClips { clips: over });
        }
    }

    fn report_state(&mut self) {
        let now = (self.state(), self.activity());
        if self.reported.replace(now) != Some(now) {
            self.out.report(Notice::StateChanged { state: now.0, activity: now.1 });
        }
    }
}
