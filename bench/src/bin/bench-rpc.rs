//! `make bench-rpc`: what the relay adds to bare tonic: to the way of a frame, to a unary call, to the telling of events. Given a
//! number, it holds those many conversations and shows what they cost.

use anyhow::Context as _;
use bench::{
    Report,
    rpc::{Floor, Side, bare, hop, unary, watching},
};
use tests::mesh::{Mesh, Options};

/// Conversations at once.
const STREAMS: u32 = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let streams = match &given[..] {
        [bare, address, guarded] if bare == "bare" => return bare::serve(address, guarded).await,
        [streams] => Some(streams.parse()?),
        _ => None,
    };
    let folder = tempfile::tempdir()?;
    let floor = Floor::start(folder.path()).await?;
    let mut mesh = mesh(folder.path()).await?;
    let pid = mesh.child("relay").pid().context("the relay is gone")?;
    let relay = Side { address: mesh.address("relay"), metrics: mesh.address("relay"), token: "", pid };
    let mut report = Report::default();
    if let Some(streams) = streams {
        return hop::measure(&relay, &floor.side, streams, &mut report).await;
    }
    unary::measure(&floor, &mut report).await?;
    watching::measure(&relay, &floor.side, &mut report).await?;
    let held = hop::measure(&relay, &floor.side, STREAMS, &mut report).await;
    // What was measured before is kept, whatever became of the last part.
    report.finish("rpc")?;
    held
}

/// A mesh whose calls stay silent for as long as their callers do.
async fn mesh(folder: &std::path::Path) -> anyhow::Result<Mesh> {
    let assistants = folder.join("assistants.toml");
    std::fs::write(&assistants, "[default]\ngreeting_text = 'Hello.'\nno_input_seconds = 3600\n")?;
    let groq_args = ["--stt", "canned=yes", "--tts", "canned"].map(str::to_owned).to_vec();
    let options = Options { groq_args, ..Options::default() };
    // As with the floor: one thread each is all that can run on two cores.
    let options = options.with("TOKIO_WORKER_THREADS", 1).with("MAX_CALLS", 2_000);
    Mesh::start(options.with("ASSISTANTS_FILE", assistants.display())).await
}
