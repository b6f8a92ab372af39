//! Everything that has to happen in one step, as Lua; each says in its first lines what it takes and gives. Names of
//! keys, times and limits are written before it from here, so that no command carries them.

use std::fmt::Write as _;

use deadpool_redis::redis::Script;

use crate::{
    claim::LEASE,
    keys::{self, Keys, STEPS},
    store::{MOST_DEAD, MOST_WAITING, PROGRESS_SECONDS, RESULT_SECONDS},
};

/// All of them, hashed once.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) enqueue: Script,
    pub(crate) claim: Script,
    pub(crate) start: Script,
    pub(crate) emit: Script,
    pub(crate) settle: Script,
    pub(crate) tend: Script,
    pub(crate) revoke: Script,
    pub(crate) requeue: Script,
}

const PRELUDE: &str = include_str!("scripts/prelude.lua");
const HANDS: &str = include_str!("scripts/hands.lua");

impl Scripts {
    pub(crate) fn new(own: &Keys) -> Self {
        let names = names(own);
        let script = |text: &str| Script::new(&format!("{names}{PRELUDE}{text}"));
        let handing = |text: &str| script(&format!("{HANDS}{text}"));
        Self {
            enqueue: handing(include_str!("scripts/enqueue.lua")),
            claim: handing(include_str!("scripts/claim.lua")),
            start: script(include_str!("scripts/start.lua")),
            emit: script(include_str!("scripts/emit.lua")),
            settle: script(include_str!("scripts/settle.lua")),
            tend: handing(include_str!("scripts/tend.lua")),
            revoke: script(include_str!("scripts/revoke.lua")),
            requeue: script(include_str!("scripts/requeue.lua")),
        }
    }
}

impl Scripts {
    /// Names and hashes.
    pub(crate) fn hashes(&self) -> Vec<(&'static str, String)> {
        let Self { enqueue, claim, start, emit, settle, tend, revoke, requeue } = self;
        let all = [
            ("enqueue", enqueue),
            ("claim", claim),
            ("start", start),
            ("emit", emit),
            ("settle", settle),
            ("tend", tend),
            ("revoke", revoke),
            ("requeue", requeue),
        ];
        all.map(|(name, script)| (name, script.get_hash().to_owned())).into()
    }
}

/// Names and numbers as Lua's locals.
fn names(own: &Keys) -> String {
    let mut text = String::new();
    let texts = [
        ("RESULT", keys::RESULT),
        ("PROGRESS", keys::PROGRESS),
        ("REVOKED", keys::REVOKED),
        ("KNOWN", keys::KNOWN),
        ("CALL", keys::CALL),
        ("HELD", keys::HELD),
        ("WORKER", keys::WORKER),
        ("INBOX", keys::INBOX),
        ("UNACKED", &own.unacked),
        ("UNACKED_INDEX", &own.unacked_index),
        ("LEASES", &own.leases),
        ("READY", &own.ready),
        ("CLAIMS", &own.claims),
        ("DEATHS", &own.deaths),
        ("SUSPECTS", &own.suspects),
        ("PARKED", &own.parked),
        ("DEAD", &own.dead),
    ];
    for (name, value) in texts {
        let _ = writeln!(text, "local {name} = {}", quoted(value));
    }
    let lists: Vec<String> = STEPS.map(|step| quoted(&own.list(step))).into();
    let _ = writeln!(text, "local LISTS = {{ {} }}", lists.join(", "));
    for (name, value) in [("RESULT_SECONDS", RESULT_SECONDS), ("PROGRESS_SECONDS", PROGRESS_SECONDS)] {
        let _ = writeln!(text, "local {name} = '{value}'");
    }
    let numbers = [
        ("LEASE_MILLIS", LEASE.as_millis() as u64),
        ("MOST_DEAD", MOST_DEAD),
        ("MOST_WAITING", MOST_WAITING),
    ];
    for (name, value) in numbers {
        let _ = writeln!(text, "local {name} = {value}");
    }
    text
}

/// A text of any bytes as Lua writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for byte in text.bytes() {
        let _ = write!(quoted, "\\{byte:03}");
    }
    quoted.push('\'');
    quoted
}
