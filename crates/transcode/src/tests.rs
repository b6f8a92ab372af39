use tokio::process::Command;
use voice_audio::TELEPHONE_HERTZ;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// Two seconds of chirp from 300 to 3,400 Hz, at a rate.
fn chirp(hertz: u32) -> Audio {
    let seconds = 2.0;
    let samples = (0..(f64::from(hertz) * seconds) as usize).map(|n| {
        let t = n as f64 / f64::from(hertz);
        let phase = std::f64::consts::TAU * (300.0 * t + (3_400.0 - 300.0) * t * t / (2.0 * seconds));
        0.5 * phase.sin() as f32
    });
    Audio { samples: samples.collect(), sample_rate_hertz: hertz }
}

/// A file as ffmpeg writes it.
async fn encoded(audio: &Audio, arguments: &[&str]) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let (wav, file) = (folder.path().join("in.wav"), folder.path().join("out"));
    std::fs::write(&wav, wav::write_pcm16(audio)).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(&wav).args(arguments).arg(&file);
    let status = command.status().await.expect("tests/setup.sh test installs ffmpeg");
    assert!(status.success(), "{arguments:?}");
    std::fs::read(file).unwrap().into()
}

fn snr_db(of: &[f32], beside: &[f32]) -> f64 {
    let energy = |samples: &[f32]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    let difference: Vec<f32> = of.iter().zip(beside).map(|(a, b)| a - b).collect();
    10.0 * (energy(of) / energy(&difference)).log10()
}

#[tokio::test]
async fn both_engines_give_the_same_sound() {
    let (native, ffmpeg) = (Transcoder::native(), Transcoder::new(Engine::Ffmpeg).await.unwrap());
    for hertz in [16_000, 22_050, 24_000, 44_100, 48_000] {
        let file = Bytes::from(wav::write_pcm16(&chirp(hertz)));
        let ours = native.transcode(file.clone(), TELEPHONE_HERTZ, LIMIT).await.unwrap();
        let theirs = ffmpeg.transcode(file, TELEPHONE_HERTZ, LIMIT).await.unwrap();
        assert!(ours.len().abs_diff(theirs.len()) <= 2, "{hertz}: {} and {}", ours.len(), theirs.len());
        let inner = 400..ours.len().min(theirs.len()) - 400;
        let snr = snr_db(&ours[inner.clone()], &theirs[inner]);
        assert!(snr > 40.0, "{hertz}: {snr} dB");
        let clip = ffmpeg.resample(chirp(hertz), TELEPHONE_HERTZ).await.unwrap();
        assert!(snr_db(&ours[400..15_000], &clip[400..15_000]) > 40.0, "{hertz}");
    }
}

#[tokio::test]
async fn what_is_not_known_here_goes_to_ffmpeg() {
    let native = Transcoder::native();
    let chirp = chirp(16_000);
    for arguments in [
        &["-c:a", "libopus", "-f", "ogg"][..],
        &["-c:a", "aac", "-f", "adts"],
        &["-f", "aiff"],
        &["-c:a", "flac", "-f", "ogg"],
        &["-c:a", "adpcm_ima_wav", "-f", "wav"],
        &["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"],
    ] {
        let file = encoded(&chirp, arguments).await;
        let audio = native.decode(file.clone(), LIMIT).await.unwrap();
        assert!(audio.duration().abs_diff(chirp.duration()) < Duration::from_millis(150), "{arguments:?}");
        let samples = native.transcode(file, TELEPHONE_HERTZ, LIMIT).await.unwrap();
        let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
        assert!((0.08..0.15).contains(&power), "{arguments:?}: {power}");
    }
}

#[tokio::test]
async fn a_memo_of_a_telephone_whose_index_comes_last_is_read() {
    // Longer than what ffmpeg looks ahead by.
    let mut long = chirp(48_000);
    long.samples = long.samples.repeat(10);
    let memo = encoded(&long, &["-c:a", "aac", "-f", "ipod"]).await;
    let audio = Transcoder::native().decode(memo, LIMIT).await.unwrap();
    assert!(audio.duration().abs_diff(long.duration()) < Duration::from_millis(150));
}

#[tokio::test]
async fn what_nobody_knows_is_a_typed_error_with_ffmpegs_reason() {
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n";
    let listing = b"ffconcat version 1.0\nfile /etc/hostname\n";
    for engine in [Engine::Native, Engine::Ffmpeg] {
        let transcoder = Transcoder::new(engine).await.unwrap();
        for junk in [&b"no audio at all"[..], playlist, listing] {
            let error = transcoder.decode(Bytes::copy_from_slice(junk), LIMIT).await.unwrap_err();
            assert!(matches!(error, TranscodeError::Ffmpeg(_)), "{error}");
        }
    }
    // What is known and broken is not tried again.
    let native = Transcoder::native();
    let error = native.decode(Bytes::from_static(b"fLaC\0\0\0\x22"), LIMIT).await.unwrap_err();
    assert!(matches!(error, TranscodeError::Audio(AudioError::CutOff(_))), "{error}");
}

#[tokio::test]
async fn what_is_too_long_is_refused_by_both() {
    let chirp = chirp(16_000);
    let opus = encoded(&chirp, &["-c:a", "libopus", "-f", "ogg"]).await;
    let wav = Bytes::from(wav::write_pcm16(&chirp));
    for (engine, file) in [(Engine::Native, &opus), (Engine::Native, &wav), (Engine::Ffmpeg, &wav)] {
        let transcoder = Transcoder::new(engine).await.unwrap();
        let error = transcoder.decode(file.clone(), Duration::from_millis(900)).await.unwrap_err();
        assert!(matches!(error, TranscodeError::Audio(AudioError::TooLong { .. })), "{error}");
    }
}
