//! What the mesh knows of every RPC beyond its types: who may call it, and whether it may be sent twice. A test
//! compares the table with the contracts, so that a new RPC cannot be forgotten here.

/// What a token may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// See calls: who calls, what is said.
    CallsRead,
    /// Place calls, speak into them, hand them over, end them.
    CallsControl,
    /// Have speech made, and have speech understood.
    Speech,
    /// Use the queue, and run turns as it does.
    Jobs,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::CallsRead, Self::CallsControl, Self::Speech, Self::Jobs];

    /// As `API_TOKENS` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallsRead => "calls:read",
            Self::CallsControl => "calls:control",
            Self::Speech => "speech",
            Self::Jobs => "jobs",
        }
    }
}

/// Whether a request may be sent again when no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Doing it twice is doing it once.
    Freely,
    /// Only when it certainly has not left this process.
    Unsent,
    /// What was sent is gone: it is a stream.
    Never,
}

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call it.
    pub scope: Scope,
    /// Whether it may be sent again.
    pub repeat: Repeat,
}

const fn method(path: &'static str, scope: Scope, repeat: Repeat) -> Method {
    Method { path, scope, repeat }
}

/// Every RPC that the mesh serves, besides health and reflection.
pub const METHODS: &[Method] = &[
    method("/voice.relay.v1.RelayService/PlaceCall", Scope::CallsControl, Repeat::Unsent),
    method("/voice.relay.v1.RelayService/GetCall", Scope::CallsRead, Repeat::Freely),
    method("/voice.relay.v1.RelayService/ListCalls", Scope::CallsRead, Repeat::Freely),
    method("/voice.relay.v1.RelayService/WatchCall", Scope::CallsRead, Repeat::Freely),
    method("/voice.relay.v1.RelayService/Say", Scope::CallsControl, Repeat::Unsent),
    method("/voice.relay.v1.RelayService/Instruct", Scope::CallsControl, Repeat::Unsent),
    method("/voice.relay.v1.RelayService/SendDigits", Scope::CallsControl, Repeat::Unsent),
    method("/voice.relay.v1.RelayService/TransferCall", Scope::CallsControl, Repeat::Unsent),
    method("/voice.relay.v1.RelayService/EndCall", Scope::CallsControl, Repeat::Freely),
    method("/voice.relay.v1.RelayService/Converse", Scope::CallsControl, Repeat::Never),
    method("/voice.worker.v1.WorkerService/Transcribe", Scope::Speech, Repeat::Never),
    method("/voice.worker.v1.WorkerService/ProcessTurn", Scope::Jobs, Repeat::Never),
    method("/voice.worker.v1.WorkerService/CreateJob", Scope::Jobs, Repeat::Unsent),
    method("/voice.worker.v1.WorkerService/GetJob", Scope::Jobs, Repeat::Freely),
    method("/voice.worker.v1.WorkerService/WatchJob", Scope::Jobs, Repeat::Freely),
    method("/voice.worker.v1.WorkerService/CancelJob", Scope::Jobs, Repeat::Freely),
    method("/voice.worker.v1.WorkerService/GetQueueStats", Scope::Jobs, Repeat::Freely),
    method("/voice.worker.v1.WorkerService/ListDeadJobs", Scope::Jobs, Repeat::Freely),
    method("/voice.worker.v1.WorkerService/RequeueDeadJob", Scope::Jobs, Repeat::Unsent),
    method("/voice.tts.v1.TtsService/ListVoices", Scope::Speech, Repeat::Freely),
    method("/voice.tts.v1.TtsService/CreateClip", Scope::Speech, Repeat::Freely),
    method("/voice.tts.v1.TtsService/Synthesize", Scope::Speech, Repeat::Freely),
    method("/voice.tts.v1.TtsService/StreamingSynthesize", Scope::Speech, Repeat::Never),
];

/// What is known of an RPC.
pub fn find(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}
