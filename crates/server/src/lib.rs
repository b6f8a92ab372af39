//! What every server process of the mesh needs around its domain: configuration, telemetry, health, reflection,
//! authentication, deadlines, error details and draining. A service states only what is its own.

pub mod auth;
pub mod client;
pub mod config;
mod layers;
pub mod media_token;
mod memory;
pub mod methods;
pub mod runtime;
mod server;
pub mod shutdown;
pub mod status;
pub mod telemetry;
mod timeout;
mod tls;
pub mod trace;
mod unreadable;

pub use layers::Deadline;
pub use server::{Health, Server, ServerConfig, announce};
pub use tls::{PemIdentity, Tls, identity_from_env};
pub use unreadable::Unreadable;
