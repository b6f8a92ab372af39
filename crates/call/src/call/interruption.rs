//! What the caller breaks off by his voice, and how it goes on if he did not mean to.
//!
//! Playback stops at once. What it said, what was to follow and the turn behind it are suspended: the work goes on unheard
//! until words, or the length of what he says, show that he means it. Then it is given up; only what is left of a reply
//! is kept a little longer, in case nothing was said after all.

use std::{collections::VecDeque, time::Duration, time::Instant};

use super::{
    Outbox,
    talk::{Cx, Interrupted, Talk},
    tools::drop_acts,
};
use crate::{
    Command, Notice, PlaybackKind, SayId, TurnId,
    history::Role,
    mouth::{Broken, Speech, joined},
    notice::CancelReason,
    turn::{Beginning, Turn},
};

/// What the caller's voice has stopped, as long as it is not known whether he means it.
#[derive(Debug)]
pub(crate) struct Suspended {
    since: Instant,
    /// The playback, if one was on.
    broken: Option<Broken>,
}

// === impl Suspended ===

impl Suspended {
    /// Whether the caller was being asked something.
    pub(super) fn is_asking(&self) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.is_asking)
    }
}

// === impl Talk ===

impl Talk {
    /// Falls silent, and holds back whatever is in the works.
    pub(super) fn suspend(&mut self, cx: &mut Cx<'_>) {
        let broken = self.mouth.break_off(cx.now);
        if let Some(broken) = &broken {
            self.stopped(cx, broken);
        }
        // A filler has missed its moment.
        self.mouth.queue.retain(|speech| speech.kind != PlaybackKind::Filler);
        for speech in &mut self.mouth.queue {
            speech.is_held = true;
        }
        if broken.is_some() || self.turn.is_some() || !self.mouth.queue.is_empty() {
            self.suspended = Some(Suspended { since: cx.now, broken });
        }
    }

    /// Whether nothing of the open turn may be heard for now.
    pub(super) fn is_turn_held(&self) -> bool {
        self.suspended.is_some() || self.turn.as_ref().is_some_and(|turn| turn.is_speculative)
    }

    /// He did not mean it: everything goes on where it was. With the end of the noise, where it is known.
    pub(super) fn repair(&mut self, cx: &mut Cx<'_>, since: Option<Instant>) {
        let Some(Suspended { since: begun, broken }) = self.suspended.take() else { return };
        for speech in &mut self.mouth.queue {
            speech.is_held = false;
        }
        if let Some(turn) = &mut self.turn {
            // Nobody waited for the reply meanwhile.
            turn.ended_at += cx.now.saturating_duration_since(begun);
            turn.last_progress = cx.now;
        }
        if let Some(broken) = broken.filter(|broken| broken.kind != PlaybackKind::Filler) {
            let Broken { playback, kind, turn, .. } = broken;
            let silence = silence(cx.now, since);
            cx.out.report(Notice::InterruptionRepaired { playback, kind, turn, silence });
        }
        if let Some(turn) = self.turn.as_ref().filter(|turn| !turn.tools.asked.is_empty() && !turn.is_in_work)
        {
            self.written(cx, turn.id);
        }
    }

    /// He means it: what was suspended is given up, and what he had heard of it becomes history.
    pub(super) fn mean_it(&mut self, cx: &mut Cx<'_>) {
        let Some(Suspended { broken, .. }) = self.suspended.take() else { return };
        self.stay(cx.out);
        let heard_whole = self.turn.as_ref().map(|turn| turn.heard.clone()).unwrap_or_default();
        if let Some(broken) = &broken {
            self.note_heard(broken.kind, broken.turn, broken.say, &broken.words);
        }
        let (held, free) =
            std::mem::take(&mut self.mouth.queue).into_iter().partition(|speech: &Speech| speech.is_held);
        self.mouth.queue = free;
        // What is still being found out for a reply has to be asked for again.
        let Some(turn) = self.turn.take_if(|turn| !turn.heard.is_empty() && !turn.tools.is_open()) else {
            self.cancel_turn(cx.out, CancelReason::CallerWentOn);
            return;
        };
        if turn.is_in_work {
            cx.out.push(Command::CancelTurn { turn: turn.id });
        }
        self.settle_interrupted(cx.out);
        let held: VecDeque<Speech> = held;
        let reply = held
            .into_iter()
            .filter(|speech| speech.kind == PlaybackKind::Reply && speech.turn == Some(turn.id));
        self.interrupted = Some(Interrupted {
            turn: turn.id,
            playback: broken.as_ref().map(|broken| broken.playback),
            is_asking: broken.is_some_and(|broken| broken.is_asking),
            user: turn.transcript.unwrap_or_default(),
            said: turn.said,
            heard: turn.heard,
            heard_whole,
            tools: turn.tools,
            rest: reply.flat_map(|speech| speech.pieces).collect(),
        });
    }

    /// Falls silent for good: what was to be said is forgotten, what was heard becomes history.
    pub(super) fn fall_silent(&mut self, cx: &mut Cx<'_>) {
        if let Some(broken) = self.mouth.break_off(cx.now) {
            self.stopped(cx, &broken);
            self.note_heard(broken.kind, broken.turn, broken.say, &broken.words);
        }
        self.forget_suspended();
        self.mouth.queue.clear();
    }

    /// What is suspended will not go on.
    pub(super) fn forget_suspended(&mut self) {
        let Some(Suspended { broken, .. }) = self.suspended.take() else { return };
        if let Some(broken) = broken {
            self.note_heard(broken.kind, broken.turn, broken.say, &broken.words);
        }
        self.mouth.queue.retain(|speech| !speech.is_held);
    }

    /// Notes a playback that was broken off: what was heard of it for good, and that it was stopped.
    pub(super) fn stopped(&mut self, cx: &mut Cx<'_>, broken: &Broken) {
        let Broken { playback, kind, turn, say, text, whole, words, .. } = broken;
        cx.out.push(Command::StopPlayback { playback: *playback });
        self.note_heard(*kind, *turn, *say, whole);
        let (said, heard) = match &self.turn {
            Some(open) if *kind == PlaybackKind::Reply => {
                (open.said.clone(), joined([open.heard.as_str(), words].into_iter()))
            }
            Some(_) | None => (text.clone(), broken.heard()),
        };
        cx.out.report(Notice::PlaybackInterrupted {
            playback: *playback,
            kind: *kind,
            turn: *turn,
            said,
            heard,
        });
    }

    /// Notes words that were heard.
    pub(super) fn note_heard(
        &mut self,
        kind: PlaybackKind,
        turn: Option<TurnId>,
        say: Option<SayId>,
        heard: &str,
    ) {
        match kind {
            PlaybackKind::Reply => {
                if let Some(open) = self.turn.as_mut().filter(|open| Some(open.id) == turn) {
                    open.heard = joined([open.heard.as_str(), heard].into_iter());
                }
            }
            PlaybackKind::Greeting => self.history.push(Role::Assistant, heard),
            PlaybackKind::Say => self.say_heard(say, heard),
            PlaybackKind::Filler
            | PlaybackKind::Apology
            | PlaybackKind::NoInput
            | PlaybackKind::Goodbye
            | PlaybackKind::Busy
            | PlaybackKind::Transfer
            | PlaybackKind::Voicemail => {}
        }
    }

    /// The interruption turned out to be one: what was heard becomes history.
    pub(super) fn settle_interrupted(&mut self, out: &mut Outbox) {
        if let Some(interrupted) = self.interrupted.take() {
            let Interrupted { turn, user, heard, tools, .. } = interrupted;
            self.history.push_turn(&user, tools.uses(), &heard);
            drop_acts(out, turn, tools.acts);
        }
    }

    /// Nothing was said after all: what is left of the reply goes on where it was broken.
    pub(super) fn resume_interrupted(&mut self, cx: &mut Cx<'_>, since: Option<Instant>) {
        if self.interrupted.as_ref().is_some_and(|interrupted| interrupted.rest.is_empty()) {
            self.settle_interrupted(cx.out);
        }
        let Some(interrupted) = self.interrupted.take() else { return };
        let beginning = Beginning::Closed { speech_ended: None };
        let mut turn = Turn::new(interrupted.turn, cx.now, beginning, Vec::new(), String::new());
        turn.transcript = Some(interrupted.user);
        turn.said = interrupted.said;
        turn.heard = interrupted.heard_whole;
        turn.has_sounded = true;
        turn.is_in_work = false;
        turn.splitter = None;
        turn.tools = interrupted.tools;
        self.turn = Some(turn);
        self.mouth.queue.push_back(Speech {
            kind: PlaybackKind::Reply,
            turn: Some(interrupted.turn),
            say: None,
            pieces: interrupted.rest,
            is_complete: true,
            is_held: false,
        });
        if let Some(playback) = interrupted.playback {
            cx.out.report(Notice::InterruptionRepaired {
                playback,
                kind: PlaybackKind::Reply,
                turn: Some(interrupted.turn),
                silence: silence(cx.now, since),
            });
        }
    }
}

fn silence(now: Instant, since: Option<Instant>) -> Duration {
    since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
}
