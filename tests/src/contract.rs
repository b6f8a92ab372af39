//! The contract as people read it: pages that would otherwise drift from the code and from the protos.

mod api;
mod errors;
mod grpcurl;
pub(crate) mod methods;
mod up;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Says loudly, past what the test runner swallows, that something could not be tried; where everything has to be
/// there, that is a failure.
pub(crate) fn skipped(why: &str) {
    let must_run = std::env::vars().any(|(name, _)| name == "EVERYTHING");
    assert!(!must_run, "{why}");
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {why}");
}
