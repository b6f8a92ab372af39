//! What `make bench-rpc` measures: what the relay adds to what a bare tonic server does, in the same run and with the same
//! clients, messages and histograms.

pub mod bare;
pub mod hop;
pub mod unary;
pub mod watching;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use prost_types::Timestamp;
use tests::{
    child::{Child, Spec},
    ports::free_port,
};
use tonic::transport::{Channel, Endpoint};

/// Connections that the streams of one measurement share, as those of several gateways would.
const CONNECTIONS: usize = 4;

/// Nothing that is waited for takes as long.
const LIMIT: Duration = Duration::from_mins(1);

/// One of the two that are compared.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where streams are held.
    pub address: String,
    /// Where its metrics are.
    pub metrics: String,
    /// For whom they are.
    pub token: &'static str,
    /// Its process.
    pub pid: u32,
}

/// The bare server in a process of its own.
#[derive(Debug)]
pub struct Floor {
    /// Bare tonic.
    pub side: Side,
    /// The same service behind the layers that every RPC of the mesh passes.
    pub guarded: String,
    _process: Child,
}

impl Floor {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let [bare, guarded] = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
        let (program, args) = (std::env::current_exe()?, ["bare".to_owned(), bare.clone(), guarded.clone()]);
        let spec = Spec { name: "bare", program: &program, args: &args, env: &[], folder, announces: true };
        let process = Child::start(spec).await?;
        let [address, guarded] = [bare, guarded].map(|address| format!("http://{address}"));
        let pid = process.pid().context("the bare server is gone")?;
        Ok(Self {
            side: Side { address, metrics: guarded.clone(), token: bare::TOKEN, pid },
            guarded,
            _process: process,
        })
    }
}

async fn channels(address: &str) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true).connect().await?);
    }
    Ok(channels)
}

/// By the clock that all processes of a machine share.
fn now() -> Timestamp {
    let now = jiff::Timestamp::now();
    Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() }
}

/// Seconds since then.
fn since(then: Timestamp) -> f64 {
    let now = now();
    (now.seconds - then.seconds) as f64 + f64::from(now.nanos - then.nanos) / 1e9
}
