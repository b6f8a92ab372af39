//! Everything that has to happen in one step, as Lua; each says in its first lines what it takes and gives.

use deadpool_redis::redis::Script;

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

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |text: &str| Script::new(&format!("{PRELUDE}{text}"));
        Self {
            enqueue: script(include_str!("scripts/enqueue.lua")),
            claim: script(include_str!("scripts/claim.lua")),
            start: script(include_str!("scripts/start.lua")),
            emit: script(include_str!("scripts/emit.lua")),
            settle: script(include_str!("scripts/settle.lua")),
            tend: script(include_str!("scripts/tend.lua")),
            revoke: script(include_str!("scripts/revoke.lua")),
            requeue: script(include_str!("scripts/requeue.lua")),
        }
    }
}
