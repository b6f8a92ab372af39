//! Recordings from `SignalWire`.

use bytes::Bytes;
use tokio::time::Instant;
use voice_signalwire::recordings::{RecordingError, Recordings as Store};

use crate::{
    error::TurnError,
    ports::{Recordings, Work},
};

impl Recordings for Store {
    fn fetch<'a>(&'a self, url: &'a str, deadline: Instant) -> Work<'a, Result<Bytes, TurnError>> {
        Box::pin(async move { Store::fetch(self, url, deadline).await.map_err(to_error) })
    }
}

fn to_error(error: RecordingError) -> TurnError {
    let reason = match error {
        RecordingError::BadUrl
        | RecordingError::HostNotAllowed(_)
        | RecordingError::PrivateAddress(_)
        | RecordingError::TooManyRedirects
        | RecordingError::Forbidden => "RECORDING_FORBIDDEN",
        RecordingError::Missing | RecordingError::Empty => "RECORDING_MISSING",
        RecordingError::TooLarge(_) => "RECORDING_TOO_LARGE",
        RecordingError::Timeout | RecordingError::Status(_) | RecordingError::Connection(_) => {
            "RECORDING_UNAVAILABLE"
        }
    };
    TurnError::fatal(reason, error.to_string())
}
