//! The conversation → the reply, told piece by piece while it is written.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use voice_jobs::{Progress, ToolCall};

use super::{Listener, Ports};
use crate::{
    error::TurnError,
    ports::{Conversation, Patience, Written},
    recogniser::LONGEST_WAIT,
};

/// The language model.
const PATIENCE: Patience = Patience { first: Duration::from_secs(3), between: Duration::from_millis(1_500) };

/// What the language model wrote.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The words.
    pub(super) reply: String,
    /// What it asks for beside them.
    pub(super) tool_calls: Vec<ToolCall>,
}

impl Answer {
    fn is_empty(&self) -> bool {
        self.reply.trim().is_empty() && self.tool_calls.is_empty()
    }
}

/// Asks for a reply, a second time if the first attempt fails before anything came.
///
/// # Errors
/// When none is written, or it breaks off.
pub(super) async fn write(
    ports: &Ports,
    conversation: &Conversation,
    listener: &impl Listener,
) -> Result<Answer, TurnError> {
    let mut answer = Answer::default();
    match stream(ports, conversation, listener, &mut answer).await {
        // Nothing has been heard of it yet, so a second attempt repeats nothing.
        Err(error)
            if answer.reply.is_empty()
                && error.is_retryable
                && error.retry_after.unwrap_or_default() <= LONGEST_WAIT =>
        {
            tokio::time::sleep(error.retry_after.unwrap_or(Duration::from_millis(100))).await;
            answer.tool_calls.clear();
            stream(ports, conversation, listener, &mut answer).await?;
        }
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    if answer.is_empty() {
        return Err(TurnError::fatal("LLM_EMPTY", "the language model wrote nothing"));
    }
    Ok(answer)
}

async fn stream(
    ports: &Ports,
    conversation: &Conversation,
    listener: &impl Listener,
    answer: &mut Answer,
) -> Result<(), TurnError> {
    let mut pieces = ports.reply.reply(conversation, PATIENCE).await?;
    while let Some(piece) = pieces.next().await {
        let mut text = match piece? {
            Written::Words(text) => text,
            Written::Asked(call) => {
                answer.tool_calls.push(call);
                continue;
            }
        };
        let mut broken = None;
        // What has arrived together is told together.
        while let Some(Some(more)) = pieces.next().now_or_never() {
            match more {
                Ok(Written::Words(more)) => text.push_str(&more),
                Ok(Written::Asked(call)) => answer.tool_calls.push(call),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        answer.reply.push_str(&text);
        listener.tell(Progress::ReplyDelta { text }).await;
        if let Some(error) = broken {
            return Err(error);
        }
    }
    Ok(())
}
