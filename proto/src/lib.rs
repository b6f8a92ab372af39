//! The contracts of the mesh: messages, clients and servers generated from `proto/voice`, and the conversions
//! between wire types and the types of the pure crates.

/// Shared audio vocabulary.
pub mod audio {
    /// `voice.audio.v1`.
    pub mod v1 {
        tonic::include_proto!("voice.audio.v1");
    }
}

/// Live calls.
pub mod relay {
    /// `voice.relay.v1`.
    pub mod v1 {
        tonic::include_proto!("voice.relay.v1");
    }
}

/// Functions of users, for language models to call.
pub mod tool {
    /// `voice.tool.v1`.
    pub mod v1 {
        tonic::include_proto!("voice.tool.v1");
    }
}

/// Speech.
pub mod tts {
    /// `voice.tts.v1`.
    pub mod v1 {
        tonic::include_proto!("voice.tts.v1");
    }
}

/// Turns and the jobs that carry them.
pub mod worker {
    /// `voice.worker.v1`.
    pub mod v1 {
        tonic::include_proto!("voice.worker.v1");
    }
}

/// The encoded `FileDescriptorSet` of every contract, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/voice_descriptor.bin"));
