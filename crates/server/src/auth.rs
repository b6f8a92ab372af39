//! Bearer tokens: `API_TOKENS` for outsiders, `MESH_TOKEN` between services. Compared in constant time.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// The tokens that a server accepts. Without any, everybody may call: a server then binds to loopback only.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    accepted: Arc<[SecretString]>,
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
}

impl Tokens {
    /// Accepts these tokens.
    pub fn new(accepted: impl IntoIterator<Item = SecretString>) -> Self {
        Self { accepted: accepted.into_iter().collect() }
    }

    /// Whether callers must show a token at all.
    pub fn are_required(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// Checks the value of an `authorization` header.
    ///
    /// # Errors
    /// When a token is required and is missing or unknown.
    pub fn check(&self, authorization: Option<&str>) -> Result<(), Refusal> {
        if !self.are_required() {
            return Ok(());
        }
        let header = authorization.ok_or(Refusal::Missing)?;
        let (scheme, token) = header.split_once(' ').ok_or(Refusal::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Missing);
        }
        let token = token.trim().as_bytes();
        // Every token is compared, so that the time taken tells nothing of which one nearly matched.
        let known = self.accepted.iter().fold(0_u8, |known, accepted| {
            known | accepted.expose_secret().as_bytes().ct_eq(token).unwrap_u8()
        });
        if known == 1 { Ok(()) } else { Err(Refusal::Unknown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_bearer_tokens_are_let_in() {
        let tokens = Tokens::new(["alpha".to_owned().into(), "beta".to_owned().into()]);
        assert_eq!(tokens.check(Some("Bearer beta")), Ok(()));
        assert_eq!(tokens.check(Some("bearer alpha")), Ok(()));
        assert_eq!(tokens.check(Some("Bearer alph")), Err(Refusal::Unknown));
        assert_eq!(tokens.check(Some("Basic alpha")), Err(Refusal::Missing));
        assert_eq!(tokens.check(None), Err(Refusal::Missing));
        assert_eq!(Tokens::default().check(None), Ok(()));
    }
}
