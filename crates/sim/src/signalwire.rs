//! `SignalWire` RELAY, with a telephone behind it.
//!
//! The flat RELAY dialect on a WebSocket (versions 2 and 3), a caller with a mouth and an ear, recordings over HTTP,
//! and a control API for tests. On readiness one line of JSON goes to stdout:
//! `{"relay_url", "relay_tls_url", "http_url"}`.
//!
//! | control route | what it does |
//! |---|---|
//! | `POST /sim/calls` `{"from","to","context"}` | a caller rings → `{"call_id"}`; with `voice_url` instead of `context` cXML documents conduct the call |
//! | `POST /sim/calls/{id}/say?text=` body: WAV or MP3 | the caller says it, after what is queued → `{"duration_ms"}` |
//! | `POST /sim/calls/{id}/digits` `{"digits"}` | the caller presses keys |
//! | `POST /sim/calls/{id}/hangup` | the caller hangs up |
//! | `POST /sim/calls/{id}/drop_streams` | its media sockets are gone, without a close frame |
//! | `GET /sim/calls`, `GET /sim/calls/{id}` | state, commands, playbacks, caller's speech, recordings, violations |
//! | `GET /sim/calls/{id}/heard.wav?format=mulaw\|pcm` | what the caller heard since the answer, in true time |
//! | `GET /sim/calls/{id}/line.wav` | both sides, mixed |
//! | `GET /sim/calls/{id}/silences?from_ms=&to_ms=` | `{"longest_ms","gaps":[{"from_ms","to_ms"}]}` in what he heard |
//! | `GET /sim/events?after=&follow=` | everything that happened, as NDJSON with gapless `n` and `at_ms` |
//! | `GET /sim/stats` | `{"violations","open_sockets","calls_live","unacked","now_ms"}` |
//! | `GET`, `PUT /sim/faults` | `{"rules":[{"when","then","skip"?,"times"?}],"recordings"?,"connect_fails"?,"streams"?}` |
//! | `GET`, `PUT /sim/telephones` | `{"+1555…":{"does","after_ms","says_ms","beep"}}`: who is called, and what comes of it |
//! | `GET`, `PUT /sim/switches` | readings of unresolved behaviour; a `PUT` may name only some |
//! | `POST /sim/drop` | every socket is gone, without a close frame |
//! | `POST /sim/disconnect` `{"restart"}` | `signalwire.disconnect` to everybody; with `restart` sessions are forgotten |
//! | `POST /sim/inject` `{"text"}` | this text frame to everybody |
//!
//! A rule's `when` is `{"method"}` or `{"event","state"?}`; `then` is `{"do": …}` with `drop`, `lose`, `delay` (`ms`),
//! `refuse` (`code`: a number is a JSON-RPC error, a string a result code), `duplicate` or `reorder`. A collect's
//! states are `start_of_input`, `partial`, `final` and `error`. `recordings` is `{"kind": …}` with `missing`, `late`
//! (`ms`), `empty`, `not_audio`, `too_large` (`bytes`), `redirect` (`url`), `status` (`status`) or `slow`
//! (`ms_per_kilobyte`). `streams` is what the way to and from media sockets does: `jitter_ms`, `lose_percent`,
//! `double_percent`, `late_percent` with `late_ms`, `reader_stalls` and `open_fails` (a reason).
//!
//! A telephone `does` `answer` (the default), `busy`, `no_answer` or `fail`, `after_ms` of ringing (300). Whoever answers
//! speaks for `says_ms`, and a machine has a `beep` then: `calling.detect` judges by what it hears. What a client dials
//! is a call like any other: its callee talks, presses keys and hangs up by the routes above.
//!
//! All `_ms` moments are on one monotonic clock that starts with the process. `--speed` above 1 scales the caller's
//! audio alone: he speaks faster than life, and what listens to him (recordings, collects) counts his time.
//!
//! Media streams are opened as the platform opens them, over `ws://` to this machine too: `calling.connect` to a `stream`
//! device, `calling.stream`, `calling.tap` to a WebSocket, and `<Connect><Stream>` or `<Start><Stream>` of a document.
//! Frames go out in real time; what comes back waits in a play-out buffer that `clear` empties, and a call's `streams` tell
//! its marks, clears, underruns (sound that came too late within a clause, which ends with a mark) and how far
//! ahead of its moment sound came. Webhooks are forms signed with `--signing-key`. `stream_dialect` chooses whose messages are spoken.
//!
//! Not simulated: several devices of one dial, RTP taps, detection of faxes and digits, stereo and MP3 recordings, sound
//! between two telephones.

mod call;
mod clock;
mod control;
mod documents;
mod faults;
mod hub;
mod journal;
mod line;
mod media;
mod params;
mod platform;
mod recordings;
mod requests;
mod socket;
mod streams;
mod switches;
mod telephones;
mod wire;

use std::{io::Write as _, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use self::platform::{Platform, Setup};
pub use self::switches::{Dialect, StreamEvents, Switches};
use crate::tls;

/// Time for tasks to end after the last listener has.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How the pretend `SignalWire` is started.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address of the RELAY WebSocket, without TLS.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub relay: SocketAddr,
    /// Address of the RELAY WebSocket with TLS; only used with a certificate.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub relay_tls: SocketAddr,
    /// Address of recordings and control.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// Project that clients must name.
    #[arg(long, default_value = "sim-project")]
    pub project: String,
    /// Token that clients must know.
    #[arg(long, default_value = "sim-token")]
    pub token: String,
    /// Key that webhooks are signed with.
    #[arg(long, default_value = "sim-signing-key")]
    pub signing_key: String,
    /// Certificate in PEM.
    #[arg(long, requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub tls_cert: Option<PathBuf>,
    /// Its key in PEM.
    #[arg(long, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Folder to write `cert.pem` of a fresh certificate for 127.0.0.1 to.
    #[arg(long)]
    pub tls_self_signed: Option<PathBuf>,
    /// How many times faster than life the caller speaks.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub speed: u32,
    /// Readings of unresolved behaviour.
    #[command(flatten)]
    pub switches: Switches,
}

/// Where a simulator is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// RELAY over plain WebSocket.
    pub relay_url: String,
    /// RELAY over TLS.
    pub relay_tls_url: Option<String>,
    /// Recordings and control.
    pub http_url: String,
}

/// A simulator that runs until it is stopped.
#[derive(Debug)]
pub struct Simulator {
    addresses: Addresses,
    platform: Arc<Platform>,
}

/// Serves until the process is told to end.
///
/// # Errors
/// When an address is taken or a certificate is no good.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let simulator = Simulator::start(args).await?;
    let line = serde_json::to_string(simulator.addresses())?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("cannot say that it is ready")?;
    tokio::signal::ctrl_c().await.context("cannot wait for the end")?;
    simulator.stop().await;
    Ok(())
}

impl Simulator {
    /// Starts listening.
    ///
    /// # Errors
    /// When an address is taken or a certificate is no good.
    pub async fn start(args: Args) -> anyhow::Result<Self> {
        let tls = acceptor(&args)?;
        let http = bind(args.http).await?;
        let relay = bind(args.relay).await?;
        let relay_tls = match tls {
            Some(acceptor) => Some((bind(args.relay_tls).await?, acceptor)),
            None => None,
        };
        let http_url = format!("http://{}", http.local_addr()?);
        let addresses = Addresses {
            relay_url: format!("ws://{}", relay.local_addr()?),
            relay_tls_url: match &relay_tls {
                Some((listener, _)) => Some(format!("wss://{}", listener.local_addr()?)),
                None => None,
            },
            http_url: http_url.clone(),
        };
        let platform = Platform::build(Setup {
            project: args.project,
            token: args.token,
            signing_key: args.signing_key,
            recordings_url: format!("{http_url}/recordings"),
            speed: args.speed,
            switches: args.switches,
        })?;
        platform.tasks.spawn(accept(Arc::clone(&platform), relay, None));
        if let Some((listener, acceptor)) = relay_tls {
            platform.tasks.spawn(accept(Arc::clone(&platform), listener, Some(acceptor)));
        }
        platform.tasks.spawn(serve_http(Arc::clone(&platform), http));
        Ok(Self { addresses, platform })
    }

    /// Where it is reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.platform.stop.cancel();
        self.platform.tasks.close();
        if timeout(STOP_TIMEOUT, self.platform.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }
}

fn acceptor(args: &Args) -> anyhow::Result<Option<TlsAcceptor>> {
    match (&args.tls_cert, &args.tls_key, &args.tls_self_signed) {
        (Some(cert), Some(key), _) => tls::from_files(cert, key, &[]).map(Some),
        (_, _, Some(folder)) => tls::self_signed(folder, &[]).map(Some),
        _ => Ok(None),
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

async fn serve_http(platform: Arc<Platform>, listener: TcpListener) {
    let router = control::router(Arc::clone(&platform));
    let stop = platform.stop.clone();
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "recordings and control are gone");
    }
}

async fn accept(platform: Arc<Platform>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            () = platform.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                platform.tasks.spawn(connection(Arc::clone(&platform), stream, tls.clone()));
            }
            // Out of descriptors, or the peer is gone already: the next one may fare better.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(platform: Arc<Platform>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Without this, small frames wait for each other; if it cannot be had, they do.
    let _ = stream.set_nodelay(true);
    match tls {
        None => socket::serve(platform, stream).await,
        Some(acceptor) => {
            if let Some(stream) = tls::handshake(&acceptor, stream).await {
                socket::serve(platform, stream).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
