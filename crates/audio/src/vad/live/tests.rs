//! With a voice that is made here: pulses through two resonances, in syllables.

use super::*;

const SECOND: usize = 50;

/// A voice of `frames` frames: syllables of 200 ms with 40 ms between them, loud enough for a telephone.
fn voice(frames: usize, pitch_hertz: f32) -> Vec<f32> {
    let mut filters = [(730.0, 90.0), (1_090.0, 110.0)].map(|(hertz, width): (f32, f32)| {
        let radius = (-std::f32::consts::PI * width / 8_000.0).exp();
        (2.0 * radius * (2.0 * std::f32::consts::PI * hertz / 8_000.0).cos(), -radius * radius, 0.0, 0.0)
    });
    let mut phase = 0.0;
    (0..frames * FRAME_SAMPLES)
        .map(|n| {
            let at = n % 1_920;
            let loudness = if at < 1_600 { (std::f32::consts::PI * at as f32 / 1_600.0).sin() } else { 0.0 };
            phase += pitch_hertz * (1.0 + 0.1 * (n as f32 / 3_000.0).sin()) / 8_000.0;
            let pulse = if phase >= 1.0 { loudness } else { 0.0 };
            phase %= 1.0;
            filters.iter_mut().fold(pulse, |input, (a, b, y1, y2)| {
                let y = input + *a * *y1 + *b * *y2;
                (*y2, *y1) = (*y1, y);
                y * 0.2
            })
        })
        .collect()
}

/// Noise that is the same in every run.
fn noise(frames: usize, level_db: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let amplitude = 10_f32.powf(level_db / 20.0) * 3_f32.sqrt();
    (0..frames * FRAME_SAMPLES)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            amplitude * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
        })
        .collect()
}

fn silence(frames: usize) -> Vec<f32> {
    noise(frames, -66.0)
}

fn at_level(samples: &[f32], level_db: f32) -> Vec<f32> {
    let power = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
    let gain = 10_f32.powf(level_db / 20.0) / power.sqrt();
    samples.iter().map(|s| s * gain).collect()
}

fn mixed(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// What comes back of `far` after `frames` frames.
fn echo(far: &[f32], frames: usize, loss_db: f32) -> Vec<f32> {
    let gain = 10_f32.powf(-loss_db / 20.0);
    let delay = frames * FRAME_SAMPLES + 37;
    (0..far.len()).map(|n| n.checked_sub(delay).map_or(0.0, |n| far[n] * gain)).collect()
}

fn frames(samples: &[f32]) -> Vec<[i16; FRAME_SAMPLES]> {
    let (frames, _) = samples.as_chunks::<FRAME_SAMPLES>();
    frames.iter().map(|frame| frame.map(crate::mulaw::to_i16)).collect()
}

/// What the detector says, with the number of the frame at which it says it.
fn changes(near: &[f32], far: Option<&[f32]>) -> Vec<(usize, Change)> {
    let mut vad = LiveVad::new();
    let far = far.map(frames);
    frames(near)
        .iter()
        .enumerate()
        .filter_map(|(n, frame)| {
            let far = far.as_ref().map(|far| &far[n]);
            vad.push(frame, far).map(|change| (n, change))
        })
        .collect()
}

#[test]
fn a_voice_is_noticed_soon_and_so_is_its_end() {
    let near = [silence(SECOND), at_level(&voice(60, 120.0), -22.0), silence(SECOND)].concat();
    let near = mixed(&near, &silence(160));
    let seen = changes(&near, None);
    let (started, Change::Started { onset_frames }) = seen[0] else { panic!("{seen:?}") };
    assert!((50..60).contains(&started), "{seen:?}");
    assert!((50..=56).contains(&(started + 1 - onset_frames)), "{seen:?}");
    let Some((paused, Change::Paused { voiced })) = seen.last().copied() else { panic!("{seen:?}") };
    assert!((112..=122).contains(&paused), "{seen:?}");
    assert!(voiced > Duration::from_millis(600), "{seen:?}");
}

#[test]
fn what_is_no_voice_is_not_taken_for_one() {
    let hum: Vec<f32> = (0..4 * SECOND * FRAME_SAMPLES).map(|n| (n as f32 * 0.0785).sin()).collect();
    for near in [silence(200), noise(200, -30.0), noise(200, -20.0), at_level(&hum, -25.0)] {
        assert_eq!(changes(&near, None), []);
    }
}

#[test]
fn a_voice_in_noise_is_noticed() {
    let voice = [silence(SECOND), at_level(&voice(60, 200.0), -22.0), silence(SECOND)].concat();
    let seen = changes(&mixed(&voice, &noise(160, -32.0)), None);
    assert!(matches!(seen[0], (50..=62, Change::Started { .. })), "{seen:?}");
}

#[test]
fn the_assistants_own_echo_does_not_interrupt_it() {
    let far = at_level(&voice(10 * SECOND, 180.0), -20.0);
    for (delay, loss) in [(2, 12.0), (6, 20.0), (24, 12.0), (24, 24.0)] {
        let near = mixed(&echo(&far, delay, loss), &silence(10 * SECOND));
        assert_eq!(changes(&near, Some(&far)), [], "{delay} frames, {loss} dB");
        assert_ne!(changes(&near, None), [], "it is loud enough to be taken for a voice");
    }
}

#[test]
fn a_caller_who_speaks_over_the_assistant_is_noticed() {
    let far = at_level(&voice(6 * SECOND, 180.0), -20.0);
    let caller = [silence(4 * SECOND), at_level(&voice(2 * SECOND, 110.0), -20.0)].concat();
    for loss in [16.0, 30.0, 60.0] {
        let near = mixed(&mixed(&echo(&far, 6, loss), &caller), &silence(6 * SECOND));
        let seen = changes(&near, Some(&far));
        assert!(matches!(seen.first(), Some((200..=215, Change::Started { .. }))), "{loss} dB: {seen:?}");
    }
}

#[test]
fn a_breath_is_a_pause_and_what_follows_goes_on() {
    let word = at_level(&voice(48, 120.0), -22.0);
    let near = [silence(SECOND), word.clone(), silence(15), word, silence(20)].concat();
    let seen: Vec<_> =
        changes(&near, None).into_iter().map(|(_, change)| std::mem::discriminant(&change)).collect();
    let kinds = [
        Change::Started { onset_frames: 0 },
        Change::Paused { voiced: Duration::ZERO },
        Change::Resumed,
        Change::Paused { voiced: Duration::ZERO },
    ];
    assert_eq!(seen, kinds.map(|change| std::mem::discriminant(&change)));
}

#[test]
fn after_an_utterance_was_ended_the_next_voice_is_a_start() {
    let near = [silence(SECOND), at_level(&voice(60, 120.0), -22.0)].concat();
    let mut vad = LiveVad::new();
    let mut starts = 0;
    for frame in frames(&near) {
        if let Some(Change::Started { .. }) = vad.push(&frame, None) {
            starts += 1;
            vad.reset();
        }
    }
    assert!(starts > 1, "{starts}");
}
