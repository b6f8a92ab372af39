//! Audio that can be played while it is still being made.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// One frame, the slice of time in which a leg's audio is counted.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

/// Speech is levelled to ten times that; what is quieter is silence.
const QUIET: f32 = 0.01;

/// Shorter silences are a part of a word.
const LEAST_SILENCE: u32 = 3;

/// Frames in a second.
const FRAMES_PER_SECOND: usize = 50;

/// Encoding and rate of a leg's audio. One channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AudioFormat {
    /// G.711 mu-law at 8 kHz.
    Mulaw,
    /// Signed 16-bit little-endian samples.
    Linear16 {
        /// 8,000, 16,000 or 24,000.
        hertz: u32,
    },
}

/// A piece of speech. Whoever has it plays it; whoever makes it may still be adding to it.
#[derive(Clone, Debug)]
pub(crate) struct LiveClip {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    format: AudioFormat,
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug)]
struct State {
    audio: Audio,
    engine: String,
    /// Whether it was there before anybody asked for it.
    is_cached: bool,
}

#[derive(Debug)]
enum Audio {
    Growing(BytesMut),
    Whole(Bytes),
}

/// What there is of a clip from some place on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The audio; empty when there is none yet, or none any more.
    pub audio: Bytes,
    /// Whether the clip ends with it.
    pub is_end: bool,
}

// === impl AudioFormat ===

impl AudioFormat {
    /// Samples per second.
    pub(crate) fn hertz(self) -> u32 {
        match self {
            Self::Mulaw => voice_audio::TELEPHONE_HERTZ,
            Self::Linear16 { hertz } => hertz,
        }
    }

    /// Bytes of one sample.
    pub(crate) fn sample_bytes(self) -> usize {
        match self {
            Self::Mulaw => 1,
            Self::Linear16 { .. } => 2,
        }
    }

    /// Bytes of one frame.
    pub(crate) fn frame_bytes(self) -> usize {
        self.hertz() as usize / FRAMES_PER_SECOND * self.sample_bytes()
    }

    /// The byte that silence is made of.
    pub(crate) fn silence(self) -> u8 {
        match self {
            Self::Mulaw => voice_audio::mulaw::SILENCE,
            Self::Linear16 { .. } => 0,
        }
    }

    /// A frame of silence.
    pub(crate) fn silent_frame(self) -> Bytes {
        static MULAW: [u8; 160] = [voice_audio::mulaw::SILENCE; 160];
        static LINEAR16: [u8; 960] = [0; 960];
        match self {
            Self::Mulaw => Bytes::from_static(&MULAW),
            Self::Linear16 { .. } => Bytes::from_static(&LINEAR16[..self.frame_bytes()]),
        }
    }

    /// Whether nothing is to be heard in a frame.
    fn is_quiet(self, frame: &[u8]) -> bool {
        match self {
            Self::Mulaw => voice_audio::mulaw::are_within(frame, QUIET),
            Self::Linear16 { .. } => {
                let (samples, _) = frame.as_chunks::<2>();
                let level = |sample: &[u8; 2]| f32::from(i16::from_le_bytes(*sample)) / 32_768.0;
                samples.iter().all(|sample| level(sample).abs() <= QUIET)
            }
        }
    }

    /// Playing time of that many bytes.
    pub(crate) fn duration_of(self, bytes: usize) -> Duration {
        voice_audio::duration_of(bytes / self.sample_bytes(), self.hertz())
    }

    /// Bytes that are played in that time, in whole samples.
    pub(crate) fn bytes_of(self, duration: Duration) -> usize {
        (duration.as_secs_f64() * f64::from(self.hertz())) as usize * self.sample_bytes()
    }
}

// === impl LiveClip ===

impl LiveClip {
    /// A clip of which there is nothing yet.
    pub(crate) fn new(format: AudioFormat) -> Self {
        Self::with(format, Audio::Growing(BytesMut::new()), String::new(), false)
    }

    /// A clip that was made before.
    pub(crate) fn whole(format: AudioFormat, audio: Bytes, engine: &str) -> Self {
        Self::with(format, Audio::Whole(audio), engine.to_owned(), true)
    }

    /// A clip that was made before as mu-law.
    pub(crate) fn from_mulaw(audio: &Bytes, engine: &str, format: AudioFormat) -> Self {
        let audio = match format {
            AudioFormat::Mulaw => audio.clone(),
            AudioFormat::Linear16 { hertz } => {
                let samples = voice_audio::mulaw::decode(audio);
                let samples = voice_audio::resample::resample(&samples, voice_audio::TELEPHONE_HERTZ, hertz);
                let bytes: Vec<u8> = samples
                    .iter()
                    .flat_map(|sample| voice_audio::mulaw::to_i16(*sample).to_le_bytes())
                    .collect();
                bytes.into()
            }
        };
        Self::whole(format, audio, engine)
    }

    fn with(format: AudioFormat, audio: Audio, engine: String, is_cached: bool) -> Self {
        let state = Mutex::new(State { audio, engine, is_cached });
        Self { shared: Arc::new(Shared { format, state, grown: Notify::new() }) }
    }

    /// Adds what an engine has made.
    pub(crate) fn grow(&self, audio: &[u8], engine: &str) {
        let mut state = self.state();
        if let Audio::Growing(so_far) = &mut state.audio {
            so_far.extend_from_slice(audio);
        }
        if state.engine != engine {
            engine.clone_into(&mut state.engine);
        }
        drop(state);
        self.shared.grown.notify_one();
    }

    /// Notes that nothing will be added.
    pub(crate) fn complete(&self) {
        let mut state = self.state();
        if let Audio::Growing(so_far) = &mut state.audio {
            let whole = std::mem::take(so_far).freeze();
            state.audio = Audio::Whole(whole);
        }
        drop(state);
        self.shared.grown.notify_one();
    }

    /// At most `most` bytes from byte `from` on.
    pub(crate) fn read(&self, from: usize, most: usize) -> Stretch {
        let state = self.state();
        match &state.audio {
            Audio::Growing(so_far) => {
                let to = so_far.len().min(from + most);
                let audio = Bytes::copy_from_slice(&so_far[from.min(to)..to]);
                Stretch { audio, is_end: false }
            }
            Audio::Whole(whole) => {
                let to = whole.len().min(from + most);
                Stretch { audio: whole.slice(from.min(to)..to), is_end: to == whole.len() }
            }
        }
    }

    /// Playing time of what there is.
    pub(crate) fn duration(&self) -> Duration {
        let state = self.state();
        let bytes = match &state.audio {
            Audio::Growing(so_far) => so_far.len(),
            Audio::Whole(whole) => whole.len(),
        };
        self.shared.format.duration_of(bytes)
    }

    /// Where nothing sounds between its first sound and its last, in order.
    pub(crate) fn silences(&self) -> Vec<Range<Duration>> {
        let state = self.state();
        let audio: &[u8] = match &state.audio {
            Audio::Growing(so_far) => so_far,
            Audio::Whole(whole) => whole,
        };
        let format = self.shared.format;
        let frames = audio.chunks_exact(format.frame_bytes()).zip(0_u32..);
        let mut sounded = frames.filter(|(frame, _)| !format.is_quiet(frame)).map(|(_, n)| n);
        let Some(mut last) = sounded.next() else { return Vec::new() };
        let between = sounded.filter_map(|n| {
            let silent = last + 1..n;
            last = n;
            (silent.len() >= LEAST_SILENCE as usize).then(|| FRAME * silent.start..FRAME * silent.end)
        });
        between.collect()
    }

    /// Who speaks, and whether it was there before anybody asked for it.
    pub(crate) fn origin(&self) -> (String, bool) {
        let state = self.state();
        (state.engine.clone(), state.is_cached)
    }

    /// Waits until something may have been added since it was looked at. One may wait at a time.
    pub(crate) async fn grown(&self) {
        self.shared.grown.notified().await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for LiveClip {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for LiveClip {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_20_ms_in_every_format() {
        assert_eq!(AudioFormat::Mulaw.frame_bytes(), 160);
        for (hertz, bytes) in [(8_000, 320), (16_000, 640), (24_000, 960)] {
            let format = AudioFormat::Linear16 { hertz };
            assert_eq!((format.frame_bytes(), format.duration_of(bytes)), (bytes, FRAME));
            assert_eq!(format.bytes_of(FRAME), bytes);
        }
    }

    #[test]
    fn silences_lie_between_sounds_and_last_longer_than_a_stop_within_a_word() {
        let ms = Duration::from_millis;
        for format in [AudioFormat::Mulaw, AudioFormat::Linear16 { hertz: 24_000 }] {
            let frame = |is_loud: bool| match (format, is_loud) {
                (AudioFormat::Mulaw, true) => vec![0x20; 160],
                (_, true) => vec![0x10; 960],
                (_, false) => format.silent_frame().to_vec(),
            };
            // Two frames, two of silence, a frame, five of silence, a frame, and silence.
            let frames = "..##..#.....#....".chars().flat_map(|c| frame(c == '#')).collect::<Vec<_>>();
            let clip = LiveClip::whole(format, frames.into(), "groq");
            assert_eq!(clip.silences(), [ms(140)..ms(240)], "{format:?}");
            let silence = LiveClip::whole(format, frame(false).into(), "groq");
            assert_eq!(silence.silences(), []);
        }
    }

    #[test]
    fn a_clip_can_be_read_while_it_grows_and_tells_its_end() {
        let clip = LiveClip::new(AudioFormat::Mulaw);
        clip.grow(&[1; 100], "groq");
        assert_eq!(clip.read(0, 160), Stretch { audio: Bytes::from(vec![1; 100]), is_end: false });
        clip.grow(&[2; 100], "groq");
        assert_eq!(clip.read(160, 160).audio, Bytes::from(vec![2; 40]));
        clip.complete();
        assert_eq!(clip.read(160, 160), Stretch { audio: Bytes::from(vec![2; 40]), is_end: true });
        assert_eq!(clip.read(500, 160), Stretch { audio: Bytes::new(), is_end: true });
        assert_eq!((clip.duration(), clip.origin()), (Duration::from_millis(25), ("groq".into(), false)));
    }
}
