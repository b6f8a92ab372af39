//! What the caller says, from its beginning to where its audio is.

use tokio::time::Instant;
use voice_call::{Event, UtteranceId};

use super::RecordingLine;
use crate::ports::{LineEvent, Recording};

/// An utterance that is being said.
#[derive(Debug)]
pub(super) struct Speech {
    pub(super) started: Instant,
    /// Recordings of its earlier parts, if the tape broke off.
    pub(super) parts: Vec<Recording>,
    pub(super) is_over: bool,
}

impl RecordingLine {
    pub(super) async fn speech_started(&mut self) {
        if self.speech.is_none() {
            self.speech = Some(Speech { started: Instant::now(), parts: Vec::new(), is_over: false });
            self.tell(Event::SpeechStarted).await;
        }
    }

    /// The caller has finished, by the ear's judgement or by ours.
    pub(super) async fn end_utterance(&mut self) {
        self.speech_started().await;
        if let Some(speech) = &mut self.speech
            && !std::mem::replace(&mut speech.is_over, true)
        {
            self.tell(Event::SpeechEnded).await;
            if self.tape.is_on() {
                self.stop_tape();
            } else {
                self.settle_utterance().await;
            }
        }
    }

    /// The caller has hung up within an utterance. Its tape ends with the call, where its address is known already.
    pub(super) async fn cut_utterance(&mut self) {
        let Some(Speech { started, mut parts, .. }) = self.speech.take() else { return };
        if let Some((url, since)) = self.tape.address() {
            parts.push(Recording { url, speech_start: started.saturating_duration_since(since) });
        }
        if !parts.is_empty() {
            self.utterances += 1;
            let utterance = UtteranceId(self.utterances);
            let _ = self.out.send(LineEvent::UtteranceCut { utterance, recordings: parts }).await;
        }
    }

    /// Gives the finished utterance away, or says that there was none.
    pub(super) async fn settle_utterance(&mut self) {
        let Some(speech) = self.speech.take_if(|speech| speech.is_over) else { return };
        if speech.parts.is_empty() {
            self.tell(Event::SpeechAbandoned).await;
            return;
        }
        self.utterances += 1;
        let utterance = UtteranceId(self.utterances);
        let _ = self.out.send(LineEvent::UtteranceEnded { utterance, recordings: speech.parts }).await;
    }
}
