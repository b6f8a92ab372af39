//! The certificates of listeners that speak TLS, as the real providers do.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Reads a certificate and its key. Clients may choose among `protocols`, where there are any.
///
/// # Errors
/// When a file is missing or is no PEM, or the two do not fit together.
pub(crate) fn from_files(cert: &Path, key: &Path, protocols: &[&str]) -> anyhow::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .with_context(|| format!("cannot read {}", cert.display()))?
        .collect();
    let chain = chain.with_context(|| format!("{} is no PEM certificate", cert.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("{} is no PEM key", key.display()))?;
    acceptor(chain, key, protocols)
}

/// Makes a certificate for 127.0.0.1 and writes it to `cert.pem` in `folder`, for clients to trust.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn self_signed(folder: &Path, protocols: &[&str]) -> anyhow::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("cert.pem");
    std::fs::write(&path, made.cert.pem()).with_context(|| format!("cannot write {}", path.display()))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    acceptor(vec![made.cert.der().clone()], key, protocols)
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    protocols: &[&str],
) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Does one handshake; what fails is logged.
pub(crate) async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::warn!(%error, "a TLS handshake failed"),
        Err(_) => tracing::warn!("a TLS handshake took too long"),
    }
    None
}

/// Connections after their handshakes, none of which waits for another one.
pub(crate) struct Listener<L> {
    inner: L,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl<L> Listener<L> {
    /// Takes connections from `inner`.
    pub(crate) fn new(inner: L, acceptor: TlsAcceptor) -> Self {
        Self { inner, acceptor, handshakes: JoinSet::new() }
    }
}

impl<L: axum::serve::Listener<Io = TcpStream, Addr = SocketAddr>> axum::serve::Listener for Listener<L> {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            tokio::select! {
                (stream, address) = self.inner.accept() => {
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(async move { Some((handshake(&acceptor, stream).await?, address)) });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
