//! A typed client of Groq's STT, LLM and TTS, and of the many servers that speak the same OpenAI-like dialect.
//!
//! Each of the three services may live on a server of its own. Answers are read leniently (numbers may be strings,
//! `null` may stand for missing), failures strictly: every [`Error`] says whose [`Fault`] it is and whether the same
//! request may succeed later. Nothing is retried here, since only the caller knows how much time is left;
//! [`Error::retry_delay`] does the arithmetic. Everything ends: each request carries its own deadlines, and dropping a
//! stream cancels its request.
//!
//! ```no_run
//! use futures::StreamExt as _;
//! use voice_groq::{ChatDelta, ChatRequest, Groq, Connections, Message, Proxy, StreamDeadlines};
//!
//! # async fn example(key: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
//! let groq = Groq::new("https://api.groq.com", Some(key), Connections::new(Proxy::FromEnvironment)?)?;
//! let request = ChatRequest::new("openai/gpt-oss-20b", vec![Message::user("Are you open today?")]);
//! let mut reply = groq.chat_stream(&request, StreamDeadlines::seconds(3.0, 1.5)).await?;
//! while let Some(delta) = reply.next().await {
//!     if let ChatDelta::Content(piece) = delta? {
//!         print!("{piece}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod body;
mod chat;
mod client;
mod connections;
mod endpoint;
mod error;
mod lenient;
mod rate_limits;
mod speech;
mod transcription;

pub use chat::{ChatDelta, ChatRequest, ChatStream, Finish, Message, Reasoning, Role, Tool, ToolCall, Usage};
pub use client::{Groq, Service, StreamDeadlines};
pub use connections::{CONNECT_TIMEOUT, Connections, Proxy};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{Error, Fault, Refusal, Stage};
pub use rate_limits::{Allowance, RateLimits};
pub use speech::{ORPHEUS_MAX_INPUT_CHARS, SpeechRequest, SpeechStream};
pub use transcription::{Segment, Transcript, Transcription};
