//! The state machine of one call. What happens while it is active is in `call/talk.rs` and the files beside it.

mod silence;
mod speaking;
mod talk;
mod turns;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use talk::{Cx, Step, Talk};

use crate::{Command, Config, EndReason, Event, Message, Notice, event::CancelReason};

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
    Ringing { deadline: Instant, is_busy: bool },
    Active(Box<Talk>),
    Ending { reason: EndReason, deadline: Instant },
    Ended { reason: EndReason },
}

/// Commands that wait to be taken, and the ids they use.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    commands: VecDeque<Command>,
    pub(crate) last_turn: u32,
    pub(crate) last_clip: u32,
    pub(crate) last_playback: u32,
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
        Self::new(now, config, false)
    }

    /// Takes a call that there is no room for: it is told so and ended.
    pub fn turn_away(now: Instant, config: Config) -> Self {
        Self::new(now, config, true)
    }

    fn new(now: Instant, config: Config, is_busy: bool) -> Self {
        let life = Life::Ringing { deadline: now + PROVIDER_WAIT, is_busy };
        let mut call = Self { config, life, out: Outbox::default(), reported: None, history: Vec::new() };
        call.out.push(Command::Answer);
        call.report_state();
        call
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::HungUp => self.end(self.reason_of_hangup()),
            Event::LineFailed => self.end(EndReason::LineLost),
            Event::EndRequested => self.hang_up(now, EndReason::Requested),
            event => self.advance(now, event),
        }
        self.report_state();
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
        self.report_state();
    }

    /// When [`Call::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.life {
            Life::Ringing { deadline, .. } | Life::Ending { deadline, .. } => Some(*deadline),
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
            Life::Active(_) => State::Active,
            Life::Ending { reason, .. } => State::Ending { reason: *reason },
            Life::Ended { reason } => State::Ended { reason: *reason },
        }
    }

    /// What the assistant is doing; `None` unless the call is active.
    pub fn activity(&self) -> Option<Activity> {
        match &self.life {
            Life::Active(talk) => Some(talk.activity()),
            Life::Ringing { .. } | Life::Ending { .. } | Life::Ended { .. } => None,
        }
    }

    /// The conversation so far, as the caller heard it.
    pub fn history(&self) -> Vec<Message> {
        match &self.life {
            Life::Active(talk) => talk.history.messages(),
            Life::Ringing { .. } | Life::Ending { .. } | Life::Ended { .. } => self.history.clone(),
        }
    }

    fn advance(&mut self, now: Instant, event: Event) {
        match (&mut self.life, event) {
            (Life::Ringing { is_busy, .. }, Event::Answered) => {
                let mut cx = Cx { now, config: &self.config, out: &mut self.out };
                let talk =
                    if *is_busy { Talk::dismiss(&mut cx, EndReason::Busy) } else { Talk::begin(&mut cx) };
                self.life = Life::Active(Box::new(talk));
            }
            (Life::Active(talk), event) => {
                let mut cx = Cx { now, config: &self.config, out: &mut self.out };
                let step = talk.handle(&mut cx, event);
                self.follow(now, step);
            }
            (Life::Ending { reason: EndReason::Transferred, .. }, Event::TransferFailed) => {
                // Nobody took him: he is told so far as to be told goodbye.
                let mut cx = Cx { now, config: &self.config, out: &mut self.out };
                self.life = Life::Active(Box::new(Talk::dismiss(&mut cx, EndReason::Failures)));
            }
            // Nothing else matters to a call that is not active: late events of what is over.
            (Life::Ringing { .. } | Life::Ending { .. } | Life::Ended { .. }, _) => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        match &mut self.life {
            Life::Ringing { .. } => {
                self.out.push(Command::HangUp);
                self.end(EndReason::LineLost);
            }
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
            Step::Transfer => {
                self.leave_talk(CancelReason::CallEnded);
                self.out.push(Command::Transfer);
                self.life =
                    Life::Ending { reason: EndReason::Transferred, deadline: now + self.config.max_call };
            }
        }
    }

    fn hang_up(&mut self, now: Instant, reason: EndReason) {
        let is_transferred = matches!(self.life, Life::Ending { reason: EndReason::Transferred, .. });
        if matches!(self.life, Life::Ended { .. } | Life::Ending { .. }) && !is_transferred {
            return;
        }
        self.leave_talk(CancelReason::CallEnded);
        self.out.push(Command::HangUp);
        self.life = Life::Ending { reason, deadline: now + PROVIDER_WAIT };
    }

    fn end(&mut self, reason: EndReason) {
        if matches!(self.life, Life::Ended { .. }) {
            return;
        }
        self.leave_talk(CancelReason::CallEnded);
        self.life = Life::Ended { reason };
    }

    /// Stops whatever the conversation has in the works.
    fn leave_talk(&mut self, reason: CancelReason) {
        if let Life::Active(talk) = &mut self.life {
            talk.abandon(&mut self.out, reason);
            self.history = talk.history.messages();
        }
    }

    fn reason_of_hangup(&self) -> EndReason {
        match &self.life {
            Life::Ending { reason, .. } | Life::Ended { reason } => *reason,
            Life::Ringing { .. } | Life::Active(_) => EndReason::CallerHangup,
        }
    }

    fn report_state(&mut self) {
        let now = (self.state(), self.activity());
        if self.reported.replace(now) != Some(now) {
            self.out.report(Notice::StateChanged { state: now.0, activity: now.1 });
        }
    }
}
