//! Everything that happens because nothing happens.

use std::time::{Duration, Instant};

use super::talk::{Cx, Step, Talk};
use crate::{Command, Config, EndReason, PlaybackKind, TurnId, fillers, pace::WORTH_WAITING};

/// A reply that breaks off and does not go on within this is given up.
const STALL: Duration = Duration::from_millis(3_500);

/// An apology that is this near bridges the silence by itself.
const LAST_FILLER: Duration = Duration::from_millis(450);

impl Talk {
    pub(super) fn next_deadline(&self, config: &Config) -> Option<Instant> {
        if let Some(hold) = &self.hold {
            return Some(self.hold_deadline(hold));
        }
        let caller = self.caller_due(config).map(|(at, _)| at).or_else(|| self.no_input_deadline(config));
        let limit = self.closing.is_none().then_some(self.limit);
        let digits = self.digits.as_ref().map(|digits| digits.deadline);
        let (tools, message) = (self.tools_deadline(), self.message_deadline());
        let (mouth, filler, turn) =
            (self.mouth.next_deadline(), self.filler_deadline(config), self.turn_deadline(config));
        [caller, limit, mouth, filler, turn, digits, tools, message].into_iter().flatten().min()
    }

    /// Acts on whatever is overdue.
    pub(super) fn expire(&mut self, cx: &mut Cx<'_>) -> Step {
        let now = cx.now;
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_due(self.mouth.next_deadline())
            && let Some(playing) = self.mouth.expire(now)
        {
            self.was_heard(cx, &playing);
        }
        if self.hold.is_some() {
            return self.expire_on_hold(cx);
        }
        if let Some((at, due)) = self.caller_due(cx.config)
            && at <= now
        {
            self.attend(cx, due);
        }
        if self.closing.is_none() && self.limit <= now {
            self.fall_silent(cx);
            self.close(cx, EndReason::CallLimit);
        }
        if is_due(self.digits.as_ref().map(|digits| digits.deadline)) {
            self.digits_over(cx, None);
        }
        if is_due(self.message_deadline()) {
            self.finish_message(cx);
        }
        if is_due(self.tools_deadline()) {
            self.tools_overdue(cx);
        }
        if is_due(self.turn_deadline(cx.config)) {
            self.turn_overdue(cx);
        }
        if is_due(self.filler_deadline(cx.config)) {
            self.bridge(cx);
        }
        if is_due(self.no_input_deadline(cx.config)) {
            self.ask_whether_there(cx);
        }
        self.go_on(cx)
    }

    fn no_input_deadline(&self, config: &Config) -> Option<Instant> {
        (self.is_at_rest() && self.closing.is_none() && self.taking.is_none())
            .then(|| self.quiet_since + config.no_input_after)
    }

    fn ask_whether_there(&mut self, cx: &mut Cx<'_>) {
        self.quiet_since = cx.now;
        if self.prompts >= cx.config.no_input_prompts {
            self.close(cx, EndReason::NoInput);
            return;
        }
        self.prompts += 1;
        let question = cx.config.phrases.no_input.clone();
        self.say(cx, PlaybackKind::NoInput, None, question);
    }

    /// When silence within a turn is to be bridged.
    fn filler_deadline(&self, config: &Config) -> Option<Instant> {
        let turn = self.turn.as_ref().filter(|_| !self.is_turn_held())?;
        let idle_since = self.mouth.idle_since()?;
        let is_waiting = self.mouth.free().all(|speech| speech.kind == PlaybackKind::Reply);
        // Nobody speaks to a caller who is to press keys.
        if !is_waiting || self.mouth.has_sound_ahead() || turn.tools.wanted_keys().is_some() {
            return None;
        }
        let due = if turn.fillers == 0 && !turn.has_sounded {
            turn.ended_at.max(idle_since) + turn.filler_after
        } else {
            // Inside a reply, and after a filler that did not bridge, silence is noticed sooner.
            idle_since + turn.filler_after.mul_f32(0.9)
        };
        // The apology follows at once; it needs no filler before it.
        let budget = config.turn_budget + turn.tools.extension;
        let is_last = !turn.has_sounded && !turn.tools.is_open();
        let is_too_late = is_last && due + LAST_FILLER > turn.ended_at + budget;
        (!is_too_late).then_some(due)
    }

    fn bridge(&mut self, cx: &mut Cx<'_>) {
        let Some(turn) = &mut self.turn else { return };
        if turn.fillers == 0
            && let Some(sound) = self.pace.predict(turn)
        {
            let wait = sound.saturating_duration_since(cx.now);
            if sound > cx.now && wait <= WORTH_WAITING {
                turn.filler_after += WORTH_WAITING;
                return;
            }
        }
        turn.fillers += 1;
        let id = turn.id;
        let phrases = &cx.config.phrases.fillers;
        // What was said so far differs from call to call, so calls do not all begin with the same filler.
        let state = self.history.chars() << 32 | u64::from(id.0) << 16 | u64::from(self.fillers);
        let Some(choice) = fillers::next(phrases.len(), self.last_filler, state) else {
            turn.filler_after = cx.config.turn_budget;
            return;
        };
        let text = phrases[choice].clone();
        self.last_filler = Some(choice);
        self.fillers += 1;
        self.say(cx, PlaybackKind::Filler, Some(id), text);
    }

    /// When a turn is given up.
    fn turn_deadline(&self, config: &Config) -> Option<Instant> {
        let turn = self.turn.as_ref().filter(|_| !self.is_turn_held())?;
        // What the model waits for has its own time.
        if turn.tools.is_open() {
            return None;
        }
        if !turn.has_sounded {
            let is_about_to_sound = self
                .mouth
                .playing()
                .is_some_and(|playing| playing.turn == Some(turn.id) && playing.kind == PlaybackKind::Reply);
            // What the outside wants said holds a reply up; the reply is not to blame.
            if is_about_to_sound || self.mouth.is_saying() {
                return None;
            }
            let after_say = self.last_say_at.map_or(turn.ended_at, |at| at + STALL);
            let budget = config.turn_budget + turn.tools.extension;
            return Some((turn.ended_at + budget).max(after_say));
        }
        let since = turn.last_progress.max(self.last_say_at.unwrap_or(turn.last_progress));
        (self.mouth.idle_since().is_some() && !self.mouth.has_sound_ahead()).then(|| since + STALL)
    }

    fn turn_overdue(&mut self, cx: &mut Cx<'_>) {
        let has_sounded = self.turn.as_ref().is_some_and(|turn| turn.has_sounded);
        self.give_up_turn(cx, if has_sounded { "REPLY_STALLED" } else { "TURN_DEADLINE" });
    }

    /// Stops working on the open turn, which has failed.
    pub(super) fn give_up_turn(&mut self, cx: &mut Cx<'_>, reason: &str) {
        let Some(turn) = &self.turn else { return };
        let (id, is_busy) = (turn.id, turn.is_busy());
        if is_busy {
            cx.out.push(Command::CancelTurn { turn: id });
        }
        self.drop_pending(id);
        self.turn_failed(cx, id, reason.to_owned());
    }

    /// What is still being made of a turn that is given up would only lengthen the wait.
    fn drop_pending(&mut self, id: TurnId) {
        self.mouth.queue.retain(|speech| speech.turn != Some(id));
    }
}
