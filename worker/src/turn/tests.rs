//! A turn with ports in memory.
