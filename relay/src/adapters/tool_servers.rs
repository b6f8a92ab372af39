//! Servers of operators' own tools: asked now and then what they offer, and called. Addresses and tokens stay here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use async_stream::stream;
use futures::{StreamExt as _, future::join_all, stream::BoxStream};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tonic::{Code, Request, Status};
use voice_call::ToolFailure;
use voice_proto::tool::v1::{
    CallToolRequest, ListToolsRequest, Tool, ToolProgress, ToolResult, call_tool_response::Payload,
    tool_service_client::ToolServiceClient,
};
use voice_server::client::{Channel, ClientConfig, Peer, channel};

use crate::{
    assistants::ToolServer,
    ports::{Declaration, ToolEvent, ToolRequest, ToolServers},
    toolbox::BuiltIn,
};

/// A server is asked what it offers so often, and sooner when it did not answer.
const REFRESH: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(2);
const LIST_LIMIT: Duration = Duration::from_secs(2);

/// What a language model is burdened with at most.
const MOST_TOOLS: usize = 32;
const LONGEST_DESCRIPTION: usize = 1_024;
const LARGEST_SCHEMA: usize = 8 * 1_024;
const LONGEST_RESULT: usize = 4_000;

/// A clip of one engine's length.
const LONGEST_WORDS: usize = 200;

/// All servers, by name.
#[derive(Debug)]
pub(crate) struct Servers(BTreeMap<String, Server>);

#[derive(Debug)]
struct Server {
    client: ToolServiceClient<Channel>,
    offered: Mutex<Arc<Vec<Declaration>>>,
}

impl Servers {
    /// Uses these servers. Nothing is asked of them yet.
    ///
    /// # Errors
    /// When an address or a token cannot be used.
    pub(crate) fn connect(
        servers: &BTreeMap<String, ToolServer>,
        mesh: &ClientConfig,
    ) -> anyhow::Result<Self> {
        let connected = servers.iter().map(|(name, server)| {
            let config = mesh.with_token(server.token.clone());
            let channel = channel(Peer::Tools, &server.address, &config)
                .with_context(|| format!("ASSISTANTS_FILE: tool_servers.{name}"))?;
            let client = ToolServiceClient::new(channel);
            Ok((name.clone(), Server { client, offered: Mutex::default() }))
        });
        Ok(Self(connected.collect::<anyhow::Result<_>>()?))
    }

    /// Keeps the lists of tools, for ever.
    pub(crate) async fn keep(&self) {
        join_all(self.0.iter().map(|(name, server)| server.keep(name))).await;
    }
}

impl Server {
    async fn keep(&self, name: &str) {
        let mut was_well = true;
        loop {
            let listed = self.list().await;
            let is_well = listed.is_ok();
            match listed {
                Ok(tools) => {
                    let offered = declarations(name, tools);
                    *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(offered);
                }
                // What it offered is offered still: calls may fail, and the model is told so.
                Err(status) if was_well => {
                    tracing::warn!(server = name, code = ?status.code(), "a tool server does not say what it offers");
                }
                Err(_) => {}
            }
            was_well = is_well;
            tokio::time::sleep(if is_well { REFRESH } else { RETRY }).await;
        }
    }

    async fn list(&self) -> Result<Vec<Tool>, Status> {
        let mut request = Request::new(ListToolsRequest {});
        request.set_timeout(LIST_LIMIT);
        let mut client = self.client.clone();
        let listed = timeout(LIST_LIMIT, client.list_tools(request)).await;
        Ok(listed.map_err(|_| Status::deadline_exceeded("no list in time"))??.into_inner().tools)
    }
}

impl ToolServers for Servers {
    fn offered(&self, server: &str) -> Arc<Vec<Declaration>> {
        let server = self.0.get(server);
        server
            .map(|server| server.offered.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    fn call(&self, server: &str, request: ToolRequest) -> BoxStream<'static, ToolEvent> {
        let client = self.0.get(server).map(|server| server.client.clone());
        Box::pin(stream! {
            let Some(mut client) = client else {
                yield ToolEvent::Finished(Err(failure("TOOL_UNAVAILABLE", "")));
                return;
            };
            let mut events = match client.call_tool(to_request(request)).await {
                Ok(response) => response.into_inner(),
                Err(status) => {
                    yield ToolEvent::Finished(Err(from_status(&status)));
                    return;
                }
            };
            while let Some(event) = events.next().await {
                match event.map(|event| event.payload) {
                    Ok(Some(Payload::Progress(ToolProgress { spoken_text }))) => {
                        let words: String = spoken_text.trim().chars().take(LONGEST_WORDS).collect();
                        if !words.is_empty() {
                            yield ToolEvent::Progressed(words);
                        }
                    }
                    Ok(Some(Payload::Result(ToolResult { content }))) => {
                        let content: String = content.chars().take(LONGEST_RESULT).collect();
                        // A model that is told nothing takes it for a failure.
                        let told = if content.is_empty() { "{}".to_owned() } else { content };
                        yield ToolEvent::Finished(Ok(told));
                        return;
                    }
                    Ok(None) => {}
                    Err(status) => {
                        yield ToolEvent::Finished(Err(from_status(&status)));
                        return;
                    }
                }
            }
            yield ToolEvent::Finished(Err(failure("TOOL_FAILED", "")));
        })
    }
}

fn to_request(request: ToolRequest) -> Request<CallToolRequest> {
    let ToolRequest { call, call_id, caller_number, called_number, language, limit } = request;
    let mut request = Request::new(CallToolRequest {
        name: call.name,
        arguments: call.arguments,
        call_id,
        tool_call_id: call.id,
        caller_number,
        called_number,
        language,
    });
    request.set_timeout(limit);
    request
}

/// What the model is told of a failure. What only the operator can mend is not its business.
fn from_status(status: &Status) -> ToolFailure {
    tracing::warn!(code = ?status.code(), "a tool has failed");
    match status.code() {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::OutOfRange => {
            failure("TOOL_FAILED", &status.message().chars().take(LONGEST_WORDS).collect::<String>())
        }
        Code::Unavailable => failure("TOOL_UNAVAILABLE", ""),
        Code::DeadlineExceeded => failure("TOOL_TIMEOUT", ""),
        _ => failure("TOOL_FAILED", ""),
    }
}

fn failure(reason: &'static str, message: &str) -> ToolFailure {
    ToolFailure { reason, message: message.to_owned() }
}

/// What a server offers, as far as it can be offered to a model.
fn declarations(server: &str, tools: Vec<Tool>) -> Vec<Declaration> {
    let mut all: Vec<Declaration> = Vec::new();
    for tool in tools {
        let name = tool.name.clone();
        match declaration(tool) {
            Ok(_) if all.iter().any(|other| other.name == name) => {
                tracing::warn!(server, tool = name, "a tool is left out: another one has its name");
            }
            Ok(_) if all.len() == MOST_TOOLS => {
                tracing::warn!(server, tool = name, "a tool is left out: there are too many");
            }
            Ok(declaration) => all.push(declaration),
            Err(why) => tracing::warn!(server, tool = name, "a tool is left out: {why}"),
        }
    }
    all
}

fn declaration(tool: Tool) -> Result<Declaration, &'static str> {
    let Tool { name, description, parameters_schema } = tool;
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_known) {
        return Err("its name is not 1 to 64 letters, digits, _ and -");
    }
    if BuiltIn::find(&name).is_some() {
        return Err("its name is that of one of the assistant's own");
    }
    if description.chars().count() > LONGEST_DESCRIPTION || parameters_schema.len() > LARGEST_SCHEMA {
        return Err("its description or its schema is too long");
    }
    let parameters = match parameters_schema.trim() {
        "" => json!({ "type": "object", "properties": {} }),
        text => serde_json::from_str::<Map<String, Value>>(text)
            .map_err(|_| "its schema is not a JSON object")?
            .into(),
    };
    if parameters["type"] != "object" {
        return Err("its schema is not that of an object");
    }
    Ok(Declaration { name, description, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_could_not_call_is_left_out() {
        let tool = |name: &str, schema: &str| Tool {
            name: name.into(),
            description: "does it".into(),
            parameters_schema: schema.into(),
        };
        let offered = declarations(
            "shop",
            vec![
                tool("order_status", r#"{"type":"object","properties":{}}"#),
                tool("order_status", ""),
                tool("hours", ""),
                tool("end_call", ""),
                tool("two words", ""),
                tool("list", r#"{"type":"array"}"#),
                tool("junk", "{"),
            ],
        );
        let names: Vec<_> = offered.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["order_status", "hours"]);
        assert_eq!(offered[1].parameters["type"], "object");
    }
}
