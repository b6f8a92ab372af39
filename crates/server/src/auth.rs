//! Who may call: bearer tokens, `API_TOKENS` for outsiders and `MESH_TOKEN` between services, and what each may do.
//! Tokens are kept and compared as hashes, in constant time.

mod pace;

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use self::pace::Pace;
use crate::{
    config::Env,
    methods::Scope,
    status::{Reason, ServiceError, reason},
};

/// Requests that one token may make a minute, unless told otherwise.
const REQUESTS_PER_MINUTE: u64 = 6_000;

/// The name of the caller for whom another service asks. It is believed of services alone.
pub const ON_BEHALF_OF: &str = "voice-on-behalf-of";

/// The tokens that a server accepts. Without any, everybody may do everything: a server then binds to loopback only.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    accepted: Arc<[Accepted]>,
}

#[derive(Debug)]
struct Accepted {
    hash: [u8; 32],
    caller: Caller,
}

/// Who has sent a request.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Identity>);

#[derive(Debug)]
struct Identity {
    name: String,
    scopes: Vec<Scope>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Where no token is needed.
    Anybody,
    /// Another service.
    Service,
    /// Whoever has one of `API_TOKENS`.
    Outsider(Pace),
    /// The same, let in by another service, which has counted the request.
    ThroughService,
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no `authorization: Bearer …`.
    #[error("a token is needed: send `authorization: Bearer <token>`, one of API_TOKENS")]
    Missing,
    /// The token is not known.
    #[error("the token is not one of API_TOKENS")]
    Unknown,
    /// The token is for other things.
    #[error("the token has not the scope {}: give it to the token in API_TOKENS, or use another", .0.name())]
    NotAllowed(Scope),
    /// The token has made too many requests.
    #[error("the token has made as many requests as TOKEN_REQUESTS_PER_MINUTE allows")]
    TooMany {
        /// Until the next one.
        wait: Duration,
    },
}

impl ServiceError for Refusal {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => reason::TOKEN_MISSING,
            Self::Unknown => reason::TOKEN_UNKNOWN,
            Self::NotAllowed(_) => reason::SCOPE_MISSING,
            Self::TooMany { .. } => reason::REQUESTS_AT_LIMIT,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { wait } => Some(*wait),
            Self::Missing | Self::Unknown | Self::NotAllowed(_) => None,
        }
    }
}

impl Caller {
    /// Anybody, where no token is needed.
    pub(crate) fn anybody() -> Self {
        static ANYBODY: LazyLock<Caller> = LazyLock::new(|| {
            let name = "anybody".to_owned();
            Caller(Arc::new(Identity { name, scopes: Scope::ALL.to_vec(), kind: Kind::Anybody }))
        });
        ANYBODY.clone()
    }

    /// Tells callers apart in logs and counts, without telling their tokens.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether limits on what one token may have at a time concern it: neither another service nor, where no token is
    /// needed, anybody.
    pub fn is_limited(&self) -> bool {
        match self.0.kind {
            Kind::Outsider(_) | Kind::ThroughService => true,
            Kind::Anybody | Kind::Service => false,
        }
    }

    /// Tells another service for whom it is asked, where limits concern him.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if self.is_limited() {
            let name =
                HeaderValue::from_str(&self.0.name).expect("a name came from a header or is of hex digits");
            headers.insert(ON_BEHALF_OF, name);
        }
    }

    /// Whoever a service asks for; anybody else asks for himself, whatever he says.
    pub(crate) fn or_whom_it_asks_for(self, name: Option<&str>) -> Self {
        match (&self.0.kind, name) {
            (Kind::Service, Some(name)) => {
                let scopes = self.0.scopes.clone();
                Self(Arc::new(Identity { name: name.to_owned(), scopes, kind: Kind::ThroughService }))
            }
            (Kind::Service | Kind::Anybody | Kind::Outsider(_) | Kind::ThroughService, _) => self,
        }
    }
}

impl Tokens {
    /// Reads `API_TOKENS` and `TOKEN_REQUESTS_PER_MINUTE`; other services show `mesh_token`.
    pub(crate) fn from_env(env: &mut Env, mesh_token: Option<&SecretString>) -> Self {
        let mut told = Vec::new();
        for (n, item) in env.list("API_TOKENS").iter().enumerate() {
            match parse(item) {
                Ok(token) => told.push(token),
                // The item itself is a secret.
                Err(problem) => env.problem("API_TOKENS", format!("item {}: {problem}", n + 1)),
            }
        }
        let requests = env.number_or("TOKEN_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE, 1..=10_000_000);
        Self::new(told, mesh_token, requests)
    }

    /// Accepts these tokens with these scopes, each for so many requests a minute, and without any limit `mesh_token`.
    pub fn new(
        tokens: impl IntoIterator<Item = (SecretString, Vec<Scope>)>,
        mesh_token: Option<&SecretString>,
        requests_per_minute: u64,
    ) -> Self {
        let outsiders = tokens.into_iter().map(|(token, scopes)| {
            let hash = hash(&token);
            // A part of the hash tells tokens apart and gives none away.
            let name = hash[..4].iter().fold(String::new(), |mut name, byte| {
                write!(name, "{byte:02x}").expect("a string takes everything");
                name
            });
            let kind = Kind::Outsider(Pace::new(requests_per_minute));
            Accepted { hash, caller: Caller(Arc::new(Identity { name, scopes, kind })) }
        });
        let mesh = mesh_token.map(|token| {
            let identity =
                Identity { name: "mesh".to_owned(), scopes: Scope::ALL.to_vec(), kind: Kind::Service };
            Accepted { hash: hash(token), caller: Caller(Arc::new(identity)) }
        });
        Self { accepted: outsiders.chain(mesh).collect() }
    }

    /// Whether callers must show a token at all.
    pub fn are_required(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// Lets a request in: by the value of its `authorization` header, and by what it is for. `None` stands for what
    /// any token may do.
    ///
    /// # Errors
    /// When a token is required and is missing or unknown, is for other things, or is used too often.
    pub fn admit(&self, authorization: Option<&str>, scope: Option<Scope>) -> Result<Caller, Refusal> {
        let caller = self.caller(authorization)?;
        if let Some(scope) = scope.filter(|scope| !caller.0.scopes.contains(scope)) {
            return Err(Refusal::NotAllowed(scope));
        }
        if let Kind::Outsider(pace) = &caller.0.kind {
            pace.take(Instant::now()).map_err(|wait| Refusal::TooMany { wait })?;
        }
        Ok(caller)
    }

    /// The same for something that nobody has a scope for: only a token for everything will do.
    pub(crate) fn admit_to_anything(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        let caller = self.admit(authorization, None)?;
        let missing = Scope::ALL.iter().find(|scope| !caller.0.scopes.contains(scope));
        missing.map_or(Ok(caller.clone()), |scope| Err(Refusal::NotAllowed(*scope)))
    }

    fn caller(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        if !self.are_required() {
            return Ok(Caller::anybody());
        }
        let header = authorization.ok_or(Refusal::Missing)?;
        let (scheme, token) = header.split_once(' ').ok_or(Refusal::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Missing);
        }
        let shown = Sha256::digest(token.trim().as_bytes());
        // Every token is compared, so that the time taken tells nothing of which one nearly matched.
        let mut known = None;
        for accepted in self.accepted.iter() {
            if bool::from(accepted.hash.ct_eq(&shown)) {
                known = Some(&accepted.caller);
            }
        }
        known.cloned().ok_or(Refusal::Unknown)
    }
}

fn hash(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

/// Reads `token` or `token=scope+scope`. A token may have `=` in it, also at its end, as base64 has.
fn parse(item: &str) -> Result<(SecretString, Vec<Scope>), String> {
    let (token, scopes) = match item.rsplit_once('=') {
        Some((token, scopes)) if !scopes.is_empty() => (token, scopes),
        Some(_) | None => return Ok((item.to_owned().into(), Scope::ALL.to_vec())),
    };
    let names = scopes.split('+').map(|name| {
        Scope::ALL.into_iter().find(|scope| scope.name() == name).ok_or_else(|| {
            let all = Scope::ALL.map(Scope::name).join(", ");
            format!("what follows the last = is not scopes joined by +, of which there are {all}")
        })
    });
    let scopes = names.collect::<Result<Vec<_>, _>>()?;
    if token.is_empty() {
        return Err("there is no token before the =".to_owned());
    }
    Ok((token.to_owned().into(), scopes))
}

#[cfg(test)]
mod tests;
