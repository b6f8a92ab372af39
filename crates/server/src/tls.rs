//! TLS by file: who a process says it is, and whom it believes.

use secrecy::{ExposeSecret as _, SecretString};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::config::Env;

/// Certificate chain and key, both in PEM.
pub type PemIdentity = (String, SecretString);

/// What a process needs for TLS; without any of it, it speaks plainly.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Shown to clients, and to other services that ask for one.
    identity: Option<PemIdentity>,
    /// Whose certificates clients must show.
    client_ca: Option<String>,
    /// Whose certificates the other services must show.
    mesh_ca: Option<String>,
}

impl Tls {
    /// Reads the files that `TLS_CERT_FILE`, `TLS_KEY_FILE`, `TLS_CLIENT_CA_FILE` and `MESH_CA_FILE` name.
    pub(crate) fn from_env(env: &mut Env) -> Self {
        let identity = identity_from_env(env, "TLS_CERT_FILE", "TLS_KEY_FILE");
        let client_ca = file(env, "TLS_CLIENT_CA_FILE");
        let mesh_ca = file(env, "MESH_CA_FILE");
        if client_ca.is_some() && identity.is_none() {
            env.problem(
                "TLS_CLIENT_CA_FILE, TLS_CERT_FILE",
                "clients show certificates over TLS only: set TLS_CERT_FILE and TLS_KEY_FILE too",
            );
        }
        Self { identity, client_ca, mesh_ca }
    }

    /// How to serve; `None` for plainly.
    pub(crate) fn server(&self) -> Option<ServerTlsConfig> {
        let config = ServerTlsConfig::new().identity(self.own()?);
        Some(match &self.client_ca {
            None => config,
            Some(ca) => config.client_ca_root(Certificate::from_pem(ca)),
        })
    }

    /// How to call a service of this name.
    pub(crate) fn client(&self, host: &str) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new().domain_name(host);
        if let Some(ca) = &self.mesh_ca {
            config = config.ca_certificate(Certificate::from_pem(ca));
        }
        match self.own() {
            None => config,
            Some(identity) => config.identity(identity),
        }
    }

    /// Whether the other services are called over TLS, where an address does not say.
    pub(crate) fn is_for_clients(&self) -> bool {
        self.mesh_ca.is_some()
    }

    /// Whether the process itself is called over TLS.
    pub fn is_for_servers(&self) -> bool {
        self.identity.is_some()
    }

    fn own(&self) -> Option<Identity> {
        let (certificate, key) = self.identity.as_ref()?;
        Some(Identity::from_pem(certificate, key.expose_secret()))
    }
}

/// Reads the files that two variables name: a certificate chain and its key.
pub fn identity_from_env(env: &mut Env, certificate: &str, key: &str) -> Option<PemIdentity> {
    let files = (file(env, certificate), file(env, key).map(SecretString::from));
    if files.0.is_some() != files.1.is_some() {
        env.problem(format!("{certificate}, {key}"), "are of use together only: set both");
    }
    files.0.zip(files.1)
}

fn file(env: &mut Env, name: &str) -> Option<String> {
    let path = env.optional(name)?;
    match std::fs::read_to_string(&path) {
        Ok(text) if text.contains("-----BEGIN ") => Some(text),
        Ok(_) => {
            env.problem(name, format!("{path} is not a PEM file"));
            None
        }
        Err(error) => {
            env.problem(name, format!("{path} cannot be read: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_files_that_are_none_are_told() {
        let folder = std::env::temp_dir();
        let junk = folder.join("voicemesh-not-pem");
        std::fs::write(&junk, "hello").unwrap();
        let path = junk.display().to_string();
        let mut env = Env::new(move |name| match name {
            "TLS_CERT_FILE" => Some("/nowhere/cert.pem".to_owned()),
            "TLS_CLIENT_CA_FILE" => Some(path.clone()),
            _ => None,
        });
        let tls = Tls::from_env(&mut env);
        assert!(tls.server().is_none() && !tls.is_for_clients());
        let text = env.finish(()).unwrap_err().to_string();
        for told in ["TLS_CERT_FILE: /nowhere/cert.pem cannot be read", "TLS_CLIENT_CA_FILE: "] {
            assert!(text.contains(told), "{told} is missing in:\n{text}");
        }
    }
}
