//! Audio formats on the wire.

use voice_proto::audio::v1 as pb;

use crate::{error::Error, sound::AudioFormat};

/// Rates of linear samples that a leg may have.
const LINEAR_HERTZ: [u32; 3] = [8_000, 16_000, 24_000];

/// Writes a format.
pub(crate) fn to_format(format: AudioFormat) -> pb::AudioFormat {
    let encoding = match format {
        AudioFormat::Mulaw => pb::AudioEncoding::Mulaw,
        AudioFormat::Linear16 { .. } => pb::AudioEncoding::Linear16,
    };
    pb::AudioFormat { encoding: encoding.into(), sample_rate_hertz: format.hertz() as i32 }
}

/// Reads the format of a leg.
pub(super) fn from_format(format: Option<pb::AudioFormat>) -> Result<AudioFormat, Error> {
    let pb::AudioFormat { encoding, sample_rate_hertz } = format.unwrap_or_default();
    let hertz = if sample_rate_hertz == 0 { voice_audio::TELEPHONE_HERTZ } else { sample_rate_hertz as u32 };
    match pb::AudioEncoding::try_from(encoding) {
        Ok(pb::AudioEncoding::Unspecified | pb::AudioEncoding::Mulaw)
            if hertz == voice_audio::TELEPHONE_HERTZ =>
        {
            Ok(AudioFormat::Mulaw)
        }
        Ok(pb::AudioEncoding::Linear16) if LINEAR_HERTZ.contains(&hertz) => {
            Ok(AudioFormat::Linear16 { hertz })
        }
        Ok(_) | Err(_) => {
            let message = "is neither mu-law at 8000 hertz nor linear 16 at 8000, 16000 or 24000".to_owned();
            Err(Error::InvalidField { field: "format", message })
        }
    }
}
