//! A call that we place: whom it reaches, and what a machine is told.

use std::time::{Duration, Instant};

use super::{
    Call, Life,
    talk::{Cx, Talk},
};
use crate::{Answerer, Command, EndReason, Event, Notice, PlaybackKind, Voicemail};

/// Whoever has answered by then without being found out counts as a person.
const SCREEN_WAIT: Duration = Duration::from_secs(8);

/// A machine whose greeting has no end that is noticed is told the message after this.
const TONE_WAIT: Duration = Duration::from_secs(45);

/// What is known of whoever has answered.
#[derive(Debug)]
pub(super) struct Screening {
    voicemail: Voicemail,
    is_machine: bool,
    pub(super) deadline: Instant,
}

impl Call {
    /// Somebody, or something, has answered a call of ours.
    pub(super) fn reached(&mut self, now: Instant, voicemail: Voicemail) {
        if voicemail == Voicemail::Ignore {
            self.begin_talk(now);
            return;
        }
        self.out.push(Command::Screen);
        self.life = Life::Screening(Screening { voicemail, is_machine: false, deadline: now + SCREEN_WAIT });
    }

    pub(super) fn screen(&mut self, now: Instant, event: Event) {
        let Life::Screening(screening) = &mut self.life else { return };
        match event {
            Event::AnswererDetected { answerer } if !screening.is_machine => {
                self.out.report(Notice::AnswererDetected { answerer });
                match (answerer, &screening.voicemail) {
                    (Answerer::Machine, Voicemail::LeaveMessage(_)) => {
                        screening.is_machine = true;
                        screening.deadline = now + TONE_WAIT;
                    }
                    (Answerer::Machine, Voicemail::HangUp | Voicemail::Ignore) => {
                        self.hang_up(now, EndReason::Voicemail);
                    }
                    (Answerer::Human | Answerer::Unknown, _) => self.begin_talk(now),
                }
            }
            Event::MachineReady if screening.is_machine => self.leave_message(now),
            Event::DrainStarted => self.hang_up(now, EndReason::Drain),
            _ => {}
        }
    }

    pub(super) fn screened_too_long(&mut self, now: Instant) {
        match &self.life {
            Life::Screening(Screening { is_machine: true, .. }) => self.leave_message(now),
            Life::Screening(_) => {
                self.out.report(Notice::AnswererDetected { answerer: Answerer::Unknown });
                self.begin_talk(now);
            }
            Life::Ringing { .. } | Life::Active(_) | Life::Ending { .. } | Life::Ended { .. } => {}
        }
    }

    pub(super) fn begin_talk(&mut self, now: Instant) {
        let mut cx = Cx { now, config: &self.config, out: &mut self.out };
        self.life = Life::Active(Box::new(Talk::begin(&mut cx)));
    }

    fn leave_message(&mut self, now: Instant) {
        let Life::Screening(Screening { voicemail: Voicemail::LeaveMessage(message), .. }) = &self.life
        else {
            return;
        };
        let mut cx = Cx { now, config: &self.config, out: &mut self.out };
        let talk = Talk::last_words(&mut cx, EndReason::Voicemail, PlaybackKind::Voicemail, message);
        self.life = Life::Active(Box::new(talk));
    }
}
