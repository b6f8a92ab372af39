//! Clips: as files that the platform fetches, or as audio for the line itself.

use std::{future::Future, time::Duration};

use futures::StreamExt as _;
use voice_call::{ClipId, Event, Item, PlaybackKind};

use super::{Done, Session, now};
use crate::{
    assistants::Assistant,
    ports::{Clip, Sound},
    sound::{AudioFormat, LiveClip},
};

/// The preferred engine has one second for its first byte, and the fallback is fast; more than this is a dead service.
const CLIP_PATIENCE: Duration = Duration::from_millis(2_400);

/// How much a clip has grown when the call is told again.
const GROWTH: Duration = Duration::from_millis(500);

impl Session {
    /// The sounds of a playback; it may be played again from where it was broken off.
    pub(super) fn sound(&mut self, item: Item) -> Option<Sound> {
        match item {
            Item::Clip(clip) => self.sounds.get(&clip).cloned(),
            Item::Text(text) => Some(Sound::Text(text)),
        }
    }

    pub(super) fn forget(&mut self, clips: &[ClipId]) {
        for clip in clips {
            self.sounds.remove(clip);
            if let Some(maker) = self.makers.remove(clip) {
                maker.abort();
            }
        }
    }

    pub(super) fn synthesize(&mut self, clip: ClipId, kind: PlaybackKind, text: &str) {
        if let Some(sound) = self.prepared(kind, text) {
            let duration = match &sound {
                Sound::Clip(made) => made.duration,
                Sound::Live(made) => made.duration(),
                Sound::Text(_) => Duration::ZERO,
            };
            self.sounds.insert(clip, sound);
            self.call.handle(now(), Event::ClipReady { clip, duration });
            return;
        }
        match self.line.format {
            None => self.make_clip(clip, text),
            Some(format) => self.make_live(clip, text, format),
        }
    }

    /// What was made before anybody called.
    fn prepared(&self, kind: PlaybackKind, text: &str) -> Option<Sound> {
        let (assistant, phrases) = (&*self.assistant, &self.tools.phrases);
        if kind == PlaybackKind::Reply {
            return None;
        }
        let is_recorded = kind == PlaybackKind::Greeting && text.is_empty();
        match (assistant.greeting.as_ref().filter(|_| is_recorded), self.line.format) {
            (Some(greeting), None) => Some(Sound::Clip(greeting.clip.clone())),
            (Some(greeting), Some(format)) => {
                let live = LiveClip::from_mulaw(&greeting.audio, &greeting.clip.engine, format);
                Some(Sound::Live(live))
            }
            (None, None) => phrases.find(assistant, text).map(Sound::Clip),
            (None, Some(format)) => phrases.audio(assistant, text, format).map(Sound::Live),
        }
    }

    /// A text as a clip, if one can be made.
    pub(super) fn clip_of(&self, text: &str) -> impl Future<Output = Option<Clip>> + Send + 'static {
        let engine = if self.tools.is_voice_sticky { &self.engine } else { "" };
        let Assistant { voice, language, .. } = &*self.assistant;
        let work = self.tools.speech.clip(text, voice, language, engine, CLIP_PATIENCE);
        async move {
            let made = work.await;
            made.inspect_err(|error| tracing::warn!(%error, "a clip could not be made")).ok()
        }
    }

    fn make_clip(&mut self, clip: ClipId, text: &str) {
        let (made, report) = (self.clip_of(text), self.report.clone());
        let task = self.work.spawn(async move {
            let _ = report.send(Done::Clip(clip, made.await)).await;
        });
        self.makers.insert(clip, task);
    }

    fn make_live(&mut self, clip: ClipId, text: &str, format: AudioFormat) {
        let engine = if self.tools.is_voice_sticky { &self.engine } else { "" };
        let Assistant { voice, language, .. } = &*self.assistant;
        let mut pieces = self.tools.speech.stream(text, voice, language, engine, format);
        let live = LiveClip::new(format);
        self.sounds.insert(clip, Sound::Live(live.clone()));
        let report = self.report.clone();
        let task = self.work.spawn(async move {
            let mut told = Duration::ZERO;
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(piece) => live.grow(&piece.audio, &piece.engine),
                    Err(error) => {
                        tracing::warn!(%error, "a clip could not be made");
                        if told.is_zero() {
                            let _ = report.send(Done::Clip(clip, None)).await;
                            return;
                        }
                        // What there is of it is being said.
                        break;
                    }
                }
                if told.is_zero() || live.duration() >= told + GROWTH {
                    told = live.duration();
                    let _ = report.send(Done::Grew { clip, is_complete: false }).await;
                }
            }
            live.complete();
            let _ = report.send(Done::Grew { clip, is_complete: true }).await;
        });
        self.makers.insert(clip, task);
    }

    pub(super) fn clip_made(&mut self, clip: ClipId, made: Option<Clip>) -> Event {
        self.makers.remove(&clip);
        let Some(made) = made else {
            self.sounds.remove(&clip);
            // The engine may be one that is not there any more.
            self.engine.clear();
            return Event::ClipFailed { clip };
        };
        let duration = made.duration;
        if made.is_fallback {
            self.engine.clone_from(&made.engine);
        }
        self.sounds.insert(clip, Sound::Clip(made));
        Event::ClipReady { clip, duration }
    }

    pub(super) fn clip_grew(&mut self, clip: ClipId, is_complete: bool) -> Option<Event> {
        if is_complete {
            self.makers.remove(&clip);
        }
        let Some(Sound::Live(live)) = self.sounds.get(&clip) else { return None };
        let duration = live.duration();
        let (engine, _) = live.origin();
        // Whoever spoke last goes on: one voice in a call.
        if !engine.is_empty() && self.engine != engine {
            self.engine = engine;
        }
        let silences = if is_complete { live.silences() } else { Vec::new() };
        Some(Event::ClipGrew { clip, duration, is_complete, silences })
    }
}
