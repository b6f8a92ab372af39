//! Calls that the provider brings by webhook: which call of which relay each leg of them belongs to.

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tonic::{Code, Request};
use voice_proto::relay::v1::{CallState, GetCallRequest};

use super::{Webhook, document};
use crate::{media::Media, problem::Problem};

/// Legs of one call: one that nobody can take would come back for ever.
const MOST_LEGS: usize = 5;
/// Time for a relay to say how a call is.
const ASK_WAIT: Duration = Duration::from_secs(2);
/// Longest id and number that is passed on.
const LONGEST: usize = 64;

/// Connects legs with relays.
#[derive(Debug)]
pub(crate) struct Legs {
    media: Arc<Media>,
    relays: Vec<String>,
    base_url: String,
}

/// A leg that comes back: what our own redirect says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Again {
    /// Legs before it.
    legs: usize,
    /// Its relay, by its place in the list.
    relay: usize,
}

impl Legs {
    pub(crate) fn new(media: Arc<Media>, relay_addrs: &str, base_url: &str) -> Self {
        let relays = relay_addrs.split(',').map(str::trim).filter(|addr| !addr.is_empty());
        Self { media, relays: relays.map(str::to_owned).collect(), base_url: base_url.to_owned() }
    }

    /// The document that says what a call is to do now.
    pub(crate) async fn answer(&self, webhook: &Webhook) -> Result<String, Problem> {
        let call_id = call_id(webhook.field("CallSid")?);
        let (from, to) = (webhook.field("From")?, webhook.field("To")?);
        let Some(again) = Again::of(webhook) else {
            return Ok(self.connect(&call_id, 1, self.first_relay(&call_id), (from, to)));
        };
        if again.legs >= MOST_LEGS {
            tracing::warn!("a call was brought too often and is given up");
            return Ok(document::hang_up());
        }
        let relay = match self.state_of(&call_id, again.relay).await {
            Known::Live => again.relay,
            Known::Over => return Ok(document::hang_up()),
            // Whoever had it is gone, or never took it.
            Known::Nothing => again.relay + 1,
        };
        Ok(self.connect(&call_id, again.legs + 1, relay, (from, to)))
    }

    fn connect(&self, call_id: &str, legs: usize, relay: usize, (from, to): (&str, &str)) -> String {
        let token = self.media.token(call_id, self.relay(relay));
        let base = &self.base_url;
        let socket = base.replacen("http", "ws", 1);
        let again =
            format!("{base}/webhooks/signalwire/voice?leg={legs}&relay={}", relay % self.relays.len().max(1));
        let parameters = [("from", short(from)), ("to", short(to))];
        let status = format!("{base}/webhooks/signalwire/stream");
        let stream = format!("{socket}/media/{token}");
        document::connect(&stream, &status, &parameters, &again)
    }

    async fn state_of(&self, call_id: &str, relay: usize) -> Known {
        let Ok(mut client) = self.media.relays.at(self.relay(relay)) else { return Known::Nothing };
        let mut request = Request::new(GetCallRequest { call_id: call_id.to_owned() });
        request.set_timeout(ASK_WAIT);
        match client.get_call(request).await {
            Ok(response) => match response.into_inner().call.map(|call| call.state()) {
                Some(CallState::Ringing | CallState::Active) => Known::Live,
                Some(CallState::Ending | CallState::Ended) => Known::Over,
                Some(CallState::Unspecified) | None => Known::Nothing,
            },
            Err(status) => {
                if status.code() != Code::NotFound {
                    tracing::warn!(%status, "a relay does not say how its call is");
                }
                Known::Nothing
            }
        }
    }

    /// Calls are spread over the relays by their ids, so that every gateway comes to the same.
    fn first_relay(&self, call_id: &str) -> usize {
        let digest = Sha256::digest(call_id);
        usize::from(u16::from_be_bytes([digest[0], digest[1]])) % self.relays.len().max(1)
    }

    fn relay(&self, place: usize) -> &str {
        &self.relays[place % self.relays.len()]
    }
}

/// How a call is.
enum Known {
    /// It goes on.
    Live,
    /// It is over.
    Over,
    /// Nobody knows.
    Nothing,
}

impl Again {
    fn of(webhook: &Webhook) -> Option<Self> {
        let number = |name: &str| webhook.query.get(name)?.parse().ok();
        Some(Self { legs: number("leg")?, relay: number("relay")? })
    }
}

/// The call's id here: the provider's, where it cannot be taken for one of a relay's own.
fn call_id(call_sid: &str) -> String {
    let kept = call_sid.chars().filter(|symbol| symbol.is_ascii_alphanumeric() || *symbol == '-');
    let kept: String = kept.take(LONGEST).collect();
    format!("cxml-{kept}")
}

fn short(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    &text[..end]
}
