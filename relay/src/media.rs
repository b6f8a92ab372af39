//! Which call an incoming stream of audio belongs to: calls that wait for theirs, and tokens that were used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::mpsc;
use voice_server::media_token::MediaToken;

use crate::{error::Error, leg::Leg};

/// Connections of one call that may be handed over before it takes them.
const LEGS: usize = 4;

/// Makes tokens, takes each once, and hands streams to the calls that they are for.
#[derive(Debug)]
pub(crate) struct MediaDesk {
    key: SecretString,
    /// Where this relay is reached by other services.
    relay_addr: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<String, mpsc::Sender<Leg>>,
    /// Tokens that were used, until they expire by themselves.
    used: HashMap<String, Timestamp>,
}

/// A call's place at the desk: where its audio arrives, for as long as this lives.
#[derive(Debug)]
pub(crate) struct MediaPlace {
    desk: Arc<MediaDesk>,
    call_id: String,
    legs: mpsc::Receiver<Leg>,
}

impl MediaDesk {
    /// A desk whose tokens this key signs.
    pub(crate) fn new(key: SecretString, relay_addr: String) -> Self {
        Self { key, relay_addr, inner: Mutex::default() }
    }

    /// Makes a token for a call.
    pub(crate) fn token(&self, call_id: &str, now: Timestamp) -> String {
        MediaToken::new(call_id, &self.relay_addr, now).sign(&self.key)
    }

    /// Takes a token; gives the call that it is for.
    pub(crate) fn redeem(&self, token: &str, now: Timestamp) -> Result<String, Error> {
        let read = MediaToken::verify(token, &self.key, now).map_err(|_| Error::MediaTokenRefused)?;
        let mut inner = self.inner();
        inner.used.retain(|_, expires_at| *expires_at > now);
        if inner.used.insert(token.to_owned(), read.expires_at).is_some() {
            return Err(Error::MediaTokenRefused);
        }
        Ok(read.call_id)
    }

    /// Makes a place for a call.
    pub(crate) fn place(self: &Arc<Self>, call_id: &str) -> MediaPlace {
        let (sender, legs) = mpsc::channel(LEGS);
        self.inner().waiting.insert(call_id.to_owned(), sender);
        MediaPlace { desk: self.clone(), call_id: call_id.to_owned(), legs }
    }

    /// Hands a stream to its call; gives it back if no such call waits here.
    pub(crate) fn hand_over(&self, call_id: &str, leg: Leg) -> Result<(), Leg> {
        match self.inner().waiting.get(call_id) {
            Some(place) => place.try_send(leg).map_err(|error| match error {
                mpsc::error::TrySendError::Full(leg) | mpsc::error::TrySendError::Closed(leg) => leg,
            }),
            None => Err(leg),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MediaPlace {
    /// The next stream for this call.
    pub(crate) async fn next(&mut self) -> Option<Leg> {
        self.legs.recv().await
    }

    /// A token for the next stream.
    pub(crate) fn token(&self, now: Timestamp) -> String {
        self.desk.token(&self.call_id, now)
    }
}

impl Drop for MediaPlace {
    fn drop(&mut self) {
        self.desk.inner().waiting.remove(&self.call_id);
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;
    use crate::{leg::outbox, sound::AudioFormat};

    fn leg() -> Leg {
        let events = futures::stream::pending().boxed();
        Leg { format: AudioFormat::Mulaw, answers_marks: false, events, outbox: outbox().0 }
    }

    #[test]
    fn a_token_is_good_once_and_each_call_gets_its_own_streams() {
        let desk = Arc::new(MediaDesk::new("a key that is long".into(), "http://127.0.0.1:1".into()));
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let mut place = desk.place("a");
        let token = place.token(now);
        assert_eq!(desk.redeem(&token, now).unwrap(), "a");
        assert!(matches!(desk.redeem(&token, now), Err(Error::MediaTokenRefused)));
        let late = now + voice_server::media_token::LIFETIME;
        assert!(matches!(desk.redeem(&desk.token("a", now), late), Err(Error::MediaTokenRefused)));
        assert!(desk.hand_over("b", leg()).is_err());
        assert!(desk.hand_over("a", leg()).is_ok());
        assert!(place.legs.try_recv().is_ok());
        drop(place);
        assert!(desk.hand_over("a", leg()).is_err(), "a call that is over waits for nothing");
    }
}
