//! TLS on the gateway's own listener, by file, for those who have no proxy before it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::serve::Listener;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use secrecy::ExposeSecret as _;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use voice_server::PemIdentity;

/// Connections that may wait to be served.
const WAITING: usize = 64;

/// Handshakes at once; whoever comes then waits.
const MOST_HANDSHAKES: usize = 256;

/// A client that has not finished its handshake by then is none.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is shown to whoever connects.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// Gives connections whose handshake is done.
#[derive(Debug)]
pub(crate) struct TlsListener {
    done: mpsc::Receiver<Connection>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

/// Reads certificates and key.
///
/// # Errors
/// When they are none, or do not fit together.
pub(crate) fn acceptor((certificate, key): &PemIdentity) -> anyhow::Result<Acceptor> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).context("the key")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.context("the certificate")?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl TlsListener {
    /// Takes what `listener` accepts; one slow handshake delays no other.
    pub(crate) fn new<L>(mut listener: L, Acceptor(acceptor): Acceptor) -> io::Result<Self>
    where
        L: Listener<Io = TcpStream, Addr = SocketAddr>,
    {
        let address = listener.local_addr()?;
        let (sender, done) = mpsc::channel(WAITING);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut handshakes = JoinSet::new();
            loop {
                tokio::select! {
                    (socket, peer) = listener.accept(), if handshakes.len() < MOST_HANDSHAKES => {
                        handshakes.spawn(shake_hands(acceptor.clone(), socket, peer, sender.clone()));
                    }
                    Some(_) = handshakes.join_next() => {}
                }
            }
        });
        Ok(Self { done, address, _accepting: accepting })
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    peer: SocketAddr,
    done: mpsc::Sender<Connection>,
) {
    match timeout(HANDSHAKE, acceptor.accept(socket)).await {
        // A server that is gone takes none.
        Ok(Ok(connection)) => drop(done.send((connection, peer)).await),
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        match self.done.recv().await {
            Some(connection) => connection,
            // The task that accepts ends with this alone.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
