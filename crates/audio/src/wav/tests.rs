use proptest::prelude::*;

use super::*;
use crate::testing::{ffmpeg, floats, run, snr_db, tone as sine};

fn tone() -> Audio {
    Audio { samples: (0..801).map(|n| 0.4 * (n as f32 * 0.2).sin()).collect(), sample_rate_hertz: 8_000 }
}

#[test]
fn mulaw_files_have_tag_seven_a_fact_chunk_and_58_bytes_of_header() {
    let file = write_mulaw(&mulaw::encode(&tone().samples));
    assert_eq!(file.len(), 58 + 801 + 1);
    assert_eq!(&file[20..22], &7_u16.to_le_bytes());
    assert_eq!(&file[38..42], b"fact");
    assert_eq!(read(&file).unwrap().samples.len(), 801);
}

#[test]
fn the_quick_ways_to_write_pcm_write_the_same_file() {
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    let decoded = Audio { samples: mulaw::decode(&codes), sample_rate_hertz: 8_000 };
    let file = write_pcm16(&decoded);
    assert_eq!(write_mulaw_as_pcm16(&codes, 8_000), file);
    let cut = [&file[44..], &[7]].concat();
    assert_eq!(write_pcm16_bytes(&cut, 8_000), file, "half a sample is left out");
}

#[test]
fn sizes_that_say_nothing_mean_to_the_end_and_list_chunks_are_skipped() {
    let pcm = write_pcm16(&tone());
    let mut file = pcm[..36].to_vec();
    file[4..8].copy_from_slice(&[0xFF; 4]);
    file.extend_from_slice(b"LIST\x03\0\0\0abc\0data\xFF\xFF\xFF\xFF");
    file.extend_from_slice(&pcm[44..]);
    assert_eq!(read(&file).unwrap().samples.len(), 801);
}

#[test]
fn a_header_that_is_still_arriving_asks_for_more() {
    let file = write_mulaw(&[mulaw::SILENCE; 100]);
    for cut in 0..58 {
        assert_eq!(Header::parse(&file[..cut]).unwrap(), None, "cut at {cut}");
    }
    assert!(Header::parse(&file[..58]).unwrap().is_some());
}

#[test]
fn absurd_headers_are_refused() {
    let mut file = write_pcm16(&tone());
    file[22] = 0;
    assert!(matches!(read(&file), Err(AudioError::BrokenHeader(_))));
    assert!(matches!(read(b"<html>not audio</html>"), Err(AudioError::UnknownFormat(_))));
    assert!(matches!(read(&write_mulaw(&[])), Err(AudioError::Empty)));
}

/// A file of chunks behind its RIFF header.
fn file(chunks: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
    for (id, body) in chunks {
        file.extend_from_slice(id);
        file.extend_from_slice(&(body.len() as u32).to_le_bytes());
        file.extend_from_slice(body);
        file.resize(file.len() + (body.len() & 1), 0);
    }
    file
}

fn format(tag: u16, channels: u16, hertz: u32, block: u16, bits: u16) -> Vec<u8> {
    let mut body = [tag, channels].map(u16::to_le_bytes).concat();
    body.extend([hertz, hertz.wrapping_mul(u32::from(block))].map(u32::to_le_bytes).concat());
    body.extend([block, bits].map(u16::to_le_bytes).concat());
    body
}

#[test]
fn every_absurd_format_is_a_typed_error() {
    for (tag, channels, hertz, block, bits) in [
        (PCM, 0, 8_000, 0, 16),
        (PCM, 65_535, 8_000, 0xFFFE, 16),
        (PCM, 9, 8_000, 18, 16),
        (PCM, 1, 0, 2, 16),
        (PCM, 1, 4_000_000_000, 2, 16),
        (PCM, 1, 8_000, 4, 16),
        (PCM, 2, 8_000, 2, 16),
        (MULAW, 1, 8_000, 0, 8),
    ] {
        let read = read(&file(&[(b"fmt ", &format(tag, channels, hertz, block, bits)), (b"data", &[0; 64])]));
        assert!(matches!(read, Err(AudioError::BrokenHeader(_))), "{tag} {channels} {hertz} {block} {bits}");
    }
    for (tag, bits) in
        [(PCM, 0), (PCM, 12), (FLOAT, 16), (FLOAT, 64), (MULAW, 16), (0x11, 4), (EXTENSIBLE, 16)]
    {
        let read = read(&file(&[(b"fmt ", &format(tag, 1, 8_000, bits / 8, bits)), (b"data", &[0; 64])]));
        assert!(matches!(read, Err(AudioError::UnknownFormat(_))), "{tag} {bits}");
    }
}

#[test]
fn the_tag_of_an_extensible_format_is_in_its_guid() {
    let mut body = format(EXTENSIBLE, 1, 16_000, 2, 16);
    body.extend_from_slice(&[
        22, 0, 16, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71,
    ]);
    let audio = read(&file(&[(b"fmt ", &body), (b"data", &[0; 64])])).unwrap();
    assert_eq!((audio.samples.len(), audio.sample_rate_hertz), (32, 16_000));
}

#[test]
fn chunks_of_odd_size_are_passed_over_with_their_padding_or_without() {
    let fmt = format(PCM, 1, 8_000, 2, 16);
    let inner = file(&[(b"fmt ", &fmt), (b"data", &[1; 10])]);
    let padded = file(&[(b"LIST", b"odd"), (b"fmt ", &fmt), (b"RIFF", &inner[8..]), (b"data", &[0; 64])]);
    assert_eq!(read(&padded).unwrap().samples, [0.0; 32]);
    let at = padded.windows(4).position(|window| window == b"odd\0").unwrap();
    let unpadded = [&padded[..at + 3], &padded[at + 4..]].concat();
    assert_eq!(read(&unpadded).unwrap().samples, [0.0; 32]);
}

#[test]
fn a_header_that_never_ends_is_refused_and_so_is_one_that_is_cut_off() {
    let endless = file(&[(&b"JUNK"[..], &[0; 1_000][..]); 100]);
    assert!(matches!(read(&endless), Err(AudioError::BrokenHeader(_))));
    let far = [&file(&[])[..], b"JUNK\xFF\xFF\xFF\xFF"].concat();
    assert!(matches!(read(&far), Err(AudioError::BrokenHeader(_))));
    for chunk in [&b"JUNK\0\x10\0\0"[..], b"fmt \x10\0\0\0\x01\0", b"fmt \x28\0\0\0\x01\0\x01\0"] {
        let cut = [&file(&[])[..], chunk].concat();
        assert!(matches!(read(&cut), Err(AudioError::CutOff(_))), "{chunk:?}");
    }
    let short = file(&[(b"fmt ", b"\x01\0\x01\0"), (b"data", &[0; 64])]);
    assert!(matches!(read(&short), Err(AudioError::BrokenHeader(_))));
    let early = file(&[(b"data", &[0; 64])]);
    assert!(matches!(read(&early), Err(AudioError::BrokenHeader(_))));
}

#[test]
fn floats_that_are_no_numbers_become_silence_and_loud_ones_full_scale() {
    let audio = Audio { samples: vec![f32::NAN, f32::INFINITY, -7.0, 0.5], sample_rate_hertz: 8_000 };
    assert_eq!(read(&write_float(&audio)).unwrap().samples, [0.0, 1.0, -1.0, 0.5]);
}

#[test]
fn ffmpeg_and_sox_read_what_is_written_here_without_a_word() {
    let samples = sine(440.0, 8_000, 0.1).split_off(1);
    let audio = Audio { samples, sample_rate_hertz: 8_000 };
    for (name, least, file) in [
        ("mu-law", 30.0, write_mulaw(&mulaw::encode(&audio.samples))),
        ("PCM", 80.0, write_pcm16(&audio)),
        ("float", 80.0, write_float(&audio)),
    ] {
        let theirs = floats(&ffmpeg(&file, &["-i", "pipe:0", "-f", "f32le", "pipe:1"]));
        assert_eq!(theirs.len(), 799, "{name}");
        assert!(snr_db(&read(&file).unwrap().samples, &theirs) > 80.0, "{name}");
        assert!(snr_db(&audio.samples, &theirs) > least, "{name}");
        let kept = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&kept, &file).unwrap();
        let path = kept.path().to_str().unwrap();
        let raw = ["-c", "exec sox -t wav \"$0\" -t f32 - 2>&1", path];
        assert_eq!(floats(&run("sh", &raw, &[])).len(), 799, "{name}");
    }
}

#[test]
fn ffmpeg_hears_in_every_mulaw_code_what_is_heard_here() {
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    let theirs = floats(&ffmpeg(&write_mulaw(&codes), &["-i", "pipe:0", "-f", "f32le", "pipe:1"]));
    assert_eq!(theirs, mulaw::decode(&codes));
    // And of every sample ffmpeg's encoder makes the same code, or the one beside it.
    let samples: Vec<f32> = (i16::MIN..=i16::MAX).map(|sample| f32::from(sample) / 32_768.0).collect();
    let pcm: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    let raw = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "pipe:0", "-f", "mulaw", "pipe:1"];
    let theirs = mulaw::decode(&ffmpeg(&pcm, &raw));
    let mut levels = mulaw::decode(&codes);
    levels.sort_by(f32::total_cmp);
    levels.dedup();
    let at = |level: f32| levels.partition_point(|other| *other < level);
    for ((sample, ours), theirs) in samples.iter().zip(mulaw::decode(&mulaw::encode(&samples))).zip(theirs) {
        assert!(at(ours).abs_diff(at(theirs)) <= 1, "{sample}: {ours} and {theirs}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_audio_or_a_typed_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let file = write_pcm16(&tone());
        for (at, byte) in bytes.iter_mut().enumerate().take(64) { if *byte < 200 { *byte = file[at]; } }
        let _ = read(&bytes);
    }
}
