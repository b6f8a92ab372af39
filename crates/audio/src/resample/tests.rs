use super::*;
use crate::{
    Audio,
    testing::{ffmpeg, floats, level_db, snr_db, speech, tone},
    wav,
};

const RATES: [u32; 5] = [16_000, 22_050, 24_000, 44_100, 48_000];

fn by_clip(samples: &[f32], from: u32) -> Vec<f32> {
    resample(samples, from, 8_000)
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

/// Both ways, by name.
fn ways(samples: &[f32], from: u32) -> [(&'static str, Vec<f32>); 2] {
    [("clip", by_clip(samples, from)), ("stream", by_stream(samples, from, 431))]
}

#[test]
fn what_lies_above_the_band_is_gone() {
    for rate in RATES {
        for hertz in [4_600.0, 5_000.0, 6_100.0, 7_700.0, f64::from(rate) * 0.49] {
            for (name, out) in ways(&tone(hertz, rate, 0.5), rate) {
                let alias = level_db(&out);
                assert!(alias < -80.0, "{name} {rate}: {hertz} Hz is at {alias} dB");
            }
        }
    }
}

#[test]
fn the_band_is_flat() {
    for rate in RATES {
        for step in 0..32 {
            let hertz = 300.0 + 100.0 * f64::from(step);
            for (name, out) in ways(&tone(hertz, rate, 0.5), rate) {
                let gain = level_db(&out);
                assert!(gain.abs() < 0.5, "{name} {rate}: {hertz} Hz is at {gain} dB");
            }
        }
    }
}

/// Speech at a rate, and what ffmpeg's best resampler makes of it at 8 kHz.
fn speech_at(rate: u32) -> (Vec<f32>, Vec<f32>) {
    let wav = wav::write_pcm16(speech());
    let hertz = rate.to_string();
    let samples = floats(&ffmpeg(&wav, &["-i", "pipe:0", "-ar", &hertz, "-f", "f32le", "pipe:1"]));
    let audio = Audio { samples, sample_rate_hertz: rate };
    let best = ["-i", "pipe:0", "-af", "aresample=8000:resampler=soxr:precision=28", "-f", "f32le", "pipe:1"];
    let theirs = floats(&ffmpeg(&wav::write_float(&audio), &best));
    (audio.samples, theirs)
}

/// What of `samples` lies below 3.5 kHz, the band of the telephone; later by a part of a sample.
fn band(samples: &[f32], later: f64) -> Vec<f32> {
    let (reach, edge) = (96_i64, 3_500.0 / 4_000.0);
    let weight = |n: i64| {
        let x = std::f64::consts::PI * (n as f64 - later);
        let sinc = if x.abs() < 1e-9 { edge } else { (edge * x).sin() / x };
        sinc * (0.5 + 0.5 * (x / (reach as f64 + 1.0)).cos())
    };
    let weights: Vec<f64> = (-reach..=reach).map(weight).collect();
    (0..samples.len() as i64)
        .map(|at| {
            let near = (-reach..=reach).filter_map(|n| {
                let sample = samples.get(usize::try_from(at - n).ok()?)?;
                Some(f64::from(*sample) * weights[(n + reach) as usize])
            });
            near.sum::<f64>() as f32
        })
        .collect()
}

#[test]
fn speech_is_what_ffmpegs_best_resampler_makes_of_it() {
    for rate in RATES {
        let (speech, theirs) = speech_at(rate);
        let duration = crate::duration_of(speech.len(), rate);
        for (name, out) in ways(&speech, rate) {
            let apart = crate::duration_of(out.len(), 8_000).abs_diff(duration);
            assert!(apart < std::time::Duration::from_micros(126), "{name} {rate}: {apart:?}");
            assert!(
                out.len().abs_diff(theirs.len()) <= 2,
                "{name} {rate}: {} and {}",
                out.len(),
                theirs.len()
            );
            // Whole samples of a delay are trimmed, so that half a sample of it may be left.
            let second = 8_000..16_000;
            let inner = 100..7_900;
            let out = &band(&out[second.clone()], 0.0)[inner.clone()];
            let snr = |late: f64| snr_db(&band(&theirs[second.clone()], late)[inner.clone()], out);
            let (mut from, mut to) = (-0.6, 0.6);
            for _ in 0..20 {
                let third = (to - from) / 3.0;
                if snr(from + third) > snr(to - third) { to -= third } else { from += third }
            }
            let snr = snr(from);
            assert!(snr > 45.0, "{name} {rate}: {snr} dB, {from} samples late");
        }
    }
}

#[test]
fn chunk_borders_leave_no_trace_and_lengths_agree() {
    for rate in RATES {
        let input = tone(700.0, rate, 0.5);
        let whole = by_stream(&input, rate, input.len());
        for chunk in [1, 7, 119, 120, 121, 480, 1201] {
            assert_eq!(by_stream(&input, rate, chunk), whole, "{rate} by {chunk}");
        }
        assert_eq!(whole.len(), 4_000);
        assert_eq!(resample(&input, rate, 8_000).len(), 4_000);
    }
}

#[test]
fn the_first_sound_of_a_stream_needs_little_more_than_half_its_filter() {
    for rate in RATES {
        let mut resampler = StreamResampler::new(rate, 8_000);
        let mut out = Vec::new();
        let mut needed = 0;
        while out.is_empty() {
            resampler.push(&[0.1], &mut out);
            needed += 1;
        }
        let needed = crate::duration_of(needed, rate);
        assert!(needed <= std::time::Duration::from_millis(16), "{rate}: {needed:?}");
    }
}

#[test]
fn one_that_has_rested_is_as_good_as_new() {
    // A rate of this test's own, so that no other test takes from its pool.
    let (rate, input) = (23_456, tone(700.0, 23_456, 0.3));
    let (clip, stream) = (by_clip(&input, rate), by_stream(&input, rate, 480));
    drop(StreamResampler::new(rate, 8_000));
    let mut interrupted = StreamResampler::new(rate, 8_000);
    interrupted.push(&vec![1.0; 5_000], &mut Vec::new());
    drop(interrupted);
    assert_eq!(by_clip(&input, rate), clip);
    assert_eq!(by_stream(&input, rate, 480), stream);
    assert!(CLIPS.0.lock().unwrap().len() <= AT_REST && STREAMS.0.lock().unwrap().len() <= AT_REST);
}

#[test]
fn odd_rates_and_lengths_are_no_trouble() {
    for from in [4_000, 7_999, 11_025, 96_000, 191_999, 192_000] {
        for len in [1, 2, 119, 5_000] {
            let input = vec![0.25; len];
            let wanted = len as f64 * 8_000.0 / f64::from(from);
            for (name, out) in ways(&input, from) {
                assert!((out.len() as f64 - wanted).abs() <= 1.0, "{name} {from} {len}: {}", out.len());
                assert!(out.iter().all(|sample| sample.is_finite()));
            }
        }
    }
    assert!(by_clip(&[], 24_000).is_empty() && by_stream(&[], 24_000, 1).is_empty());
}
