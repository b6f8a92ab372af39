//! Handing a call over. Without an announcement it leaves at once, and comes back if nobody takes it. With one the caller
//! is kept company here while somebody is called, told who is on the line, and connected with him.

use std::time::{Duration, Instant};

use super::{
    Call, Life, Outbox,
    talk::{Cx, Step, Talk},
};
use crate::{
    Command, Destination, EndReason, Event, Handover, Notice, PlaybackKind, TransferFailure,
    notice::CancelReason,
};

/// The line lets him be called for half a minute; what it says then may be lost.
const RING_WAIT: Duration = Duration::from_secs(40);

/// For the longest announcement. Its end is told by the line, which knows how long it is.
const TELL_WAIT: Duration = Duration::from_mins(1);

/// How long connecting the two may take, while neither hears anything.
const JOIN_WAIT: Duration = Duration::from_secs(8);

/// A caller on hold hears something again after this.
const HOLD_PAUSE: Duration = Duration::from_secs(4);

/// A caller is kept company while somebody is called.
#[derive(Debug)]
pub(crate) struct Hold {
    stage: Stage,
    /// When it has taken too long.
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    Ringing { announcement: String },
    Telling,
    Joining,
}

// === impl Call ===

impl Call {
    /// Hands the call over. The conversation is kept, unless it was given up.
    pub(super) fn hand_over(&mut self, now: Instant, Handover { to, announcement }: Handover) {
        self.leave_talk(CancelReason::CallEnded);
        if let (Life::Active(talk), Some(announcement)) = (&mut self.life, announcement) {
            let mut cx = Cx { now, config: &self.config, out: &mut self.out };
            talk.hold(&mut cx, to, announcement);
            return;
        }
        let ending = self.transferred(now);
        let before = std::mem::replace(&mut self.life, ending);
        if let (Life::Active(talk), Life::Ending { kept, .. }) = (before, &mut self.life)
            && to != Destination::Fallback
        {
            *kept = Some(talk);
        }
        self.out.push(Command::Transfer { to });
    }

    /// The two can talk.
    pub(super) fn handed_over(&mut self, now: Instant) {
        self.leave_talk(CancelReason::CallEnded);
        self.life = self.transferred(now);
        self.out.report(Notice::TransferConnected);
    }

    fn transferred(&self, now: Instant) -> Life {
        let deadline = now + self.config.max_call;
        Life::Ending { reason: EndReason::Transferred, deadline, kept: None }
    }

    /// Nobody took him.
    pub(super) fn transfer_failed(&mut self, now: Instant, kept: Option<Box<Talk>>, reason: TransferFailure) {
        match kept {
            Some(mut talk) => {
                let mut cx = Cx { now, config: &self.config, out: &mut self.out };
                talk.come_back(&mut cx, reason);
                self.life = Life::Active(talk);
            }
            // He could not be helped here either: he is told goodbye.
            None => self.dismiss(now, EndReason::Failures),
        }
    }
}

// === impl Talk ===

impl Talk {
    /// Has somebody called, and keeps the caller company.
    fn hold(&mut self, cx: &mut Cx<'_>, to: Destination, announcement: String) {
        // The model has told him already.
        if matches!(to, Destination::Number { .. }) {
            let phrase = cx.config.phrases.transfer.clone();
            self.say(cx, PlaybackKind::Transfer, None, phrase);
        }
        cx.out.push(Command::CallTarget { to, announcement: announcement.clone() });
        self.hold = Some(Hold { stage: Stage::Ringing { announcement }, deadline: cx.now + RING_WAIT });
        self.pump(cx);
    }

    pub(super) fn handle_on_hold(&mut self, cx: &mut Cx<'_>, event: Event) -> Step {
        let Some(Hold { stage, deadline }) = &mut self.hold else { return Step::Stay };
        match (event, &*stage) {
            (Event::TargetAnswered, Stage::Ringing { announcement }) => {
                cx.out.push(Command::TellTarget { announcement: announcement.clone() });
                (*stage, *deadline) = (Stage::Telling, cx.now + TELL_WAIT);
            }
            (Event::TargetTold, Stage::Telling) => {
                (*stage, *deadline) = (Stage::Joining, cx.now + JOIN_WAIT);
                self.fall_silent(cx);
                cx.out.push(Command::JoinTarget);
            }
            (Event::TransferConnected, Stage::Joining) => {
                self.hold = None;
                return Step::Gone;
            }
            (Event::TransferFailed { reason }, _) => return self.off_hold(cx, reason),
            (
                event @ (Event::ClipReady { .. }
                | Event::ClipGrew { .. }
                | Event::ClipFailed { .. }
                | Event::PlaybackStarted { .. }
                | Event::PlaybackReached { .. }
                | Event::PlaybackFinished { .. }
                | Event::PlaybackFailed { .. }
                | Event::DigitPressed { .. }
                | Event::DigitsSent
                | Event::DigitsFailed
                | Event::DrainStarted),
                _,
            ) => self.take(cx, event),
            // Whatever he says is not listened to.
            _ => {}
        }
        self.pump(cx);
        Step::Stay
    }

    pub(super) fn hold_deadline(&self, hold: &Hold) -> Instant {
        let company = self.company_deadline(hold);
        [self.mouth.next_deadline(), company].into_iter().flatten().fold(hold.deadline, Instant::min)
    }

    /// When the caller has heard nothing for too long.
    fn company_deadline(&self, hold: &Hold) -> Option<Instant> {
        let is_waiting = self.mouth.is_silent() && !matches!(hold.stage, Stage::Joining);
        self.mouth.idle_since().filter(|_| is_waiting).map(|since| since + HOLD_PAUSE)
    }

    pub(super) fn expire_on_hold(&mut self, cx: &mut Cx<'_>) -> Step {
        let Some(hold) = &self.hold else { return Step::Stay };
        if hold.deadline <= cx.now {
            let reason = match hold.stage {
                Stage::Ringing { .. } => TransferFailure::NoAnswer,
                Stage::Telling | Stage::Joining => TransferFailure::Failed,
            };
            cx.out.push(Command::DropTarget);
            return self.off_hold(cx, reason);
        }
        if self.company_deadline(hold).is_some_and(|due| due <= cx.now) {
            let phrase = cx.config.phrases.hold.clone();
            self.say(cx, PlaybackKind::Transfer, None, phrase);
        }
        self.pump(cx);
        Step::Stay
    }

    /// Nobody takes him: the conversation goes on.
    fn off_hold(&mut self, cx: &mut Cx<'_>, reason: TransferFailure) -> Step {
        self.hold = None;
        self.mouth.queue.clear();
        cx.out.report(Notice::TransferFailed { reason });
        self.come_back(cx, reason);
        self.go_on(cx)
    }

    fn come_back(&mut self, cx: &mut Cx<'_>, reason: TransferFailure) {
        self.not_departed(reason);
        let apology = cx.config.phrases.transfer_failed.clone();
        self.resume(cx, apology);
    }

    /// The call is over: whoever is being called is let go.
    pub(super) fn leave_hold(&mut self, out: &mut Outbox) {
        if self.hold.take().is_some() {
            out.push(Command::DropTarget);
        }
    }
}
