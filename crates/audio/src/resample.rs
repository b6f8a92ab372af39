//! Changing the sample rate without aliasing. Whole clips go through an FFT resampler (cheap, flat to the band's
//! edge, half a block of delay that is trimmed); streams through a windowed sinc with kept state (delay of
//! a few milliseconds).

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, Resampler as _, SincInterpolationParameters,
    SincInterpolationType, WindowFunction,
};

/// Resamples a whole clip.
///
/// # Panics
/// When a rate is zero.
pub fn resample(samples: &[f32], from_hertz: u32, to_hertz: u32) -> Vec<f32> {
    if from_hertz == to_hertz || samples.is_empty() {
        return samples.to_vec();
    }
    // One sub-chunk: rubato's own choice of sub-chunks cuts into the telephone band from 24 to 8 kHz.
    let mut resampler = Fft::<f32>::new_custom(
        from_hertz as usize,
        to_hertz as usize,
        1024,
        1,
        1,
        WindowFunction::BlackmanHarris2,
        FixedSync::Input,
    )
    .expect("rates are above zero");
    let input = InterleavedSlice::new(samples, 1, samples.len()).expect("one channel of known length");
    resampler.process_all(&input, samples.len(), None).expect("buffers are sized by rubato").take_data()
}

/// Input frames that the stream resampler takes at a time: 5 ms at 24 kHz.
const STREAM_CHUNK: usize = 120;

/// Resamples a stream, keeping its state across chunks.
pub struct StreamResampler {
    inner: Option<Async<f32>>,
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Output samples of the filter's own delay that are still to be dropped.
    to_trim: usize,
    taken: usize,
    given: usize,
    ratio: f64,
}

impl std::fmt::Debug for StreamResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamResampler")
            .field("ratio", &self.ratio)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl StreamResampler {
    /// Makes a resampler for one stream.
    ///
    /// # Panics
    /// When a rate is zero.
    pub fn new(from_hertz: u32, to_hertz: u32) -> Self {
        let ratio = f64::from(to_hertz) / f64::from(from_hertz);
        let inner = (from_hertz != to_hertz).then(|| {
            let parameters = SincInterpolationParameters {
                // As long in time at every rate, so that the band's edge is as steep: 256 samples at 24 kHz.
                sinc_len: (256 * from_hertz as usize).div_ceil(24_000).max(256),
                f_cutoff: None,
                oversampling_factor: 128,
                interpolation: SincInterpolationType::Cubic,
                window: WindowFunction::BlackmanHarris2,
            };
            Async::<f32>::new_sinc(ratio, 1.0, &parameters, STREAM_CHUNK, 1, FixedAsync::Input)
                .expect("rates are above zero")
        });
        let to_trim = inner.as_ref().map_or(0, rubato::Resampler::output_delay);
        let output = vec![0.0; inner.as_ref().map_or(0, rubato::Resampler::output_frames_max)];
        Self { inner, pending: Vec::new(), output, to_trim, taken: 0, given: 0, ratio }
    }

    /// Takes input and appends what can be given by now.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len();
        if self.inner.is_none() {
            self.given += samples.len();
            out.extend_from_slice(samples);
            return;
        }
        self.pending.extend_from_slice(samples);
        self.drain(out);
    }

    /// Gives what the filter still holds: the stream is over.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let wanted = (self.taken as f64 * self.ratio).round() as usize;
        while self.inner.is_some() && self.given < wanted {
            let before = out.len();
            self.pending.resize(STREAM_CHUNK, 0.0);
            self.drain(out);
            if self.given > wanted {
                out.truncate((out.len() - (self.given - wanted)).max(before));
            }
        }
    }

    fn drain(&mut self, out: &mut Vec<f32>) {
        let Some(resampler) = self.inner.as_mut() else { return };
        let mut at = 0;
        loop {
            let need = resampler.input_frames_next();
            if self.pending.len() - at < need {
                break;
            }
            let room = self.output.len();
            let input = InterleavedSlice::new(&self.pending[at..at + need], 1, need)
                .expect("one channel of known length");
            let mut output =
                InterleavedSlice::new_mut(&mut self.output, 1, room).expect("one channel of known length");
            let (_, made) = resampler
                .process_into_buffer(&input, &mut output, None::<&Indexing>)
                .expect("buffers are sized by rubato");
            at += need;
            let skip = self.to_trim.min(made);
            self.to_trim -= skip;
            self.given += made - skip;
            out.extend_from_slice(&self.output[skip..made]);
        }
        self.pending.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, rate: u32, seconds: f32) -> Vec<f32> {
        (0..(rate as f32 * seconds) as usize)
            .map(|n| {
                0.5 * (std::f64::consts::TAU * f64::from(hertz) * n as f64 / f64::from(rate)).sin() as f32
            })
            .collect()
    }

    fn level_db(samples: &[f32]) -> f32 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let power = middle.iter().map(|s| s * s).sum::<f32>() / middle.len() as f32;
        10.0 * (power / 0.125).log10()
    }

    fn by_stream(samples: &[f32], from: u32, chunk: usize) -> Vec<f32> {
        let mut resampler = StreamResampler::new(from, 8_000);
        let mut out = Vec::new();
        for piece in samples.chunks(chunk) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn what_lies_above_the_band_is_gone_and_the_band_is_flat_on_both_paths() {
        for rate in [24_000, 22_050, 16_000, 48_000] {
            for (name, convert) in [
                (
                    "clip",
                    Box::new(move |s: &[f32]| resample(s, rate, 8_000)) as Box<dyn Fn(&[f32]) -> Vec<f32>>,
                ),
                ("stream", Box::new(move |s: &[f32]| by_stream(s, rate, 431))),
            ] {
                let alias = level_db(&convert(&tone(5_000.0, rate, 1.0)));
                assert!(alias < -80.0, "{name} {rate}: 5 kHz is at {alias} dB");
                for hertz in [300.0, 1_000.0, 3_000.0, 3_400.0] {
                    let gain = level_db(&convert(&tone(hertz, rate, 1.0)));
                    assert!(gain.abs() < 0.5, "{name} {rate}: {hertz} Hz is at {gain} dB");
                }
            }
        }
    }

    #[test]
    fn chunk_borders_leave_no_trace_and_lengths_agree() {
        let input = tone(700.0, 24_000, 0.5);
        let whole = by_stream(&input, 24_000, input.len());
        for chunk in [1, 7, 480, 1201] {
            assert_eq!(by_stream(&input, 24_000, chunk), whole);
        }
        assert_eq!(whole.len(), 4_000);
        assert_eq!(resample(&input, 24_000, 8_000).len(), 4_000);
    }
}
