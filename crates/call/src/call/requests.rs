//! What the outside asks of a live call.

use std::time::{Duration, Instant};

use super::{
    Call, Life, Outbox,
    talk::{Cx, Talk},
};
use crate::{
    Command, Destination, Handover, Notice, PlaybackKind, Refusal, SayId, SayOutcome,
    event::Event,
    history::Role,
    mouth::{Broken, Speech, joined},
    notice::CancelReason,
    request::{MOST_INSTRUCTIONS, MOST_SAYS, dialling_time},
};

/// Digits whose end is not reported count as dialled this long after it should have been.
const DIGITS_SLACK: Duration = Duration::from_secs(3);

/// Something that the outside wants said, until it is over with.
#[derive(Debug)]
pub(crate) struct OpenSay {
    say: SayId,
    heard: String,
}

/// Digits that are being dialled.
#[derive(Debug)]
pub(crate) struct DigitsOut {
    digits: String,
    pub(super) deadline: Instant,
}

impl DigitsOut {
    pub(super) fn new(now: Instant, digits: String) -> Self {
        let deadline = now + dialling_time(&digits) + DIGITS_SLACK;
        Self { digits, deadline }
    }
}

impl Call {
    /// Says a text: after what is being said, or at once over it. [`Notice::SayEnded`] tells what became of it.
    ///
    /// # Errors
    /// When nobody would hear it, or too much is waiting.
    pub fn say(&mut self, now: Instant, text: &str, interrupts: bool) -> Result<SayId, Refusal> {
        self.ask(now, |talk, cx| talk.say_asked(cx, text, interrupts))
    }

    /// Dials digits into the call.
    ///
    /// # Errors
    /// When nobody is connected, or others are being dialled.
    pub fn send_digits(&mut self, now: Instant, digits: String) -> Result<(), Refusal> {
        self.ask(now, |talk, cx| talk.dial(cx, digits))
    }

    /// Tells the assistant something further, from the next turn on; also before anybody has answered.
    ///
    /// # Errors
    /// When the call is over, or was told too much already.
    pub fn instruct(&mut self, text: String) -> Result<(), Refusal> {
        if matches!(self.life, Life::Ending { .. } | Life::Ended { .. }) {
            return Err(Refusal::Ending);
        }
        let told: usize = self.config.instructions.iter().map(|told| told.chars().count()).sum();
        if told + text.chars().count() > MOST_INSTRUCTIONS {
            return Err(Refusal::TooManyInstructions);
        }
        self.config.instructions.push(text.clone());
        self.out.report(Notice::Instructed { text });
        Ok(())
    }

    /// Hands the call to a number: the assistant breaks off what it says. If nobody takes it, the conversation goes on.
    /// With an announcement whoever answers is told it first.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn transfer(
        &mut self,
        now: Instant,
        number: String,
        announcement: Option<String>,
    ) -> Result<(), Refusal> {
        self.ask(now, |talk, cx| {
            talk.fall_silent(cx);
            Ok(())
        })?;
        self.hand_over(now, Handover { to: Destination::Number { number }, announcement });
        self.settle();
        Ok(())
    }

    fn ask<T>(
        &mut self,
        now: Instant,
        ask: impl FnOnce(&mut Talk, &mut Cx<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let talk = match &mut self.life {
            Life::Active(talk) if talk.closing.is_none() && talk.hold.is_none() => talk,
            Life::Ringing { .. } | Life::Screening(_) => return Err(Refusal::NotConnected),
            Life::Active(_) | Life::Ending { .. } | Life::Ended { .. } => return Err(Refusal::Ending),
        };
        let mut cx = Cx { now, config: &self.config, out: &mut self.out };
        let answer = ask(talk, &mut cx)?;
        let step = talk.go_on(&mut cx);
        self.follow(now, step);
        self.settle();
        Ok(answer)
    }
}

impl Talk {
    fn say_asked(&mut self, cx: &mut Cx<'_>, text: &str, interrupts: bool) -> Result<SayId, Refusal> {
        if self.says.len() >= MOST_SAYS {
            return Err(Refusal::TooMuchToSay);
        }
        cx.out.last_say += 1;
        let say = SayId(cx.out.last_say);
        let pieces = super::speaking::request_clips(cx, PlaybackKind::Say, text);
        let speech = Speech {
            kind: PlaybackKind::Say,
            turn: None,
            say: Some(say),
            pieces,
            is_complete: true,
            is_held: false,
        };
        self.says.push(OpenSay { say, heard: String::new() });
        if interrupts {
            self.make_way(cx);
            self.mouth.queue.push_front(speech);
        } else {
            self.mouth.queue.push_back(speech);
        }
        Ok(say)
    }

    /// Stops what is being said. A reply that was sounding is over; one that is still in the works goes on.
    fn make_way(&mut self, cx: &mut Cx<'_>) {
        let Some(broken) = self.mouth.break_off(cx.now) else { return };
        self.stopped(cx, &broken);
        let Broken { kind, turn, say, words, .. } = broken;
        self.note_heard(kind, turn, say, &words);
        self.mouth.queue.retain(|speech| (speech.kind, speech.turn, speech.say) != (kind, turn, say));
        if kind != PlaybackKind::Reply {
            return;
        }
        let Some(mut turn) = self.turn.take_if(|open| Some(open.id) == turn) else { return };
        if turn.is_busy() {
            cx.out.push(Command::CancelTurn { turn: turn.id });
        }
        self.drop_tools(cx.out, &mut turn);
        self.settle_interrupted(cx.out);
        self.history.push_turn(&turn.transcript.unwrap_or_default(), turn.tools.uses(), &turn.heard);
        cx.out.report(Notice::TurnCancelled { turn: turn.id, reason: CancelReason::SaidOver });
    }

    /// The conversation goes on after something went wrong.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, apology: String) {
        self.caller = super::hearing::Caller::Quiet;
        self.quiet_since = cx.now;
        cx.out.push(Command::Listen);
        self.say(cx, PlaybackKind::Apology, None, apology);
        self.pump(cx);
    }

    /// Notes words of something that the outside wanted said.
    pub(super) fn say_heard(&mut self, say: Option<SayId>, heard: &str) {
        self.history.push(Role::Assistant, heard);
        if let Some(open) = self.says.iter_mut().find(|open| Some(open.say) == say) {
            open.heard = joined([open.heard.as_str(), heard].into_iter());
        }
    }

    /// Everything of it that could be said has been.
    pub(super) fn say_over(&mut self, out: &mut Outbox, say: SayId) {
        if let Some(at) = self.says.iter().position(|open| open.say == say) {
            let OpenSay { say, heard } = self.says.remove(at);
            let outcome = if heard.is_empty() { SayOutcome::Unsaid } else { SayOutcome::Heard };
            out.report(Notice::SayEnded { say, outcome, heard });
        }
    }

    /// What is neither being said nor waiting any more was broken off, or never begun.
    pub(super) fn settle_says(&mut self, out: &mut Outbox, is_over: bool) {
        let (open, lost): (Vec<_>, Vec<_>) = std::mem::take(&mut self.says)
            .into_iter()
            .partition(|open| !is_over && self.mouth.has_say(open.say));
        self.says = open;
        for OpenSay { say, heard } in lost {
            let outcome = if heard.is_empty() { SayOutcome::Unsaid } else { SayOutcome::Interrupted };
            out.report(Notice::SayEnded { say, outcome, heard });
        }
    }

    /// The platform says what became of digits, or has had its time to.
    pub(super) fn digits_over(&mut self, cx: &mut Cx<'_>, event: Option<&Event>) {
        let Some(DigitsOut { digits, .. }) = self.digits.take() else { return };
        cx.out.report(match event {
            Some(Event::DigitsSent) => Notice::DigitsSent { digits },
            Some(_) => Notice::Degraded { reason: "DIGITS_REFUSED" },
            None => Notice::Degraded { reason: "DIGITS_UNCONFIRMED" },
        });
    }
}
