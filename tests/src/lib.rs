//! The whole mesh as separate processes, for tests, for the demo and for `make up`: the built binaries, the two
//! simulators and a Redis of its own, on free ports, dying with whoever started them.

pub mod child;
pub mod front;
pub mod groq;
pub mod leg;
pub mod mesh;
pub mod phone;
pub mod ports;
pub mod python_tools;
pub mod redis;
pub mod show;
pub mod speech;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod house;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod voices;
#[cfg(test)]
mod wire;
