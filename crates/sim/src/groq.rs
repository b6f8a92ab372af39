//! Groq's STT, LLM and TTS.

/// Where the pretend Groq listens.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address of the HTTP server.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub http: std::net::SocketAddr,
}

/// Serves until the process is told to end.
///
/// # Errors
/// Always: the Groq half is not part of this build.
#[expect(clippy::unused_async, reason = "the signature that the program calls")]
pub async fn run(args: Args) -> anyhow::Result<()> {
    anyhow::bail!("no Groq on {}: this build has SignalWire only", args.http)
}
