//! Playing to the caller: one playback at a time.

use std::time::Duration;

use tokio::time::Instant;
use voice_call::{Event, PlaybackId};
use voice_signalwire::{Error, Media, PlayState};

use super::{Answered, RecordingLine, control_id};
use crate::ports::Sound;

#[derive(Debug)]
pub(super) struct Mouth {
    control: String,
    playback: PlaybackId,
    sounds: Vec<Sound>,
    sent_at: Instant,
    has_started: bool,
    is_stopped: bool,
}

impl Mouth {
    /// Playing time of its clips; words in the platform's own voice are not counted.
    fn duration(&self) -> Duration {
        let clips = self.sounds.iter().map(|sound| match sound {
            Sound::Clip(clip) => clip.duration,
            Sound::Live(_) | Sound::Text(_) => Duration::ZERO,
        });
        clips.sum()
    }
}

impl RecordingLine {
    pub(super) fn play(&mut self, playback: PlaybackId, sounds: Vec<Sound>) {
        // The end of the one before was lost, or the call would not play.
        if let Some(before) = self.mouth.take()
            && !before.is_stopped
        {
            self.stop_playback(&before.control);
        }
        if !self.has_ear {
            self.stop_tape();
        }
        self.send_play(playback, sounds);
    }

    /// Stops a playback that nothing depends on.
    pub(super) fn stop_playback(&mut self, control: &str) {
        let stop = self.trunk.client.stop_play(&self.trunk.leg, control);
        self.work.spawn(async move {
            let _ = stop.await;
            Answered::Nothing
        });
    }

    fn send_play(&mut self, playback: PlaybackId, sounds: Vec<Sound>) {
        let media: Vec<Media> = sounds
            .iter()
            .filter_map(|sound| match sound {
                Sound::Clip(clip) => Some(Media::Audio { url: clip.url.clone() }),
                Sound::Text(text) => {
                    Some(Media::Tts { text: text.clone(), language: self.settings.language.clone() })
                }
                // Frames cannot be sent by this door.
                Sound::Live(_) => None,
            })
            .collect();
        let control = control_id();
        self.trunk.page.update(|kept| kept.running.playback = Some(control.clone()));
        let play = self.trunk.client.play(&self.trunk.leg, &control, &media);
        self.mouth = Some(Mouth {
            control: control.clone(),
            playback,
            sounds,
            sent_at: Instant::now(),
            has_started: false,
            is_stopped: false,
        });
        self.work.spawn(async move { Answered::Play { control, result: play.await } });
    }

    pub(super) async fn stop(&mut self, playback: PlaybackId) {
        let Some(mouth) = self.mouth.as_mut().filter(|mouth| mouth.playback == playback) else {
            self.tell(Event::PlaybackFinished { playback }).await;
            return;
        };
        mouth.is_stopped = true;
        let stop = self.trunk.client.stop_play(&self.trunk.leg, &mouth.control);
        let control = mouth.control.clone();
        self.work.spawn(async move { Answered::PlayStopped { control, result: stop.await } });
    }

    fn mouth_of(&mut self, control: &str) -> Option<&mut Mouth> {
        self.mouth.as_mut().filter(|mouth| mouth.control == control)
    }

    pub(super) async fn play_answered(&mut self, control: &str, result: Result<(), Error>) {
        let is_down = self.trunk.is_down();
        let Some(mouth) = self.mouth_of(control) else { return };
        let playback = mouth.playback;
        match result {
            // As with the tape.
            Ok(()) | Err(Error::Disconnected) => {}
            Err(Error::Gone) => self.hung_up().await,
            Err(Error::Timeout(_)) if is_down => {}
            Err(error) => {
                tracing::warn!(%error, "a playback was refused");
                self.mouth = None;
                self.tell(Event::PlaybackFailed { playback }).await;
            }
        }
    }

    pub(super) async fn play_stopped(&mut self, control: &str, result: Result<(), Error>) {
        if !result.is_err_and(|error| error.is_gone()) {
            return;
        }
        if self.mouth_of(control).is_some() {
            self.played(control, PlayState::Finished).await;
        }
    }

    pub(super) async fn played(&mut self, control: &str, state: PlayState) {
        let Some(mouth) = self.mouth_of(control) else { return };
        let playback = mouth.playback;
        match state {
            PlayState::Playing => {
                if !std::mem::replace(&mut mouth.has_started, true) {
                    self.tell(Event::PlaybackStarted { playback }).await;
                }
            }
            PlayState::Paused => {}
            PlayState::Finished => {
                self.mouth = None;
                self.tell(Event::PlaybackFinished { playback }).await;
            }
            PlayState::Failed => {
                self.mouth = None;
                self.tell(Event::PlaybackFailed { playback }).await;
            }
        }
    }

    /// After a lost connection: finds out whether the playback is on, without touching it, so that the caller misses
    /// nothing and hears nothing twice. Setting the volume that it has anyway is the one command that asks.
    pub(super) fn reconcile_mouth(&mut self) {
        let Some(mouth) = &self.mouth else { return };
        let control = mouth.control.clone();
        if mouth.is_stopped {
            let stop = self.trunk.client.stop_play(&self.trunk.leg, &control);
            self.work.spawn(async move { Answered::PlayStopped { control, result: stop.await } });
        } else {
            let probe = self.trunk.client.set_play_volume(&self.trunk.leg, &control, 0.0);
            self.work.spawn(async move { Answered::PlayProbed { control, result: probe.await } });
        }
    }

    pub(super) async fn play_probed(&mut self, control: &str, result: Result<(), Error>) {
        let Some(mouth) = self.mouth_of(control) else { return };
        let playback = mouth.playback;
        match result {
            Ok(()) => self.played(control, PlayState::Playing).await,
            Err(Error::Gone) if !mouth.has_started && mouth.sent_at.elapsed() < mouth.duration() => {
                // Too early to have been played to its end: the command was lost with the connection.
                let sounds = std::mem::take(&mut mouth.sounds);
                self.send_play(playback, sounds);
            }
            Err(Error::Gone) => self.played(control, PlayState::Finished).await,
            // The call's own deadline for the playback stands.
            Err(error) => tracing::debug!(%error, "whether a playback is on cannot be told"),
        }
    }
}
