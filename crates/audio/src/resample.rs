//! Changing the sample rate without aliasing. Whole clips go through an FFT resampler (cheap, flat to the band's
//! edge, half a block of delay that is trimmed); streams through a windowed sinc with kept state (delay of
//! a few milliseconds).

use std::sync::{Mutex, PoisonError};

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, Resampler, SincInterpolationParameters,
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
    let rates = (from_hertz, to_hertz);
    let mut resampler = CLIPS.take(rates).unwrap_or_else(|| clip_resampler(rates));
    let input = InterleavedSlice::new(samples, 1, samples.len()).expect("one channel of known length");
    let output =
        resampler.process_all(&input, samples.len(), None).expect("buffers are sized by rubato").take_data();
    CLIPS.give(rates, resampler);
    output
}

fn clip_resampler((from_hertz, to_hertz): Rates) -> Fft<f32> {
    // As long in time at every rate, so that the band's edge is as steep: 1,024 samples at 24 kHz.
    let block = (1024 * from_hertz as usize).div_ceil(24_000).max(1024);
    // An even block, or half of it, the delay that is trimmed, would leave half a sample.
    let unit = (from_hertz / greatest_common_divisor(from_hertz, to_hertz)) as usize;
    let block = block.div_ceil(unit).next_multiple_of(2) * unit;
    // One sub-chunk: rubato's own choice of sub-chunks cuts into the telephone band from 24 to 8 kHz.
    let window = WindowFunction::BlackmanHarris2;
    Fft::new_custom(from_hertz as usize, to_hertz as usize, block, 1, 1, window, FixedSync::Input)
        .expect("rates are above zero")
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Input samples that the stream resampler takes at a time: 5 ms at 24 kHz. What comes out lags half the filter,
/// 2.7 ms, behind.
const STREAM_CHUNK: usize = 120;

/// Resamples a stream, keeping its state across chunks.
pub struct StreamResampler {
    rates: Rates,
    inner: Option<Async<f32>>,
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Output samples of the filter's own delay that are still to be dropped.
    to_trim: usize,
    taken: usize,
    given: usize,
}

impl std::fmt::Debug for StreamResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamResampler")
            .field("rates", &self.rates)
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
        let rates = (from_hertz, to_hertz);
        let inner =
            (from_hertz != to_hertz).then(|| STREAMS.take(rates).unwrap_or_else(|| stream_resampler(rates)));
        let ratio = f64::from(to_hertz) / f64::from(from_hertz);
        // Half the filter, less the step that the interpolator begins with.
        let delay = (filter_len(from_hertz) as f64 / 2.0 * ratio - 1.0).round() as usize;
        let to_trim = if inner.is_some() { delay } else { 0 };
        let output = vec![0.0; inner.as_ref().map_or(0, Resampler::output_frames_max)];
        Self { rates, inner, pending: Vec::new(), output, to_trim, taken: 0, given: 0 }
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
        let ratio = f64::from(self.rates.1) / f64::from(self.rates.0);
        let wanted = (self.taken as f64 * ratio).round() as usize;
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

impl Drop for StreamResampler {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            STREAMS.give(self.rates, inner);
        }
    }
}

fn stream_resampler((from_hertz, to_hertz): Rates) -> Async<f32> {
    // Where every output sample lies on an input sample there is nothing to interpolate: a quarter of the work.
    let interpolation = if from_hertz.is_multiple_of(to_hertz) {
        SincInterpolationType::Nearest
    } else {
        SincInterpolationType::Cubic
    };
    let parameters = SincInterpolationParameters {
        sinc_len: filter_len(from_hertz),
        f_cutoff: Some(CUTOFF),
        oversampling_factor: 128,
        interpolation,
        window: WindowFunction::BlackmanHarris,
    };
    let ratio = f64::from(to_hertz) / f64::from(from_hertz);
    Async::new_sinc(ratio, 1.0, &parameters, STREAM_CHUNK, 1, FixedAsync::Input)
        .expect("rates are above zero")
}

/// Half way between what is kept, up to 3.4 kHz, and what would fold into it, from 4.6 kHz, and a little below: there
/// the filter is 0.3 dB down at the one and 105 dB at the other.
const CUTOFF: f32 = 0.95;

/// As long in time at every rate: 128 samples at 24 kHz. Whole vectors of 8.
fn filter_len(from_hertz: u32) -> usize {
    (128 * from_hertz as usize).div_ceil(24_000).next_multiple_of(8).max(128)
}

type Rates = (u32, u32);

/// Resamplers at rest. Planning the FFT, or tabulating the sinc, takes as long as resampling a sentence.
struct Pool<R>(Mutex<Vec<(Rates, R)>>);

/// At most this many rest in a pool, about 2 MB; the longest unused goes.
const AT_REST: usize = 16;

static CLIPS: Pool<Fft<f32>> = Pool(Mutex::new(Vec::new()));
static STREAMS: Pool<Async<f32>> = Pool(Mutex::new(Vec::new()));

impl<R: Resampler<f32>> Pool<R> {
    fn take(&self, rates: Rates) -> Option<R> {
        let mut at_rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = at_rest.iter().rposition(|(of, _)| *of == rates)?;
        Some(at_rest.remove(at).1)
    }

    fn give(&self, rates: Rates, mut resampler: R) {
        resampler.reset();
        let mut at_rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if at_rest.len() >= AT_REST {
            at_rest.remove(0);
        }
        at_rest.push((rates, resampler));
    }
}

#[cfg(test)]
mod tests;
