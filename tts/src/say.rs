//! `tts say`: the engines without the service, for whoever wants to hear them.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use tokio::{task::JoinSet, time::Instant};
use voice_audio::{Audio, wav};

use crate::{
    EngineConfig,
    engines::Wish,
    synthesis::{Format, Speech, Streamed, of_speech},
};

/// What engines speak in mostly.
const HERTZ: u32 = 24_000;

/// What to say, and how.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Say {
    /// What to say.
    pub text: String,
    /// The engine to be asked first.
    #[arg(long, default_value = "")]
    pub engine: String,
    /// The voice.
    #[arg(long, default_value = "")]
    pub voice: String,
    /// BCP 47 tag of the text's language.
    #[arg(long, default_value = "")]
    pub language: String,
    /// A WAV file to write, instead of playing on the loudspeaker.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// From the request to the first audio.
    pub first_audio: Duration,
    /// Every engine that spoke, in order.
    pub engines: Vec<&'static str>,
    /// Playing time.
    pub duration: Duration,
}

/// Speaks, into a file or on the loudspeaker.
///
/// # Errors
/// When the text, engine or voice cannot be used, no engine speaks, or there is nowhere to speak to.
pub async fn say(say: Say, config: &EngineConfig) -> anyhow::Result<Said> {
    let Say { text, engine, voice, language, out } = say;
    let (engines, start) = crate::engines(config)?;
    let mut background = JoinSet::new();
    start.run(&mut background);
    // Voices are known and connections made before the clock starts, as in the service.
    while background.join_next().await.is_some() {}
    let speech = Speech::new(&text, Wish { engine, voice, language })?;
    let mut sink = Sink::open(out)?;
    let asked = Instant::now();
    let mut stream = of_speech(&engines, speech, Format { is_mulaw: false, rate: HERTZ })?;
    let mut said = Said { first_audio: Duration::ZERO, engines: Vec::new(), duration: Duration::ZERO };
    while let Some(streamed) = stream.next().await {
        let Streamed::Audio(chunk) = streamed? else { continue };
        if said.engines.is_empty() {
            said.first_audio = asked.elapsed();
        }
        if said.engines.last() != Some(&chunk.engine) {
            said.engines.push(chunk.engine);
        }
        let samples: Vec<f32> = chunk
            .audio
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();
        said.duration = chunk.start + voice_audio::duration_of(samples.len(), HERTZ);
        sink.take(samples).await?;
    }
    sink.finish().await?;
    Ok(said)
}

/// Where the sound goes.
enum Sink {
    File(PathBuf, Vec<f32>),
    #[cfg(feature = "playback")]
    Loudspeaker(loudspeaker::Loudspeaker),
}

impl Sink {
    fn open(out: Option<PathBuf>) -> anyhow::Result<Self> {
        match out {
            Some(path) => Ok(Self::File(path, Vec::new())),
            #[cfg(feature = "playback")]
            None => Ok(Self::Loudspeaker(loudspeaker::Loudspeaker::start())),
            #[cfg(not(feature = "playback"))]
            None => anyhow::bail!(
                "this tts was built without a loudspeaker: give --out FILE, or build it with --features playback"
            ),
        }
    }

    #[cfg_attr(
        not(feature = "playback"),
        expect(clippy::unused_async, reason = "a loudspeaker takes its time")
    )]
    async fn take(&mut self, samples: Vec<f32>) -> anyhow::Result<()> {
        match self {
            Self::File(_, all) => all.extend(samples),
            #[cfg(feature = "playback")]
            Self::Loudspeaker(loudspeaker) => loudspeaker.play(samples).await?,
        }
        Ok(())
    }

    async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::File(path, samples) => {
                let file = wav::write_pcm16(&Audio { samples, sample_rate_hertz: HERTZ });
                tokio::fs::write(&path, file)
                    .await
                    .with_context(|| format!("{} cannot be written", path.display()))
            }
            #[cfg(feature = "playback")]
            Self::Loudspeaker(loudspeaker) => loudspeaker.finish().await,
        }
    }
}

#[cfg(feature = "playback")]
mod loudspeaker {
    //! The loudspeaker on a thread of its own, since it blocks.

    use anyhow::Context as _;
    use tokio::{sync::mpsc, task::JoinSet};
    use voice_audio::playback;

    /// Chunks that may wait for it; it takes them as fast as they come.
    const QUEUE: usize = 64;

    pub(super) struct Loudspeaker {
        samples: mpsc::Sender<Vec<f32>>,
        playing: JoinSet<anyhow::Result<()>>,
    }

    impl Loudspeaker {
        pub(super) fn start() -> Self {
            let (samples, mut queue) = mpsc::channel::<Vec<f32>>(QUEUE);
            let mut playing = JoinSet::new();
            playing.spawn_blocking(move || {
                let loudspeaker = playback::Loudspeaker::open().context("give --out FILE instead")?;
                while let Some(samples) = queue.blocking_recv() {
                    loudspeaker.play(samples, super::HERTZ);
                }
                loudspeaker.finish();
                Ok(())
            });
            Self { samples, playing }
        }

        pub(super) async fn play(&mut self, samples: Vec<f32>) -> anyhow::Result<()> {
            if self.samples.send(samples).await.is_err() {
                self.end().await?;
            }
            Ok(())
        }

        pub(super) async fn finish(mut self) -> anyhow::Result<()> {
            let (closed, _) = mpsc::channel(1);
            drop(std::mem::replace(&mut self.samples, closed));
            self.end().await
        }

        async fn end(&mut self) -> anyhow::Result<()> {
            self.playing.join_next().await.context("the loudspeaker has ended")??
        }
    }
}
