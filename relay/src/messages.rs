//! Messages that callers leave: kept, and told to the program that the operator has named.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};
use voice_clips::Clips;
use voice_webhook::Webhook;

/// Messages that wait to be kept and told of; one more is only in the call's events.
const WAITING: usize = 256;

/// A message of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftMessage {
    pub call_id: String,
    /// Unique in the call.
    pub message_id: String,
    pub caller_number: String,
    pub called_number: String,
    pub left_at: Timestamp,
    /// Where the telephony provider has it, piece by piece.
    pub recordings: Vec<String>,
    /// A WAV file, where nobody else has it.
    pub audio: Option<Bytes>,
}

/// Takes messages in.
#[derive(Clone, Debug)]
pub(crate) struct MessageDesk {
    clips: Clips,
    public_base_url: String,
    sender: mpsc::Sender<LeftMessage>,
}

/// Keeps messages and tells of them.
#[derive(Debug)]
pub(crate) struct Postman {
    clips: Clips,
    webhook: Option<Webhook>,
    messages: mpsc::Receiver<LeftMessage>,
    posts: JoinSet<()>,
}

/// The desk, and who works behind it.
pub(crate) fn open(
    clips: Clips,
    public_base_url: String,
    webhook: Option<Webhook>,
) -> (MessageDesk, Postman) {
    let (sender, messages) = mpsc::channel(WAITING);
    let desk = MessageDesk { clips: clips.clone(), public_base_url, sender };
    (desk, Postman { clips, webhook, messages, posts: JoinSet::new() })
}

impl MessageDesk {
    /// Takes a message in. Gives where it can be fetched.
    pub(crate) fn take(&self, mut message: LeftMessage) -> Vec<String> {
        if message.audio.is_some() {
            let name = filename(&self.clips, &message);
            message.recordings = vec![format!("{}/audio/{name}", self.public_base_url)];
        }
        let recordings = message.recordings.clone();
        if self.sender.try_send(message).is_err() {
            tracing::error!("a message could not be passed on: too many are waiting");
        }
        recordings
    }
}

impl Postman {
    /// Works for ever. What is still to be told when it is dropped is not told.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Some(message) => {
                        self.posts.spawn(post(self.clips.clone(), self.webhook.clone(), message));
                    }
                    None => break,
                },
                Some(_) = self.posts.join_next() => {}
            }
        }
    }
}

async fn post(clips: Clips, webhook: Option<Webhook>, message: LeftMessage) {
    if let Some(audio) = &message.audio
        && let Err(error) = clips.put(&filename(&clips, &message), audio.clone()).await
    {
        tracing::error!(call.id = %message.call_id, %error, "a message could not be kept");
    }
    let Some(webhook) = webhook else { return };
    let LeftMessage { call_id, message_id, caller_number, called_number, left_at, recordings, audio: _ } =
        message;
    let body = json!({
        "type": "message.left",
        "timestamp": left_at,
        "data": {
            "call_id": call_id,
            "message_id": message_id,
            "caller_number": caller_number,
            "called_number": called_number,
            "recording_urls": recordings,
        },
    });
    let id = format!("{call_id}-{message_id}");
    if let Err(error) = webhook.deliver(&id, left_at.as_second(), &body).await {
        tracing::error!(call.id = %call_id, %error, "nobody was told of a message");
    }
}

/// Its name in the store, which nobody can guess.
fn filename(clips: &Clips, message: &LeftMessage) -> String {
    clips.name_for(&format!("{} {}", message.call_id, message.message_id), "", "message", "")
}
