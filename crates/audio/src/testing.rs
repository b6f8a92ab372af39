//! What the tests of this crate measure with, and the programs they measure against.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::LazyLock,
};

use crate::{Audio, wav};

/// Runs ffmpeg with `input` behind its standard input and what it writes in return.
pub(crate) fn ffmpeg(input: &[u8], arguments: &[&str]) -> Vec<u8> {
    run("ffmpeg", &[&["-v", "error", "-nostdin"], arguments].concat(), input)
}

/// Makes a file in which all that is known at the end is written into its header.
pub(crate) fn ffmpeg_file(input: &[u8], arguments: &[&str]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    ffmpeg(input, &[&["-y", "-i", "pipe:0"], arguments, &[path]].concat());
    std::fs::read(path).unwrap()
}

/// Samples of ffmpeg's floats.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Runs a program.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/setup.sh test installs it"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that has read enough closes its end.
        scope.spawn(move || drop(stdin.write_all(input)));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        output.stdout
    })
}

/// Real speech at 16 kHz.
pub(crate) fn speech() -> &'static Audio {
    static SPEECH: LazyLock<Audio> = LazyLock::new(|| {
        let text = "Six quick foxes jump over the lazy dog, seven times a day.";
        let file = tempfile::NamedTempFile::new().unwrap();
        run("flite", &["-voice", "rms", "-t", text, "-o", file.path().to_str().unwrap()], &[]);
        wav::read(&std::fs::read(file.path()).unwrap()).unwrap()
    });
    &SPEECH
}

/// A sine of amplitude 0.5.
pub(crate) fn tone(hertz: f64, rate: u32, seconds: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    (0..(f64::from(rate) * seconds) as usize).map(|n| 0.5 * (n as f64 * step).sin() as f32).collect()
}

/// The level of the middle of a signal, beside that of a tone.
pub(crate) fn level_db(samples: &[f32]) -> f64 {
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    10.0 * (energy(middle) / middle.len() as f64 / 0.125).log10()
}

/// How far the difference of two signals lies below them.
pub(crate) fn snr_db(of: &[f32], beside: &[f32]) -> f64 {
    let difference: Vec<f32> = of.iter().zip(beside).map(|(a, b)| a - b).collect();
    10.0 * (energy(of) / energy(&difference)).log10()
}

fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}
