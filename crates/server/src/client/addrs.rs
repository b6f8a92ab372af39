//! Where instances are: a list, whose names are looked up again and again.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use http::Uri;

/// One item of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) addr: SocketAddr,
    /// What it is called by, and what its certificate is for.
    pub(super) host: String,
    pub(super) is_tls: bool,
}

/// A name server that does not answer by then is asked again later.
const LOOKUP: Duration = Duration::from_secs(2);

/// Reads `[scheme://]host:port[,…]`.
pub(super) fn parse(addrs: &str, is_tls_by_default: bool) -> anyhow::Result<Vec<Target>> {
    let items = addrs.split(',').map(str::trim).filter(|item| !item.is_empty());
    let targets = items.map(|item| target(item, is_tls_by_default)).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!targets.is_empty(), "no address is given");
    Ok(targets)
}

fn target(item: &str, is_tls_by_default: bool) -> anyhow::Result<Target> {
    let (is_tls, rest) = match item.split_once("://") {
        None => (is_tls_by_default, item),
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some((scheme, _)) => bail!("\"{item}\" begins with neither http nor https but {scheme}"),
    };
    let uri: Uri =
        rest.trim_end_matches('/').parse().with_context(|| format!("\"{item}\" is not an address"))?;
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
        bail!("\"{item}\" is not a host with a port, such as tts.internal:50053");
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Target { host, port, is_tls })
}

impl Target {
    /// Its one instance, if it names an address.
    pub(super) fn place(&self) -> Option<Place> {
        let addr = SocketAddr::new(self.host.parse().ok()?, self.port);
        Some(Place { addr, host: self.host.clone(), is_tls: self.is_tls })
    }

    /// Everything that its name stands for now; `None` if nobody can tell.
    pub(super) async fn look_up(&self) -> Option<BTreeSet<Place>> {
        if let Some(place) = self.place() {
            return Some(BTreeSet::from([place]));
        }
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        match tokio::time::timeout(LOOKUP, lookup).await {
            Ok(Ok(addrs)) => {
                Some(addrs.map(|addr| Place { addr, host: self.host.clone(), is_tls: self.is_tls }).collect())
            }
            Ok(Err(error)) => {
                tracing::warn!(name = %self.host, %error, "a name cannot be looked up");
                None
            }
            Err(_) => {
                tracing::warn!(name = %self.host, "a name was not looked up within {LOOKUP:?}");
                None
            }
        }
    }
}

impl Place {
    /// How to connect to it.
    pub(super) fn uri(&self) -> String {
        format!("{}://{}", self.scheme(), self.addr)
    }

    /// What it is called by.
    pub(super) fn origin(&self) -> String {
        if self.host.contains(':') {
            return self.uri();
        }
        format!("{}://{}:{}", self.scheme(), self.host, self.addr.port())
    }

    fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_and_addresses_are_read() {
        let told = parse("http://127.0.0.1:1, tts.internal:2,https://[::1]:3/", true).unwrap();
        let target = |host: &str, port, is_tls| Target { host: host.to_owned(), port, is_tls };
        assert_eq!(
            told,
            [target("127.0.0.1", 1, false), target("tts.internal", 2, true), target("::1", 3, true)]
        );
        assert_eq!(told[2].place().unwrap().origin(), "https://[::1]:3");
        for junk in ["", "ftp://x:1", "tts", "http://tts", "a b:1"] {
            assert!(parse(junk, false).is_err(), "{junk}");
        }
    }
}
