//! The conversation → the reply, told piece by piece while it is written.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use voice_jobs::Progress;

use super::{Listener, Ports};
use crate::{
    error::TurnError,
    ports::{Message, Patience},
    recogniser::LONGEST_WAIT,
};

/// The language model.
const PATIENCE: Patience = Patience { first: Duration::from_secs(3), between: Duration::from_millis(1_500) };

/// Asks for a reply, a second time if the first attempt fails before anything came.
///
/// # Errors
/// When none is written, or it breaks off.
pub(super) async fn write(
    ports: &Ports,
    prompt: &str,
    history: &[Message],
    listener: &impl Listener,
) -> Result<String, TurnError> {
    let mut reply = String::new();
    match stream(ports, prompt, history, listener, &mut reply).await {
        // Nothing has been heard of it yet, so a second attempt repeats nothing.
        Err(error)
            if reply.is_empty()
                && error.is_retryable
                && error.retry_after.unwrap_or_default() <= LONGEST_WAIT =>
        {
            tokio::time::sleep(error.retry_after.unwrap_or(Duration::from_millis(100))).await;
            stream(ports, prompt, history, listener, &mut reply).await?;
        }
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    if reply.trim().is_empty() {
        return Err(TurnError::fatal("LLM_EMPTY", "the language model wrote nothing"));
    }
    Ok(reply)
}

async fn stream(
    ports: &Ports,
    prompt: &str,
    history: &[Message],
    listener: &impl Listener,
    reply: &mut String,
) -> Result<(), TurnError> {
    let mut pieces = ports.reply.reply(prompt, history, PATIENCE).await?;
    while let Some(piece) = pieces.next().await {
        let mut text = piece?;
        let mut broken = None;
        // What has arrived together is told together.
        while let Some(Some(more)) = pieces.next().now_or_never() {
            match more {
                Ok(more) => text.push_str(&more),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        reply.push_str(&text);
        listener.tell(Progress::ReplyDelta { text }).await;
        if let Some(error) = broken {
            return Err(error);
        }
    }
    Ok(())
}
