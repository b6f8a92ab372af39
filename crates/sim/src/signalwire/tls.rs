//! The certificate of the second listener: SDKs that speak only wss need one.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

/// Reads a certificate and its key.
///
/// # Errors
/// When a file is missing or is no PEM, or the two do not fit together.
pub(crate) fn from_files(cert: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .with_context(|| format!("cannot read {}", cert.display()))?
        .collect();
    let chain = chain.with_context(|| format!("{} is no PEM certificate", cert.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("{} is no PEM key", key.display()))?;
    acceptor(chain, key)
}

/// Makes a certificate for 127.0.0.1 and writes it to `cert.pem` in `folder`, for clients to trust.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn self_signed(folder: &Path) -> anyhow::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("cert.pem");
    std::fs::write(&path, made.cert.pem()).with_context(|| format!("cannot write {}", path.display()))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    acceptor(vec![made.cert.der().clone()], key)
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
