//! Saying things, and being interrupted.

use std::collections::VecDeque;

use super::{
    hearing::{Caller, Hearing},
    talk::{Cx, Talk},
};
use crate::{
    ClipId, Command, EndReason, Notice, PlaybackId, PlaybackKind, TurnId,
    mouth::{Extent, Piece, Playing, Speech},
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
        let speech = Speech { kind, turn, say: None, pieces, is_complete: true, is_held: false };
        if kind == PlaybackKind::Filler {
            self.mouth.queue.push_front(speech);
        } else {
            self.mouth.queue.push_back(speech);
        }
    }

    /// Queues the next clause of a reply.
    pub(super) fn say_clause(&mut self, cx: &mut Cx<'_>, turn: TurnId, text: String) {
        let piece = request_clip(cx, PlaybackKind::Reply, text);
        let is_held = self.is_turn_held();
        match self.reply_mut(turn) {
            Some(speech) => speech.pieces.push_back(piece),
            None => self.mouth.queue.push_back(Speech {
                kind: PlaybackKind::Reply,
                turn: Some(turn),
                say: None,
                pieces: [piece].into(),
                is_complete: false,
                is_held,
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
        let must_wait = self.mouth.free().next().is_some_and(|speech| speech.kind == PlaybackKind::Say)
            && !matches!(self.caller, Caller::Quiet);
        if must_wait {
            return;
        }
        let playback = PlaybackId(cx.out.last_playback + 1);
        if let Some(playing) = self.mouth.start_next(cx.now, playback, cx.config.can_seek) {
            cx.out.last_playback = playback.0;
            let items = playing.pieces.iter().map(Piece::item).collect();
            let skip = playing.skip;
            cx.out.push(Command::Play { playback, items, skip });
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
        if turn.tools.round == 0 {
            self.pace.learn(turn, cx.now);
        }
        cx.out.report(Notice::TurnTimings { turn: turn.id, parts: turn.timed_parts(), won: turn.won() });
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
        if let Some(open) = self.turn.as_mut().filter(|open| Some(open.id) == *turn) {
            open.last_progress = cx.now;
        }
        self.note_heard(*kind, *turn, playing.say, &playing.text());
    }

    /// A clip has become longer, or whole.
    pub(super) fn clip_grew(&mut self, cx: &mut Cx<'_>, clip: ClipId, extent: Extent) {
        let kept = self.interrupted.iter_mut().flat_map(|interrupted| &mut interrupted.rest);
        if let Some(piece) = kept.into_iter().find(|piece| piece.awaits(clip)) {
            piece.grow(cx.now, extent);
            return;
        }
        let kind = self.mouth.grow(cx.now, clip, extent);
        if let (Some(PlaybackKind::Reply), Some(turn)) = (kind, &mut self.turn) {
            turn.mark("tts", cx.now);
        }
    }

    /// The caller always wins: silence at once.
    pub(super) fn speech_started(&mut self, cx: &mut Cx<'_>) {
        match self.closing {
            None => {}
            // He is there after all.
            Some(EndReason::NoInput) => {
                self.closing = None;
                self.fall_silent(cx);
            }
            Some(_) => return,
        }
        if !matches!(self.caller, Caller::Quiet) {
            return;
        }
        cx.out.report(Notice::SpeechStarted);
        self.caller = Caller::Speaking(Hearing::new(cx));
        self.prompts = 0;
        self.quiet_since = cx.now;
        self.suspend(cx);
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
    cx.out.clips.push(clip);
    cx.out.push(Command::Synthesize { clip, kind, text: text.clone() });
    Piece::pending(clip, text, cx.now)
}
