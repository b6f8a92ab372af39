//! What the language model asks for beside its words.

use futures::StreamExt as _;
use jiff::Timestamp;
use voice_call::{Tool, ToolAsk, ToolCall, TurnId};
use voice_server::status::ServiceError as _;

use super::{Done, Session};
use crate::{
    assistants::TransferTarget,
    error::Error,
    ports::{Declaration, ToolRequest},
    toolbox::{BuiltIn, Wish},
};

impl Session {
    /// What the model may ask for.
    pub(super) fn declared(&self) -> Vec<Declaration> {
        let assistant = &self.assistant;
        let can_hand_over = self.record.check_trunk().is_ok();
        let own = assistant.tools.iter().filter(|tool| can_hand_over || !tool.needs_trunk());
        let mut all: Vec<_> = own.map(|tool| tool.declare(&assistant.transfer_targets)).collect();
        if let Some(server) = &assistant.tool_server {
            all.extend(self.tools.servers.offered(server).iter().cloned());
        }
        all
    }

    /// What a request of the model comes to.
    pub(super) fn to_ask(&self, call: ToolCall) -> ToolAsk {
        let tool = self.to_tool(&call).unwrap_or_else(|reason| Tool::Refused { reason });
        ToolAsk { call, tool }
    }

    fn to_tool(&self, call: &ToolCall) -> Result<Tool, &'static str> {
        let assistant = &self.assistant;
        let Some(own) = BuiltIn::find(&call.name).filter(|own| assistant.tools.contains(own)) else {
            let offered = assistant.tool_server.as_ref().map(|server| self.tools.servers.offered(server));
            let is_offered = offered.iter().flat_map(|all| all.iter()).any(|tool| tool.name == call.name);
            return if is_offered { Ok(Tool::External) } else { Err("TOOL_UNKNOWN") };
        };
        if own.needs_trunk() && self.record.check_trunk().is_err() {
            return Err("CALL_AUDIO_ONLY");
        }
        match own.read(&call.arguments)? {
            Wish::EndCall => Ok(Tool::EndCall),
            Wish::Transfer { target } => {
                let TransferTarget { number, announcement } =
                    assistant.transfer_targets.get(&target).ok_or("TRANSFER_TARGET_UNKNOWN")?;
                let plan = &self.tools.plan;
                plan.check(number)
                    .and_then(|()| plan.check_cap(Timestamp::now()))
                    .map_err(|error| reason(&error))?;
                let announcement = announcement.as_ref().map(|text| self.announced(text));
                Ok(Tool::Transfer { target, announcement })
            }
            Wish::SendDigits { digits } => Ok(Tool::SendDigits { digits }),
            Wish::CollectDigits { prompt, most } => Ok(Tool::CollectDigits { prompt, most }),
            Wish::TakeMessage { prompt } => Ok(Tool::TakeMessage { prompt }),
        }
    }

    /// Has the operator's server do something.
    pub(super) fn call_tool(&mut self, turn: TurnId, call: ToolCall) {
        let tool_call = call.id.clone();
        let Some(server) = &self.assistant.tool_server else { return };
        let mut events = self.tools.servers.call(
            server,
            ToolRequest {
                call,
                call_id: self.record.call_id.clone(),
                caller_number: self.record.caller_number.clone(),
                called_number: self.record.called_number.clone(),
                language: self.assistant.language.clone(),
                limit: self.assistant.call.tool_timeout,
            },
        );
        let (report, id) = (self.report.clone(), tool_call.clone());
        let task = self.work.spawn(async move {
            while let Some(event) = events.next().await {
                if report.send(Done::Tool(turn, id.clone(), event)).await.is_err() {
                    return;
                }
            }
        });
        self.tool_calls.insert((turn, tool_call), task);
    }
}

/// What the model and the call's watchers are told.
fn reason(error: &Error) -> &'static str {
    error.reason().name
}
