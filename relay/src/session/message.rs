//! A message that the caller leaves.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use voice_audio::wav;
use voice_call::{Event, Notice, TurnId, UtteranceId};

use super::{Session, now};
use crate::{
    messages::LeftMessage,
    ports::{LiveAudio, Recording, Utterance},
    sound::AudioFormat,
};

/// Batches on their way from the line to whoever listens; as many as the line itself lets wait.
const BATCHES: usize = 128;

/// What a caller has said of a message so far.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    format: AudioFormat,
    batches: Arc<Mutex<Vec<Bytes>>>,
}

impl Session {
    /// The audio of an utterance, of which a copy is kept while a message is being left.
    pub(super) fn copied(&mut self, utterance: UtteranceId, audio: LiveAudio) -> LiveAudio {
        let Some(message) = &mut self.message else { return audio };
        let LiveAudio { format, mut batches } = audio;
        let copied = Copied { format, batches: Arc::default() };
        message.insert(utterance, copied.clone());
        let (sender, passed_on) = mpsc::channel(BATCHES);
        self.work.spawn(async move {
            while let Some(batch) = batches.recv().await {
                copied.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch.clone());
                // Whoever listens no longer costs the message nothing.
                let _ = sender.send(batch).await;
            }
        });
        LiveAudio { format, batches: passed_on }
    }

    /// The caller hangs up while he speaks: that is the end of an utterance only where it is kept.
    pub(super) fn cut_off(&mut self, utterance: UtteranceId, recordings: Vec<Recording>) {
        if self.message.is_none() {
            return;
        }
        if !recordings.is_empty() {
            self.keep(utterance, Utterance::Recorded(recordings));
        }
        self.call.handle(now(), Event::UtteranceEnded { utterance });
    }

    /// The message is complete.
    pub(super) fn keep_message(&mut self, turn: TurnId, utterances: &[UtteranceId]) {
        let copies = self.message.take().unwrap_or_default();
        let copies: Vec<&Copied> = utterances.iter().filter_map(|utterance| copies.get(utterance)).collect();
        let recorded = utterances.iter().filter_map(|utterance| match self.utterances.get(utterance) {
            Some(Utterance::Recorded(recordings)) => Some(recordings),
            Some(Utterance::Heard(_)) | None => None,
        });
        let recordings: Vec<String> = recorded.flatten().map(|recording| recording.url.clone()).collect();
        let audio = to_wav(&copies);
        if recordings.is_empty() && audio.is_none() {
            return;
        }
        let recordings = self.tools.messages.take(LeftMessage {
            call_id: self.record.call_id.clone(),
            message_id: turn.to_string(),
            caller_number: self.record.caller_number.clone(),
            called_number: self.record.called_number.clone(),
            left_at: Timestamp::now(),
            recordings,
            audio,
        });
        self.note(Notice::MessageLeft { turn, recordings });
    }
}

/// One file of all pieces; `None` if there are none.
fn to_wav(copies: &[&Copied]) -> Option<Bytes> {
    let format = copies.first()?.format;
    let mut audio = Vec::new();
    for copied in copies {
        let batches = copied.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.iter().for_each(|batch| audio.extend_from_slice(batch));
    }
    let file = match format {
        AudioFormat::Mulaw => wav::write_mulaw(&audio),
        AudioFormat::Linear16 { hertz } => wav::write_pcm16_bytes(&audio, hertz),
    };
    Some(file.into())
}
