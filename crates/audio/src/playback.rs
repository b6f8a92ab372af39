//! The machine's own loudspeaker, for developers.

use rodio::{ChannelCount, DeviceSinkBuilder, MixerDeviceSink, Player, SampleRate, buffer::SamplesBuffer};

/// There is no loudspeaker that works.
#[derive(Debug, thiserror::Error)]
#[error("the loudspeaker cannot be used: {0}")]
pub struct NoLoudspeaker(String);

/// A loudspeaker that plays what it is given, one piece behind the other. It stays on one thread.
pub struct Loudspeaker {
    // Declared first: what plays has to end before the device does.
    player: Player,
    _device: MixerDeviceSink,
}

impl std::fmt::Debug for Loudspeaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loudspeaker").finish_non_exhaustive()
    }
}

impl Loudspeaker {
    /// Opens the default device.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> Result<Self, NoLoudspeaker> {
        let mut device =
            DeviceSinkBuilder::open_default_sink().map_err(|error| NoLoudspeaker(error.to_string()))?;
        device.log_on_drop(false);
        let player = Player::connect_new(device.mixer());
        Ok(Self { player, _device: device })
    }

    /// Plays samples behind those before.
    ///
    /// # Panics
    /// When the rate is zero.
    pub fn play(&self, samples: Vec<f32>, sample_rate_hertz: u32) {
        let rate = SampleRate::new(sample_rate_hertz).expect("a rate is above zero");
        self.player.append(SamplesBuffer::new(ChannelCount::MIN, rate, samples));
    }

    /// Blocks until everything has been heard.
    pub fn finish(self) {
        self.player.sleep_until_end();
    }
}
