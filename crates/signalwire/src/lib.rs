//! A typed client of `SignalWire`'s Relay WebSocket (the flat dialect of `signalwire.*` and `calling.*` methods), for
//! the part of it that concerns calls.
//!
//! ```no_run
//! # async fn example() -> Result<(), voice_signalwire::Error> {
//! let config = voice_signalwire::Config::new("wss://relay.signalwire.com", "project", "token".to_owned().into(), vec!["office".into()]);
//! let (client, mut events, connection) = voice_signalwire::connect(config);
//! let mut tasks = tokio::task::JoinSet::new();
//! tasks.spawn(connection.run());
//! while let Some(event) = events.recv().await {
//!     if let voice_signalwire::Event::CallReceived(call) = event {
//!         client.answer(&call.leg).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Results are acknowledgements, events are the truth. Calls live on the server: they survive a lost connection, but
//! events that happen meanwhile are not replayed.

mod client;
mod connection;
mod error;
mod event;
mod frame;
pub mod recordings;

pub use client::{Answer, Client, Collect, Leg, Media, Record};
pub use connection::{Config, Connection, SessionState, connect};
pub use error::Error;
pub use event::{
    CallEvent, CallReceived, CallState, CollectEvent, ConnectState, DetectEvent, DialEvent, Event, Heard,
    NotReached, PlayState, RecordEvent, RecordState,
};
