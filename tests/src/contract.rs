//! The contract as people read it: pages that would otherwise drift from the code and from the protos.

mod api;
mod errors;
mod methods;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}
