//! Readings of the platform's behaviour that the reference marks as unresolved. The default of each is the harsher
//! one; a client must work under all.

use serde::{Deserialize, Serialize};

/// Which vendor's media stream messages are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `SignalWire`'s, version 0.2.0.
    #[default]
    Signalwire,
    /// Twilio's, version 1.0.0; mu-law only.
    Twilio,
}

/// Which events tell of a call that is connected to a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum StreamEvents {
    /// `calling.call.connect`, as for other devices.
    #[default]
    Connect,
    /// `calling.call.stream`, without a `control_id`.
    Stream,
    /// None at all.
    None,
}

/// How the platform behaves where nobody knows how the real one does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// A recording's `end_silence_timeout` also ends it before any speech.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub silence_ends_unspoken_recording: bool,
    /// Seconds without speech after which a collect ends as `no_input` although its timers are off; 0 = never.
    #[arg(long, default_value_t = 15.0)]
    pub collect_gives_up_seconds: f64,
    /// Events of the time without a socket are sent after a resume.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub replay_after_resume: bool,
    /// Running operations get their terminal events before `ended`.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub operations_end_before_call: bool,
    /// `initial_timeout: 0` means "off"; otherwise it means the default of the operation.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub zero_initial_timeout_is_off: bool,
    /// Milliseconds between a recording's `finished` and its file.
    #[arg(long, default_value_t = 60)]
    pub recording_delay_ms: u64,
    /// Recordings are given only with HTTP Basic `project:token`.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub recordings_need_auth: bool,
    /// Redirects on the way to a recording.
    #[arg(long, default_value_t = 0)]
    pub recording_redirects: u32,
    /// Whose media stream messages are spoken.
    #[arg(long, default_value = "signalwire")]
    pub stream_dialect: Dialect,
    /// What is told of a call that is connected to a stream.
    #[arg(long, default_value = "connect")]
    pub stream_connect_events: StreamEvents,
    /// A call ends with the socket that it is connected to.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub stream_end_hangs_up: bool,
    /// A call ends with the call that it is connected to; otherwise it is only told that they are apart.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub joined_calls_end_together: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            silence_ends_unspoken_recording: true,
            collect_gives_up_seconds: 15.0,
            replay_after_resume: false,
            operations_end_before_call: false,
            zero_initial_timeout_is_off: true,
            recording_delay_ms: 60,
            recordings_need_auth: false,
            recording_redirects: 0,
            stream_dialect: Dialect::Signalwire,
            stream_connect_events: StreamEvents::Connect,
            stream_end_hangs_up: false,
            joined_calls_end_together: false,
        }
    }
}
