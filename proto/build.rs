//! Compiles the contracts with protox, so that no `protoc` has to be installed, and writes the descriptor
//! set that reflection serves.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 9] = [
    "voice/audio/v1/audio.proto",
    "voice/relay/v1/call.proto",
    "voice/relay/v1/relay_service.proto",
    "voice/tool/v1/tool_service.proto",
    "voice/tts/v1/tts_service.proto",
    "voice/worker/v1/job.proto",
    "voice/worker/v1/queue.proto",
    "voice/worker/v1/turn.proto",
    "voice/worker/v1/worker_service.proto",
];

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=voice");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out_dir.join("voice_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
