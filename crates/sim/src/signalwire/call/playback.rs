//! What is played into the caller's ear: a list of sounds that may still be on their way here.

use std::sync::Arc;

use serde_json::json;

use super::{Call, Output};
use crate::signalwire::{
    clock::Now,
    params::{ControlId, Media, Volume},
};

/// A running play.
#[derive(Debug)]
pub(crate) struct Playback {
    pub(super) control_id: ControlId,
    /// The list; `None` while an item is being fetched.
    sounds: Vec<Option<Result<Arc<[f32]>, String>>>,
    item: usize,
    sample: usize,
    is_item_announced: bool,
    /// Passes over the list that are left; `None` = for ever.
    passes_left: Option<u32>,
    pub(super) is_paused: bool,
    has_started: bool,
    gain: f32,
    samples_played: usize,
    /// Samples of this pass over the list, so that an empty list does not go round for ever.
    samples_of_pass: usize,
}

/// What a frame brought about.
#[derive(Debug, PartialEq)]
enum Step {
    Playing,
    ItemStarted(usize),
    ItemFinished(usize),
    Finished,
    Failed(String),
}

impl Playback {
    fn new(control_id: ControlId, items: usize, times: u32, volume: Volume) -> Self {
        Self {
            control_id,
            sounds: vec![None; items],
            item: 0,
            sample: 0,
            is_item_announced: false,
            passes_left: (times > 0).then_some(times),
            is_paused: false,
            has_started: false,
            gain: gain(volume),
            samples_played: 0,
            samples_of_pass: 0,
        }
    }

    pub(super) fn set_volume(&mut self, volume: Volume) {
        self.gain = gain(volume);
    }

    /// Adds the next 20 ms to `ear`. The end is told one frame after the last sound, when it has really been heard.
    fn frame(&mut self, ear: &mut [f32]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut filled = 0;
        while !self.is_paused && filled < ear.len() {
            if self.item == self.sounds.len() {
                if !self.starts_over() {
                    if filled == 0 {
                        steps.push(Step::Finished);
                    }
                    break;
                }
                continue;
            }
            let sound = match &self.sounds[self.item] {
                None => break,
                Some(Err(reason)) => {
                    steps.push(Step::Failed(reason.clone()));
                    break;
                }
                Some(Ok(sound)) => sound,
            };
            if !self.has_started {
                self.has_started = true;
                steps.push(Step::Playing);
            }
            if !self.is_item_announced {
                self.is_item_announced = true;
                steps.push(Step::ItemStarted(self.item));
            }
            let count = (sound.len() - self.sample).min(ear.len() - filled);
            let played = &sound[self.sample..self.sample + count];
            for (out, sample) in ear[filled..].iter_mut().zip(played) {
                *out += sample * self.gain;
            }
            filled += count;
            self.sample += count;
            self.samples_played += count;
            self.samples_of_pass += count;
            if self.sample == sound.len() {
                steps.push(Step::ItemFinished(self.item));
                self.item += 1;
                self.sample = 0;
                self.is_item_announced = false;
            }
        }
        steps
    }

    /// Whether the list is played once more.
    fn starts_over(&mut self) -> bool {
        let again = self.samples_of_pass > 0 && self.passes_left != Some(1);
        if again {
            self.passes_left = self.passes_left.map(|left| left - 1);
            (self.item, self.samples_of_pass) = (0, 0);
        }
        again
    }
}

fn gain(volume: Volume) -> f32 {
    10_f32.powf(volume.0 as f32 / 20.0)
}

impl Call {
    /// Begins a play: fetches first.
    pub(super) fn start_playback(
        &mut self,
        control_id: ControlId,
        media: Vec<Media>,
        times: u32,
        volume: Volume,
    ) {
        self.log_playback(&control_id, &media);
        let items: Vec<_> = media.iter().map(Media::name).collect();
        self.note("play_requested", json!({ "control_id": control_id, "items": items }));
        self.playback = Some(Playback::new(control_id.clone(), media.len(), times, volume));
        self.outputs.push_back(Output::Load { control_id, media });
    }

    /// Takes an item that was fetched, or why it could not be.
    pub(crate) fn loaded(
        &mut self,
        control_id: &ControlId,
        item: usize,
        sound: Result<Arc<[f32]>, String>,
        now: Now,
    ) {
        self.now = now;
        let Some(playback) = self.playback.as_mut().filter(|playback| playback.control_id == *control_id)
        else {
            return;
        };
        let duration_ms = sound.as_ref().ok().map(|samples| samples.len() as f64 / 8.0);
        playback.sounds[item] = Some(sound);
        if let Some(log) = self.playbacks.last_mut() {
            log.items[item].duration_ms = duration_ms;
        }
    }

    /// Plays 20 ms.
    pub(super) fn play_frame(&mut self, ear: &mut [f32]) {
        let steps = self.playback.as_mut().map(|playback| playback.frame(ear)).unwrap_or_default();
        for step in steps {
            match step {
                Step::Playing => self.playback_started(),
                Step::ItemStarted(item) => self.item_started(item),
                Step::ItemFinished(item) => self.item_finished(item),
                Step::Finished => self.end_playback("end", "finished"),
                Step::Failed(reason) => {
                    let control_id = self.playback.as_ref().map(|playback| playback.control_id.clone());
                    self.note("play_failed", json!({ "control_id": control_id, "reason": reason }));
                    self.end_playback("error", "error");
                }
            }
        }
        if let (Some(playback), Some(log)) = (&self.playback, self.playbacks.last_mut()) {
            log.position_ms = playback.samples_played as f64 / 8.0;
        }
    }

    /// Ends what is played, if anything is.
    pub(super) fn end_playback(&mut self, ended_by: &'static str, state: &'static str) {
        let Some(playback) = self.playback.take() else { return };
        let at_ms = self.now.at_ms;
        let position_ms = playback.samples_played as f64 / 8.0;
        if let Some(log) = self.playbacks.last_mut() {
            log.ended_at_ms = Some(at_ms);
            log.ended_by = Some(ended_by);
            log.position_ms = position_ms;
            if playback.is_item_announced {
                log.items[playback.item].ended_at_ms = Some(at_ms);
            }
        }
        let fields =
            json!({ "control_id": playback.control_id, "ended_by": ended_by, "position_ms": position_ms });
        self.play_event(&playback.control_id, state);
        self.note("play_finished", fields);
        if let Some(collect) =
            self.collect.as_mut().filter(|collect| collect.control_id == playback.control_id)
        {
            collect.start_timers();
        }
    }

    pub(super) fn play_event(&mut self, control_id: &ControlId, state: &str) {
        self.event("calling.call.play", state, json!({ "control_id": control_id, "state": state }));
    }

    fn playback_started(&mut self) {
        let Some(control_id) = self.playback.as_ref().map(|playback| playback.control_id.clone()) else {
            return;
        };
        if let Some(log) = self.playbacks.last_mut() {
            log.started_at_ms = Some(self.now.at_ms);
        }
        self.play_event(&control_id, "playing");
        self.note("play_started", json!({ "control_id": control_id }));
    }

    fn item_started(&mut self, item: usize) {
        let at_ms = self.now.at_ms;
        let Some(log) = self.playbacks.last_mut() else { return };
        log.items[item].started_at_ms = Some(at_ms);
        let mut fields = log.items[item].what.clone();
        fields["control_id"] = json!(log.control_id);
        fields["item"] = json!(item);
        self.note("item_started", fields);
    }

    fn item_finished(&mut self, item: usize) {
        let at_ms = self.now.at_ms;
        let Some(log) = self.playbacks.last_mut() else { return };
        log.items[item].ended_at_ms = Some(at_ms);
        let fields = json!({ "control_id": log.control_id, "item": item });
        self.note("item_finished", fields);
    }
}
