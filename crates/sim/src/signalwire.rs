//! SignalWire RELAY, with a telephone behind it.

/// Where the pretend SignalWire listens.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address of the RELAY WebSocket.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub relay: std::net::SocketAddr,
}

/// Serves until the process is told to end.
///
/// # Errors
/// Always: there is no protocol yet.
#[expect(clippy::unused_async, reason = "the signature that the program calls")]
pub async fn run(args: Args) -> anyhow::Result<()> {
    anyhow::bail!("no RELAY on {}: the protocol is not here yet", args.relay)
}
