//! Turns of utterances that were heard live: their words are asked for, then the reply.

use async_stream::stream;
use futures::stream::BoxStream;
use tonic::Status;
use voice_call::{Message, Progress, Role, ToolCall, ToolUse, TurnId};
use voice_proto::worker::v1::{
    HistoryMessage, ProcessTurnRequest, ReplyDelta, Speaker, TurnCompleted, TurnConfig, TurnTool,
    TurnToolCall, TurnToolUse, process_turn_request::Payload, process_turn_response::Event,
};

use super::{Worker, reason, retry_after};
use crate::ports::{Declaration, Turn, TurnEvent, Turns, Utterance, Work};

impl Turns for Worker {
    fn start(&self, turn: Turn) -> BoxStream<'static, TurnEvent> {
        let client = self.client.clone();
        Box::pin(stream! {
            yield TurnEvent::Progressed(Progress::Started);
            let round = turn.round;
            let config = match to_config(turn).await {
                Ok(config) => config,
                Err(reason) => {
                    yield TurnEvent::Failed { reason };
                    return;
                }
            };
            if round == 0 {
                if config.earlier_text.is_empty() {
                    yield TurnEvent::Progressed(Progress::NothingSaid);
                    return;
                }
                yield TurnEvent::Progressed(Progress::Transcript(config.earlier_text.clone()));
            }
            let mut attempt = 1;
            loop {
                let request = ProcessTurnRequest { payload: Some(Payload::Config(config.clone())) };
                let opened = client.clone().process_turn(tokio_stream::once(request)).await;
                let mut has_delta = false;
                let failure: Status = match opened {
                    Ok(response) => {
                        let mut events = response.into_inner();
                        loop {
                            match events.message().await.map(|message| message.map(|message| message.event)) {
                                Ok(Some(Some(Event::ReplyDelta(ReplyDelta { text })))) => {
                                    has_delta = true;
                                    yield TurnEvent::Progressed(Progress::ReplyDelta(text));
                                }
                                Ok(Some(Some(Event::TurnCompleted(completed)))) => {
                                    let TurnCompleted { transcript: _, reply, tool_calls } = completed;
                                    if !has_delta && !reply.is_empty() {
                                        yield TurnEvent::Progressed(Progress::ReplyDelta(reply));
                                    }
                                    if !tool_calls.is_empty() {
                                        let asked = tool_calls.into_iter().map(from_call).collect();
                                        yield TurnEvent::ToolsAsked(asked);
                                    }
                                    yield TurnEvent::Progressed(Progress::ReplyFinished);
                                    return;
                                }
                                // What was said is known.
                                Ok(Some(Some(Event::Transcript(_)) | None)) => {}
                                Ok(None) => break Status::unavailable("it ended before the turn was over"),
                                Err(status) => break status,
                            }
                        }
                    }
                    Err(status) => status,
                };
                let Some(pause) = retry_after(&failure, attempt) else {
                    tracing::warn!(code = ?failure.code(), "a turn could not be answered");
                    yield TurnEvent::Failed { reason: reason(&failure) };
                    return;
                };
                tokio::time::sleep(pause).await;
                attempt += 1;
                // Another worker begins anew, and will write another reply.
                yield TurnEvent::Progressed(Progress::Started);
            }
        })
    }

    /// Whoever drops the events of a turn has cancelled it.
    fn cancel(&self, _: &str, _: TurnId, _: u32) -> Work<()> {
        Box::pin(std::future::ready(()))
    }
}

/// Gathers what was said, and all that a reply is made from.
async fn to_config(turn: Turn) -> Result<TurnConfig, String> {
    let Turn {
        call_id,
        turn: _,
        round: _,
        tools,
        utterances,
        earlier_text,
        history,
        prompt,
        language,
        budget,
        // Its own words are those that count: nothing is answered before them.
        answered_text: _,
        is_repeated: _,
    } = turn;
    let mut said = vec![earlier_text];
    for utterance in utterances {
        match utterance {
            Utterance::Heard(words) => said.push(words.so_far().await?),
            Utterance::Recorded(_) => tracing::error!("a recording came by a door that has none"),
        }
    }
    let said: Vec<_> = said.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    Ok(TurnConfig {
        call_id,
        format: None,
        language,
        prompt,
        history: history.into_iter().map(to_message).collect(),
        earlier_text: said.join(" "),
        turn_timeout: prost_types::Duration::try_from(budget).ok(),
        wants_partials: false,
        tools: tools.into_iter().map(to_tool).collect(),
    })
}

fn to_tool(tool: Declaration) -> TurnTool {
    let Declaration { name, description, parameters } = tool;
    TurnTool { name, description, parameters_schema: parameters.to_string() }
}

fn from_call(call: TurnToolCall) -> ToolCall {
    let TurnToolCall { tool_call_id, name, arguments } = call;
    ToolCall { id: tool_call_id, name, arguments }
}

fn to_tool_use(tool_use: ToolUse) -> TurnToolUse {
    let ToolUse { call: ToolCall { id, name, arguments }, result } = tool_use;
    TurnToolUse { call: Some(TurnToolCall { tool_call_id: id, name, arguments }), result }
}

fn to_message(message: Message) -> HistoryMessage {
    let speaker = match message.role {
        Role::User => Speaker::User,
        Role::Assistant => Speaker::Assistant,
    };
    let tool_uses = message.tools.into_iter().map(to_tool_use).collect();
    HistoryMessage { speaker: speaker.into(), content: message.content, tool_uses }
}
