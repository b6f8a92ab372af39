//! Ids within one call. Each counts up from 1.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// One exchange: what the caller said and what the assistant answered.
    TurnId
}
id! {
    /// One piece of speech to be made.
    ClipId
}
id! {
    /// One act of playing to the caller.
    PlaybackId
}
id! {
    /// One thing that the outside wants said.
    SayId
}
id! {
    /// One stretch of caller speech whose audio the line holds.
    UtteranceId
}
