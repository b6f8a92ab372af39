use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::testing::{ffmpeg, ffmpeg_file, floats, snr_db, speech};

const LIMIT: Duration = Duration::from_mins(1);

/// Speech in every form that is decoded here, as ffmpeg writes it.
static FILES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let wav = wav::write_pcm16(speech());
    let made = |format: &str, codec: &str| ffmpeg_file(&wav, &["-c:a", codec, "-f", format]);
    vec![
        ("PCM", made("wav", "pcm_s16le")),
        ("PCM 24", made("wav", "pcm_s24le")),
        ("float", made("wav", "pcm_f32le")),
        ("mu-law", made("wav", "pcm_mulaw")),
        ("A-law", made("wav", "pcm_alaw")),
        ("MP3", made("mp3", "libmp3lame")),
        ("FLAC", made("flac", "flac")),
        ("Vorbis", made("ogg", "libvorbis")),
    ]
});

/// How many samples come of a file.
fn outcome(file: &[u8], limit: Duration) -> Result<usize, AudioError> {
    decode(file, limit).map(|audio| audio.samples.len())
}

fn file(name: &str) -> Vec<u8> {
    FILES.iter().find(|(of, _)| *of == name).unwrap().1.clone()
}

#[test]
fn what_is_not_audio_is_a_typed_error() {
    for junk in [&b""[..], b"ID3\x04\0\0\0\0\0\0", b"ID3\x04\0\0\0\0\0\0\0\0\0"] {
        assert!(matches!(decode(junk, LIMIT), Err(AudioError::Empty)), "{junk:?}");
    }
    for junk in [&b"{\"error\":\"nope\"}"[..], b"\xFF\xF1\x50\x80\0\0\0\0", &[0; 100]] {
        assert!(matches!(decode(junk, LIMIT), Err(AudioError::UnknownFormat(_))), "{junk:?}");
    }
    for junk in [&b"OggS\0\0"[..], b"fLaC\0\0\0\x22", b"RIFF\0\0", b"ID3\x04\0\0\x7F\x7F\x7F\x7F"] {
        assert!(matches!(decode(junk, LIMIT), Err(AudioError::CutOff(_))), "{junk:?}");
    }
    assert!(matches!(decode(b"\xFF\xFB\x90\x64", LIMIT), Err(AudioError::Broken(_))));
}

#[test]
fn another_codec_in_a_known_container_is_unknown() {
    let wav = wav::write_pcm16(speech());
    for (format, codec) in [
        ("ogg", "libopus"),
        ("ogg", "flac"),
        ("wav", "adpcm_ima_wav"),
        ("adts", "aac"),
        ("aiff", "pcm_s16be"),
    ] {
        let file = ffmpeg(&wav, &["-i", "pipe:0", "-c:a", codec, "-f", format, "pipe:1"]);
        assert!(matches!(decode(&file, LIMIT), Err(AudioError::UnknownFormat(_))), "{codec} in {format}");
    }
}

#[test]
fn every_form_gives_the_speech_that_was_put_in() {
    let speech = speech();
    for (name, file) in FILES.iter() {
        let audio = decode(file, LIMIT).unwrap();
        assert_eq!(audio.sample_rate_hertz, 16_000, "{name}");
        assert_eq!(audio.samples.len(), speech.samples.len(), "{name}");
        let least = match *name {
            "PCM" | "PCM 24" | "float" | "FLAC" => 90.0,
            "mu-law" | "A-law" => 35.0,
            _ => 10.0,
        };
        let snr = snr_db(&speech.samples, &audio.samples);
        assert!(snr > least, "{name}: {snr} dB");
        let theirs = floats(&ffmpeg(file, &["-i", "pipe:0", "-f", "f32le", "pipe:1"]));
        let snr = snr_db(&theirs, &audio.samples);
        assert!(snr > 80.0, "{name} beside ffmpeg: {snr} dB");
    }
}

#[test]
fn several_channels_become_one() {
    for (format, codec) in
        [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libvorbis"), ("mp3", "libmp3lame")]
    {
        let pan = ["-af", "pan=stereo|c0=c0|c1=0.5*c0", "-c:a", codec, "-f", format];
        let audio = decode(&ffmpeg_file(&wav::write_pcm16(speech()), &pan), LIMIT).unwrap();
        assert_eq!(audio.samples.len(), speech().samples.len(), "{codec}");
        let wanted: Vec<f32> = speech().samples.iter().map(|sample| sample * 0.75).collect();
        assert!(snr_db(&wanted, &audio.samples) > 10.0, "{codec}");
    }
}

#[test]
fn tags_and_pictures_are_passed_over() {
    let mut mp3 = b"ID3\x04\0\0\0\0\x02\0APIC\x7F\x7F\x7F\x7F\0\0".to_vec();
    mp3.resize(10 + 256, 0);
    mp3.extend(file("MP3"));
    assert_eq!(decode(&mp3, LIMIT).unwrap().samples.len(), speech().samples.len());

    // A FLAC picture and an Ogg comment whose own sizes are absurd.
    let flac = file("FLAC");
    let mut pictured = flac[..4 + 4 + 34].to_vec();
    pictured[4] = 0;
    pictured.extend_from_slice(b"\x06\0\0\x08\0\0\0\x03\xFF\xFF\xFF\xFF");
    pictured.extend_from_slice(&flac[4 + 4 + 34..]);
    assert_eq!(decode(&pictured, LIMIT).unwrap().samples.len(), speech().samples.len());

    let stream = ogg::first_stream(&file("Vorbis")).unwrap();
    let headers =
        [stream.packets[0].clone(), b"\x03vorbis\xFF\xFF\xFF\xFF".to_vec(), stream.packets[2].clone()];
    let commented = stream.with_headers([&headers[0], &headers[1], &headers[2]]);
    assert_eq!(decode(&commented, LIMIT).unwrap().samples.len(), speech().samples.len());
}

#[test]
fn audio_beyond_the_limit_is_refused_before_it_is_held() {
    let long = wav::write_mulaw(&vec![0xFF; 8_000 * 3]);
    assert!(matches!(decode(&long, Duration::from_secs(2)), Err(AudioError::TooLong { .. })));
    assert_eq!(decode(&long, LIMIT).unwrap().duration(), Duration::from_secs(3));
    for (name, file) in FILES.iter() {
        let refused = outcome(file, Duration::from_secs(1));
        assert!(matches!(refused, Err(AudioError::TooLong { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn silence_packed_a_thousandfold_is_refused() {
    let silence = ["-f", "lavfi", "-i", "anullsrc=r=96000:cl=7.1", "-t", "300", "-f", "flac", "pipe:1"];
    let bomb = ffmpeg(&[], &silence);
    assert!(bomb.len() < 2_000_000, "{}", bomb.len());
    assert!(matches!(decode(&bomb, LIMIT), Err(AudioError::TooLong { .. })));
    // And when its header keeps silent about the length.
    let mut silent = bomb;
    silent[21] &= 0xF0;
    silent[22..26].fill(0);
    assert!(matches!(decode(&silent, LIMIT), Err(AudioError::TooLong { .. })));
}

#[test]
fn what_was_cut_off_says_so() {
    for (name, file) in FILES.iter().filter(|(name, _)| *name != "MP3") {
        let cut = outcome(&file[..file.len() * 2 / 3], LIMIT);
        assert!(matches!(cut, Err(AudioError::CutOff(_))), "{name}: {cut:?}");
    }
    // What was written to a pipe has announced nothing.
    let piped = ["-i", "pipe:0", "-f", "wav", "pipe:1"];
    let piped = ffmpeg(&wav::write_pcm16(speech()), &piped);
    assert_eq!(decode(&piped, LIMIT).unwrap().samples.len(), speech().samples.len());
    assert!(decode(&piped[..piped.len() / 2], LIMIT).is_ok());
    // An MP3 announces nothing.
    let mp3 = file("MP3");
    assert!(decode(&mp3[..mp3.len() / 2], LIMIT).unwrap().samples.len() < speech().samples.len());
}

#[test]
fn a_decoder_that_panics_is_a_typed_error() {
    // A tag and the frame that only says how long the MP3 is: its decoder divides by no channels.
    let mp3 = file("MP3");
    let refused = outcome(&mp3[..320], LIMIT);
    assert!(matches!(refused, Err(AudioError::Broken(_))), "{refused:?}");
}

/// Bits as a Vorbis header is written, the lowest of each byte first.
fn bits(fields: &[(u64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    for (value, count) in fields {
        for n in 0..*count {
            if at % 8 == 0 {
                bytes.push(0);
            }
            *bytes.last_mut().unwrap() |= ((value >> n & 1) as u8) << (at % 8);
            at += 1;
        }
    }
    bytes
}

#[test]
fn a_codebook_of_gigabytes_is_refused() {
    // 2^24 - 1 entries of one length and 31 dimensions each: twenty-odd bytes that ask for two gigabytes.
    let entries = (1 << 24) - 1;
    let book = [(0, 8), (0x56_4342, 24), (31, 16), (entries, 24), (1, 1), (0, 5), (entries, 24)];
    let lookup = [(1, 4), (0, 32), (0, 32), (0, 4), (0, 1), (0, 64)];
    let setup = [&b"\x05vorbis"[..], &bits(&[&book[..], &lookup[..]].concat())].concat();
    let stream = ogg::first_stream(&file("Vorbis")).unwrap();
    let identification = stream.packets[0].clone();
    let bomb = stream.with_headers([&identification, b"\x03vorbis\0\0\0\0\0\0\0\0\x01", &setup]);
    let refused = outcome(&bomb, LIMIT);
    assert!(matches!(refused, Err(AudioError::BrokenHeader(_))), "{refused:?}");
}

#[test]
fn absurd_forms_are_refused() {
    let flac = |numbers: u64| {
        let mut file = file("FLAC");
        file[18..26].copy_from_slice(&numbers.to_be_bytes());
        decode(&file, LIMIT)
    };
    let form =
        |hertz: u64, channels: u64, samples: u64| hertz << 44 | (channels - 1) << 41 | 15 << 36 | samples;
    for absurd in [form(0, 1, 0), form(1, 1, 0), form(655_350, 8, 0)] {
        assert!(matches!(flac(absurd), Err(AudioError::BrokenHeader(_))));
    }
    assert!(matches!(flac(form(16_000, 1, (1 << 36) - 1)), Err(AudioError::TooLong { .. })));

    for (at, value) in [(11, 0), (11, 255), (12, 0xFF), (14, 0x7F), (28, 0)] {
        let stream = ogg::first_stream(&file("Vorbis")).unwrap();
        let [mut identification, setup] = [stream.packets[0].clone(), stream.packets[2].clone()];
        identification[at] = value;
        if at == 12 {
            identification[12..16].fill(0);
        }
        let refused = outcome(&stream.with_headers([&identification, b"\x03vorbis", &setup]), LIMIT);
        assert!(
            matches!(refused, Err(AudioError::BrokenHeader(_) | AudioError::Broken(_))),
            "{at}: {refused:?}"
        );
    }
}

#[test]
fn streams_beside_and_behind_the_first_are_left_out() {
    let first = file("Vorbis");
    let wav = wav::write_pcm16(speech());
    let stereo = ["-i", "pipe:0", "-ac", "2", "-ar", "44100", "-c:a", "libvorbis", "-f", "ogg", "pipe:1"];
    let chained = [first, ffmpeg(&wav, &stereo)].concat();
    assert_eq!(decode(&chained, LIMIT).unwrap().samples.len(), speech().samples.len());
}

/// What may have happened to a file on its way.
#[derive(Clone, Debug)]
enum Harm {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, usize),
    Drop(prop::sample::Index, usize),
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let harm = prop_oneof![
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Harm::Cut),
        1 => (any::<prop::sample::Index>(), 1_usize..600).prop_map(|(at, len)| Harm::Repeat(at, len)),
        1 => (any::<prop::sample::Index>(), 1_usize..600).prop_map(|(at, len)| Harm::Drop(at, len)),
    ];
    prop::collection::vec(harm, 1..24)
}

fn harmed(mut file: Vec<u8>, harms: &[Harm], in_header: bool) -> Vec<u8> {
    for harm in harms {
        if file.is_empty() {
            break;
        }
        let span = if in_header { file.len().min(200) } else { file.len() };
        match harm {
            Harm::Byte(at, byte) => file[at.index(span)] = *byte,
            Harm::Cut(at) => file.truncate(at.index(file.len())),
            Harm::Repeat(at, len) => {
                let at = at.index(span);
                let piece = file[at..(at + len).min(file.len())].to_vec();
                file.splice(at..at, piece);
            }
            Harm::Drop(at, len) => {
                let at = at.index(span);
                file.drain(at..(at + len).min(file.len()));
            }
        }
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_file_that_was_harmed_gives_audio_or_a_typed_error(
        which in 0_usize..8, harms in harms(), in_header: bool,
    ) {
        let harmed = harmed(FILES[which].1.clone(), &harms, in_header);
        if let Ok(audio) = decode(&harmed, LIMIT) {
            prop_assert!(audio.samples.len() as f64 <= LIMIT.as_secs_f64() * LIMIT_HERTZ);
            prop_assert!(audio.samples.iter().all(|sample| sample.is_finite()));
        }
    }

    #[test]
    fn harmed_packets_in_sound_pages_give_audio_or_a_typed_error(harms in harms(), which in 0_usize..3) {
        let stream = ogg::first_stream(&file("Vorbis")).unwrap();
        let mut headers = [stream.packets[0].clone(), stream.packets[1].clone(), stream.packets[2].clone()];
        headers[which] = harmed(headers[which].clone(), &harms, false);
        let harmed = stream.with_headers([&headers[0], &headers[1], &headers[2]]);
        drop(decode(&harmed, LIMIT));
    }
}
