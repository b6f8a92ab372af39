//! What differs from assistant to assistant.

use std::time::Duration;

/// Limits and phrases of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the assistant says of its own accord.
    pub phrases: Phrases,
    /// From the end of an utterance to the first filler.
    pub filler_after: Duration,
    /// From the end of an utterance to giving the turn up with an apology.
    pub turn_budget: Duration,
    /// How long something that the language model asks for may take.
    pub tool_timeout: Duration,
    /// How long the caller may be silent before he is asked whether he is there.
    pub no_input_after: Duration,
    /// How often he is asked before the call is ended.
    pub no_input_prompts: u32,
    /// The longest utterance; it is ended here, not by the provider.
    pub max_utterance: Duration,
    /// The longest call.
    pub max_call: Duration,
    /// The most turns in a call.
    pub max_turns: u32,
    /// Whether there is somebody to transfer to when turn after turn fails.
    pub can_transfer: bool,
    /// What the assistant is told beyond its prompt, in order.
    pub instructions: Vec<String>,
    /// BCP 47 tag of the language that is spoken: whether words sound finished depends on it.
    pub language: String,
    /// How long a caller is silent who has finished, where the line leaves it to the call to tell.
    pub endpoint: Endpoint,
    /// Whether turns begin when an utterance is likely to be over, at the cost of requests that come to nothing.
    pub speculation: bool,
    /// Whether the line can begin to play in the middle of a clip.
    pub can_seek: bool,
}

/// How long a caller is silent who has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// After words that are not known to want more.
    pub silence: Duration,
    /// After words that want more: a number in dictation, "and", "my number is".
    pub long_silence: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            phrases: Phrases::default(),
            filler_after: Duration::from_secs(2),
            turn_budget: Duration::from_secs(8),
            tool_timeout: Duration::from_secs(8),
            no_input_after: Duration::from_secs(8),
            no_input_prompts: 2,
            max_utterance: Duration::from_mins(1),
            max_call: Duration::from_mins(30),
            max_turns: 200,
            can_transfer: false,
            instructions: Vec::new(),
            language: "en-US".into(),
            endpoint: Endpoint::default(),
            speculation: false,
            can_seek: false,
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { silence: Duration::from_millis(500), long_silence: Duration::from_millis(1_200) }
    }
}

/// What the assistant says of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrases {
    /// The first words. Empty when the operator's own recording is played instead.
    pub greeting: String,
    /// Bridges a wait; short, so that each is played to its end. Never the same twice running.
    pub fillers: Vec<String>,
    /// Says that a turn failed and invites to try again.
    pub apology: String,
    /// Asks a silent caller whether he is there.
    pub no_input: String,
    /// The last words.
    pub goodbye: String,
    /// Says that there is no room for the call.
    pub busy: String,
    /// Says that the call is being handed over, where the language model says nothing.
    pub transfer: String,
    /// Keeps a caller company while somebody is called whom he is to be handed to.
    pub hold: String,
    /// Says that nobody has taken the call over.
    pub transfer_failed: String,
}

impl Default for Phrases {
    fn default() -> Self {
        Self {
            greeting: "Hello, thanks for calling. How can I help you?".into(),
            fillers: crate::fillers("en"),
            apology: "Sorry, something went wrong on my side. Could you say that again?".into(),
            no_input: "Are you still there?".into(),
            goodbye: "Thank you for calling. Goodbye.".into(),
            busy: "All lines are busy right now. Please call again in a few minutes.".into(),
            transfer: "One moment, please. I am putting you through.".into(),
            hold: "Please hold the line.".into(),
            transfer_failed: "I am sorry, nobody can take your call right now. How else can I help you?"
                .into(),
        }
    }
}
