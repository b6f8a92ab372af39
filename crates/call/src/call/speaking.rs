//! Saying things, and being interrupted.

use std::{collections::VecDeque, time::Duration};

use super::talk::{Caller, Cx, Interrupted, Talk};
use crate::{
    ClipId, Command, EndReason, Notice, PlaybackId, PlaybackKind, TurnId,
    history::Role,
    mouth::{Cut, Piece, Playing, Speech, joined},
    notice::CancelReason,
    turn::CLAUSE_CHARS,
};

impl Talk {
    /// Queues a phrase of the assistant's own.
    pub(super) fn say(&mut self, cx: &mut Cx<'_>, kind: PlaybackKind, turn: Option<TurnId>, text: String) {
        // A message may be longer than what an engine makes at once; phrases are looked up whole.
        let pieces = match kind {
            PlaybackKind::Voicemail => request_clips(cx, kind, &text),
            _ => [request_clip(cx, kind, text)].into(),
        };
        let speech = Speech { kind, turn, say: None, pieces, is_complete: true };
        if kind == PlaybackKind::Filler {
            self.mouth.queue.push_front(speech);
        } else {
            self.mouth.queue.push_back(speech);
        }
    }

    /// Queues the next clause of a reply.
    pub(super) fn say_clause(&mut self, cx: &mut Cx<'_>, turn: TurnId, text: String) {
        let piece = request_clip(cx, PlaybackKind::Reply, text);
        match self.reply_mut(turn) {
            Some(speech) => speech.pieces.push_back(piece),
            None => self.mouth.queue.push_back(Speech {
                kind: PlaybackKind::Reply,
                turn: Some(turn),
                say: None,
                pieces: [piece].into(),
                is_complete: false,
            }),
        }
    }

    pub(super) fn reply_mut(&mut self, turn: TurnId) -> Option<&mut Speech> {
        self.mouth
            .queue
            .iter_mut()
            .find(|speech| speech.kind == PlaybackKind::Reply && speech.turn == Some(turn))
    }

    /// Starts the next playback if none is on, and closes turns whose reply has been said.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>) {
        while let Some(speech) = self.mouth.pop_said() {
            self.said(cx, &speech);
        }
        // What the outside wants said waits until the caller has finished.
        let must_wait = self.mouth.queue.front().is_some_and(|speech| speech.kind == PlaybackKind::Say)
            && !matches!(self.caller, Caller::Quiet);
        if must_wait {
            return;
        }
        let playback = PlaybackId(cx.out.last_playback + 1);
        if let Some(playing) = self.mouth.start_next(cx.now, playback) {
            cx.out.last_playback = playback.0;
            let items = playing.pieces.iter().map(Piece::item).collect();
            cx.out.push(Command::Play { playback, items, skip: Duration::ZERO });
        }
    }

    fn said(&mut self, cx: &mut Cx<'_>, speech: &Speech) {
        self.quiet_since = cx.now;
        if let Some(say) = speech.say {
            self.last_say_at = Some(cx.now);
            self.say_over(cx.out, say);
        }
        if speech.kind == PlaybackKind::Reply
            && self.turn.as_ref().is_some_and(|turn| Some(turn.id) == speech.turn)
        {
            self.close_answered_turn(cx);
        }
    }

    pub(super) fn playback_started(&mut self, cx: &mut Cx<'_>, playback: PlaybackId) {
        let Some(playing) = self.mouth.started(cx.now, playback) else { return };
        let (kind, turn, text, duration) = (playing.kind, playing.turn, playing.text(), playing.duration());
        cx.out.report(Notice::PlaybackStarted { playback, kind, turn, text, duration });
        if kind != PlaybackKind::Reply {
            return;
        }
        let Some(turn) = self.turn.as_mut().filter(|open| Some(open.id) == turn && !open.has_sounded) else {
            return;
        };
        turn.has_sounded = true;
        turn.mark("playback", cx.now);
        self.pace.learn(turn, cx.now);
        cx.out.report(Notice::TurnTimings { turn: turn.id, parts: turn.timed_parts(), won: Duration::ZERO });
    }

    pub(super) fn playback_finished(&mut self, cx: &mut Cx<'_>, playback: PlaybackId) {
        if let Some(playing) = self.mouth.finished(cx.now, playback) {
            self.was_heard(cx, &playing);
        }
    }

    /// Notes that a playback was heard to its end.
    pub(super) fn was_heard(&mut self, cx: &mut Cx<'_>, playing: &Playing) {
        let Playing { playback, kind, turn, .. } = playing;
        self.quiet_since = cx.now;
        cx.out.report(Notice::PlaybackFinished { playback: *playback, kind: *kind, turn: *turn });
        match kind {
            PlaybackKind::Reply => {
                if let Some(open) = self.turn.as_mut().filter(|open| Some(open.id) == *turn) {
                    open.heard = joined([open.heard.as_str(), playing.text().as_str()].into_iter());
                    open.last_progress = cx.now;
                }
            }
            PlaybackKind::Greeting => self.history.push(Role::Assistant, &playing.text()),
            PlaybackKind::Say => self.say_heard(playing, &playing.text()),
            PlaybackKind::Filler
            | PlaybackKind::Apology
            | PlaybackKind::NoInput
            | PlaybackKind::Goodbye
            | PlaybackKind::Busy
            | PlaybackKind::Voicemail => {}
        }
    }

    /// The caller always wins: silence at once, and nothing that was queued is said any more.
    pub(super) fn speech_started(&mut self, cx: &mut Cx<'_>) {
        match self.closing {
            None => {}
            // He is there after all.
            Some(EndReason::NoInput) => self.closing = None,
            Some(_) => return,
        }
        if !matches!(self.caller, Caller::Quiet) {
            return;
        }
        cx.out.report(Notice::SpeechStarted);
        self.caller = Caller::Speaking { deadline: cx.now + cx.config.max_utterance };
        self.prompts = 0;
        self.quiet_since = cx.now;
        let cut = self.mouth.cut(cx.now);
        self.interrupt(cx, cut);
    }

    /// Settles what was heard, and what becomes of the open turn.
    pub(super) fn interrupt(&mut self, cx: &mut Cx<'_>, cut: Option<Cut>) {
        let mut rest = VecDeque::new();
        if let Some(cut) = cut {
            let Cut { playing, heard, rest: cut_rest } = cut;
            self.broken_off(cx, &playing, heard);
            if playing.kind == PlaybackKind::Reply {
                rest = cut_rest;
            }
        }
        let Some(turn) = &self.turn else { return };
        if turn.heard.is_empty() {
            self.cancel_turn(cx.out, CancelReason::CallerWentOn);
            return;
        }
        let turn = self.turn.take().expect("it was looked at just now");
        if turn.is_in_work {
            cx.out.push(Command::CancelTurn { turn: turn.id });
        }
        self.settle_interrupted();
        self.interrupted = Some(Interrupted {
            turn: turn.id,
            user: turn.transcript.unwrap_or_default(),
            said: turn.said,
            heard: turn.heard,
            rest,
        });
    }

    /// Stops a playback, and notes and tells what was heard of it.
    pub(super) fn broken_off(&mut self, cx: &mut Cx<'_>, playing: &Playing, heard: String) {
        cx.out.push(Command::StopPlayback { playback: playing.playback });
        self.note_heard(playing, &heard);
        let (said, heard) = match &self.turn {
            Some(turn) if playing.kind == PlaybackKind::Reply => (turn.said.clone(), turn.heard.clone()),
            Some(_) | None => (playing.text(), heard),
        };
        cx.out.report(Notice::PlaybackInterrupted {
            playback: playing.playback,
            kind: playing.kind,
            turn: playing.turn,
            said,
            heard,
        });
    }

    fn note_heard(&mut self, playing: &Playing, heard: &str) {
        match playing.kind {
            PlaybackKind::Reply => {
                if let Some(open) = self.turn.as_mut().filter(|open| Some(open.id) == playing.turn) {
                    open.heard = joined([open.heard.as_str(), heard].into_iter());
                }
            }
            PlaybackKind::Greeting => self.history.push(Role::Assistant, heard),
            PlaybackKind::Say => self.say_heard(playing, heard),
            PlaybackKind::Filler
            | PlaybackKind::Apology
            | PlaybackKind::NoInput
            | PlaybackKind::Goodbye
            | PlaybackKind::Busy
            | PlaybackKind::Voicemail => {}
        }
    }

    /// The interruption turned out to be one: what was heard becomes history.
    pub(super) fn settle_interrupted(&mut self) {
        if let Some(interrupted) = self.interrupted.take() {
            self.history.push_exchange(&interrupted.user, &interrupted.heard);
        }
    }

    /// The interruption was a cough: the reply goes on where it was broken.
    pub(super) fn resume_interrupted(&mut self, cx: &mut Cx<'_>) {
        let Some(interrupted) = self.interrupted.take() else { return };
        if interrupted.rest.is_empty() {
            self.history.push_exchange(&interrupted.user, &interrupted.heard);
            return;
        }
        let mut turn = crate::turn::Turn::new(interrupted.turn, cx.now, None, Vec::new(), String::new());
        turn.transcript = Some(interrupted.user);
        turn.said = interrupted.said;
        turn.heard = interrupted.heard;
        turn.has_sounded = true;
        turn.is_in_work = false;
        turn.splitter = None;
        self.turn = Some(turn);
        self.mouth.queue.push_back(Speech {
            kind: PlaybackKind::Reply,
            turn: Some(interrupted.turn),
            say: None,
            pieces: interrupted.rest,
            is_complete: true,
        });
    }
}

/// Asks for a text as clips that any engine can make.
pub(super) fn request_clips(cx: &mut Cx<'_>, kind: PlaybackKind, text: &str) -> VecDeque<Piece> {
    let mut splitter = voice_speech::ClauseSplitter::new(CLAUSE_CHARS);
    let mut clauses = splitter.push(text);
    clauses.extend(splitter.finish());
    clauses.into_iter().map(|clause| request_clip(cx, kind, clause.text)).collect()
}

fn request_clip(cx: &mut Cx<'_>, kind: PlaybackKind, text: String) -> Piece {
    cx.out.last_clip += 1;
    let clip = ClipId(cx.out.last_clip);
    cx.out.push(Command::Synthesize { clip, kind, text: text.clone() });
    Piece::pending(clip, text, cx.now)
}
