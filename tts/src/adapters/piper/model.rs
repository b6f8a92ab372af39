//! A voice's network in `rten`, run in pieces that are short enough to be given up between.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView as _, Layout as _, NdTensor, Tensor};

use super::{
    about::{About, VoiceError, read_at_most},
    graph,
};
use crate::error::EngineError;

/// Those of the highest quality have 140 MB.
const MOST_MODEL_BYTES: u64 = 512 << 20;
/// Frames on either side that the upsampling half may look at; the first that is enough is taken.
const CONTEXTS: [usize; 4] = [8, 12, 16, 24];
/// What is said in pieces must be what is said at once, but for rounding.
const LEAST_DECIBELS: f32 = 70.0;
/// The first piece of an utterance, in frames: a quarter of a second.
const FIRST_FRAMES: usize = 24;
/// Later ones: below, most of the work would be for their contexts; above, giving up would take long.
const FRAMES: std::ops::RangeInclusive<usize> = 48..=192;
/// A run should take about this long, so that a caller who hangs up stops the work soon.
const RUN: Duration = Duration::from_millis(70);
/// Phoneme ids at once, a dozen words: the first half of a medium voice makes frames of them in 0.1 s.
const IDS: usize = 160;
/// The same where frames and sound are made in one run.
const IDS_WITHOUT_SEAM: usize = 64;
/// Longer than so many ids take to say.
const MOST_SECONDS: usize = 120;

/// A network that is ready to speak.
pub(super) struct Model {
    net: rten::Model,
    pool: Arc<ThreadPool>,
    input: NodeId,
    lengths: NodeId,
    scales: NodeId,
    speaker: Option<NodeId>,
    output: NodeId,
    seam: Option<Seam>,
    about: About,
}

/// Where frames become sound.
#[derive(Clone, Copy, Debug)]
struct Seam {
    node: NodeId,
    samples_per_frame: usize,
    context: usize,
}

/// What is left to be done of an utterance.
pub(super) enum Rest {
    /// Everything.
    Ids(Vec<i32>),
    /// To make sound of the frames from a place on.
    Frames { all: NdTensor<f32, 3>, from: usize, count: usize },
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("seam", &self.seam).finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a network and tries it. Takes up to a second of CPU.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no voice.
    pub(super) fn load(path: &Path, about: &About, pool: Arc<ThreadPool>) -> Result<Self, VoiceError> {
        let failed = |message: String| VoiceError::Model { path: path.to_owned(), message };
        let bytes = read_at_most(path, MOST_MODEL_BYTES)?;
        let seam = graph::upsampled(&bytes);
        let net = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load(bytes)
            .map_err(|error| failed(format!("cannot be loaded: {error}")))?;
        let node = |name: &str| {
            let found = net.find_node(name).filter(|id| net.input_ids().contains(id));
            found.ok_or_else(|| failed(format!("has no input \"{name}\"; a Piper voice has")))
        };
        let (input, lengths, scales) = (node("input")?, node("input_lengths")?, node("scales")?);
        let speaker = if about.default_speaker.is_some() { Some(node("sid")?) } else { None };
        let known = [Some(input), Some(lengths), Some(scales), speaker];
        if let Some(other) = net.input_ids().iter().find(|id| !known.contains(&Some(**id))) {
            let name = net.node_info(*other).and_then(|info| info.name().map(str::to_owned));
            return Err(failed(format!("wants an input \"{}\"", name.unwrap_or_default())));
        }
        let output = *net.output_ids().first().ok_or_else(|| failed("has no output".to_owned()))?;
        let seam = seam.and_then(|name| net.find_node(&name));
        let mut model =
            Self { net, pool, input, lengths, scales, speaker, output, seam: None, about: about.clone() };
        model.try_out(seam).map_err(|error| failed(format!("does not speak: {error}")))?;
        Ok(model)
    }

    /// Phoneme ids that one run takes.
    pub(super) fn ids_at_once(&self) -> usize {
        if self.seam.is_some() { IDS } else { IDS_WITHOUT_SEAM }
    }

    /// One run: sound, and what is left to be done.
    ///
    /// # Errors
    /// When the network fails, or gives something that is no sound.
    pub(super) fn step(
        &self,
        rest: Rest,
        speaker: Option<i32>,
    ) -> Result<(Vec<f32>, Option<Rest>), EngineError> {
        match rest {
            Rest::Ids(ids) => {
                let Some(seam) = self.seam else {
                    let [sound] = self.run(self.inputs(&ids, speaker), [self.output])?;
                    return Ok((self.samples(sound)?, None));
                };
                let [frames] = self.run(self.inputs(&ids, speaker), [seam.node])?;
                let all = to_frames(frames)?;
                Ok((Vec::new(), Some(Rest::Frames { all, from: 0, count: FIRST_FRAMES })))
            }
            Rest::Frames { all, from, count } => {
                let seam = self.seam.ok_or_else(|| EngineError::new("frames of another voice"))?;
                let started = Instant::now();
                let samples = self.decode(seam, &all, from, count)?;
                let from = from + count;
                let is_over = from >= all.size(2);
                let count = next_count(count, started.elapsed());
                Ok((samples, (!is_over).then_some(Rest::Frames { all, from, count })))
            }
        }
    }

    /// The sound of some frames, as if all were decoded at once.
    fn decode(
        &self,
        seam: Seam,
        all: &NdTensor<f32, 3>,
        from: usize,
        count: usize,
    ) -> Result<Vec<f32>, EngineError> {
        let to = (from + count).min(all.size(2));
        let (left, right) = (from.saturating_sub(seam.context), (to + seam.context).min(all.size(2)));
        let frames = all.slice((.., .., left..right)).to_tensor();
        let [sound] = self.run(vec![(seam.node, frames.into())], [self.output])?;
        let samples = self.samples(sound)?;
        let wanted = (from - left) * seam.samples_per_frame..(to - left) * seam.samples_per_frame;
        samples
            .get(wanted)
            .map(<[f32]>::to_vec)
            .ok_or_else(|| EngineError::new("the network said too little"))
    }

    fn inputs(&self, ids: &[i32], speaker: Option<i32>) -> Vec<(NodeId, ValueOrView<'static>)> {
        let scales = [self.about.scales.noise, self.about.scales.length, self.about.scales.noise_w];
        let mut inputs: Vec<(NodeId, ValueOrView<'static>)> = vec![
            (self.input, Tensor::from_data(&[1, ids.len()], ids.to_vec()).into()),
            (self.lengths, Tensor::from_data(&[1], vec![ids.len() as i32]).into()),
            (self.scales, Tensor::from_data(&[3], scales.to_vec()).into()),
        ];
        if let Some(node) = self.speaker {
            let speaker = speaker.or(self.about.default_speaker).unwrap_or_default();
            inputs.push((node, Tensor::from_data(&[1], vec![speaker]).into()));
        }
        inputs
    }

    fn run<const N: usize>(
        &self,
        inputs: Vec<(NodeId, ValueOrView<'_>)>,
        outputs: [NodeId; N],
    ) -> Result<[Value; N], EngineError> {
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        self.net
            .run_n(inputs, outputs, Some(options))
            .map_err(|error| EngineError::new(format!("the network failed: {error}")))
    }

    fn samples(&self, sound: Value) -> Result<Vec<f32>, EngineError> {
        let tensor: Tensor<f32> =
            sound.try_into().map_err(|_| EngineError::new("the network's output is not of floats"))?;
        let samples = tensor.to_vec();
        if samples.len() > MOST_SECONDS * self.about.sample_rate as usize {
            return Err(EngineError::new(format!("the network said {} samples at once", samples.len())));
        }
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(EngineError::new("the network's output is not a number"));
        }
        Ok(samples)
    }

    /// Speaks a few phonemes: shows whether it works, how fast it is, and whether it can be cut at its seam.
    fn try_out(&mut self, seam: Option<NodeId>) -> Result<(), EngineError> {
        let phonemes = self.about.alphabet.ids.iter().filter(|(phoneme, _)| phoneme.as_str() > "a");
        let phonemes: Vec<String> = phonemes.map(|(phoneme, _)| phoneme.clone()).cycle().take(16).collect();
        let [ids] = <[Vec<i32>; 1]>::try_from(self.about.alphabet.ids(&phonemes, usize::MAX))
            .map_err(|_| EngineError::new("it knows no phonemes"))?;
        let [sound] = self.run(self.inputs(&ids, None), [self.output])?;
        if self.samples(sound)?.is_empty() {
            return Err(EngineError::new("it is silent"));
        }
        self.seam = seam.and_then(|node| self.seam(node, &ids));
        Ok(())
    }

    /// The seam, if what is decoded in pieces there is what the whole network says.
    fn seam(&self, node: NodeId, ids: &[i32]) -> Option<Seam> {
        let [frames, sound] = self.run(self.inputs(ids, None), [node, self.output]).ok()?;
        let (frames, whole) = (to_frames(frames).ok()?, self.samples(sound).ok()?);
        let count = frames.size(2);
        if count == 0 || !whole.len().is_multiple_of(count) {
            return None;
        }
        let seams = CONTEXTS.map(|context| Seam { node, samples_per_frame: whole.len() / count, context });
        seams.into_iter().find(|seam| {
            let starts = (0..count).step_by(FIRST_FRAMES);
            let pieces: Result<Vec<_>, _> =
                starts.map(|from| self.decode(*seam, &frames, from, FIRST_FRAMES)).collect();
            pieces.is_ok_and(|pieces| decibels(&whole, &pieces.concat()) >= LEAST_DECIBELS)
        })
    }
}

/// How many frames to decode next, where so many took so long.
fn next_count(count: usize, took: Duration) -> usize {
    let fitting = count as f64 * RUN.as_secs_f64() / took.as_secs_f64().max(1e-3);
    (fitting as usize).min(2 * count).clamp(*FRAMES.start(), *FRAMES.end())
}

fn to_frames(value: Value) -> Result<NdTensor<f32, 3>, EngineError> {
    value.try_into().map_err(|_| EngineError::new("the network's frames are not of three dimensions"))
}

/// How far the difference from `wanted` lies below it.
pub(super) fn decibels(wanted: &[f32], got: &[f32]) -> f32 {
    if wanted.len() != got.len() {
        return f32::NEG_INFINITY;
    }
    let signal: f32 = wanted.iter().map(|sample| sample * sample).sum();
    let noise: f32 = wanted.iter().zip(got).map(|(wanted, got)| (wanted - got).powi(2)).sum();
    if noise == 0.0 { f32::INFINITY } else { 10.0 * (signal / noise).log10() }
}
