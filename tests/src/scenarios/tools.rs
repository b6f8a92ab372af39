//! What a language model asks for beside its words, and an operator's own tools.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tonic::{Request, Response, Status, transport::Server};
use voice_proto::{
    relay::v1::{CallState, EndReason, GetCallRequest, ListCallsRequest, ToolOutcome},
    tool::v1::{
        CallToolRequest, CallToolResponse, ListToolsRequest, ListToolsResponse, Tool, ToolProgress,
        ToolResult,
        call_tool_response::Payload,
        tool_service_server::{ToolService, ToolServiceServer},
    },
};

use super::{clients::PYTHON, *};
use crate::{
    front::Front,
    mesh::{eventually, own_redis},
    phone::loopback_client,
    ports::free_port,
    redis::{Probe, Reply},
};

const DOORS: [&str; 2] = ["recording", "stream"];
const SALES: &str = "+15553330000";

/// A mesh whose assistant is as a file says.
pub(super) async fn assisted(door: &str, file: &str, options: Options) -> Mesh {
    let path = tempfile::Builder::new().suffix(".toml").tempfile().unwrap().into_temp_path().keep().unwrap();
    std::fs::write(&path, file).unwrap();
    let options = options.with("CALL_AUDIO", door).with("ASSISTANTS_FILE", path.display());
    mesh(options.with("DIAL_ALLOWED_PREFIXES", "+1555")).await
}

fn with_tools(tools: &str) -> String {
    format!(
        "[default]\ntools = [{tools}]\n\
         transfer_targets = {{ sales = '{SALES}', abroad = '+16660000000' }}\n"
    )
}

pub(super) fn called(reply: &str, name: &str, arguments: Value) -> Value {
    json!({ "when": QUESTION, "reply": reply, "tool_calls": [{ "name": name, "arguments": arguments }] })
}

fn ended(event: &Event) -> Option<(ToolOutcome, String)> {
    match event {
        Event::ToolEnded(ended) => Some((ended.outcome(), ended.reason.clone())),
        _ => None,
    }
}

async fn end_reason(mesh: &Mesh, call_id: &str) -> EndReason {
    let request = GetCallRequest { call_id: call_id.to_owned() };
    let call = mesh.relay().await.unwrap().get_call(request).await.unwrap().into_inner().call.unwrap();
    assert_eq!(call.state(), CallState::Ended);
    call.end_reason()
}

#[tokio::test]
async fn the_model_hangs_up_once_its_goodbye_was_heard() {
    for door in DOORS {
        let mesh = assisted(door, &with_tools("'end_call'"), Options::default()).await;
        mesh.groq.lines(json!([called("We are closed. Goodbye.", "end_call", json!({}))])).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        caller.say(QUESTION).await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        assert_eq!(end_reason(&mesh, &call_id).await, EndReason::Assistant);
        assert_eq!(replies(&watch).join(" "), "We are closed. Goodbye.");
        let place = |wanted: &dyn Fn(&Event) -> bool| {
            watch.seen.iter().rposition(|event| event.event.as_ref().is_some_and(wanted))
        };
        let heard = place(&|event| finished(PlaybackKind::Reply)(event).is_some()).unwrap();
        let done = place(&|event| ended(event).is_some()).unwrap();
        assert!(heard < done, "{door}: done at {done}, heard at {heard}");
        assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn the_model_hands_calls_to_names_and_never_to_numbers() {
    for door in DOORS {
        let mesh = assisted(door, &with_tools("'transfer_call'"), Options::default()).await;
        for (target, reason) in [
            (SALES, "TRANSFER_TARGET_UNKNOWN"),
            ("+15557770001", "TRANSFER_TARGET_UNKNOWN"),
            ("abroad", "DIAL_NOT_ALLOWED"),
        ] {
            let script = json!([
                called("", "transfer_call", json!({ "target": target })),
                { "when": reason, "reply": "I am sorry, I cannot do that." },
            ]);
            mesh.groq.lines(script).await.unwrap();
            let (caller, mut watch) = greeted(&mesh).await;
            caller.say(QUESTION).await.unwrap();
            let refused = watch.until(LIMIT, ended).await.unwrap();
            assert_eq!(refused, (ToolOutcome::Refused, reason.to_owned()), "{target}");
            let said = watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
            assert_eq!(said, "I am sorry, I cannot do that.");
            caller.hang_up().await.unwrap();
            watch.to_end(LIMIT).await.unwrap();
        }
        let script =
            json!([called("I am putting you through.", "transfer_call", json!({ "target": "sales" }))]);
        mesh.groq.lines(script).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        caller.say(QUESTION).await.unwrap();
        watch.until(LIMIT, |event| matches!(event, Event::TransferConnected(_)).then_some(())).await.unwrap();
        assert_eq!(caller.view().await.unwrap()["connected_to"]["params"]["to_number"], SALES);
        assert_eq!(replies(&watch), ["I am putting you through."]);
        assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn the_cap_of_the_day_holds_for_the_model_too() {
    let options = Options::default().with("DIAL_DAILY_CAP", 0);
    let mesh = assisted("recording", &with_tools("'transfer_call'"), options).await;
    let script = json!([
        called("", "transfer_call", json!({ "target": "sales" })),
        { "when": "DIAL_CAP_REACHED", "reply": "Nobody is there today." },
    ]);
    mesh.groq.lines(script).await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    caller.say(QUESTION).await.unwrap();
    let refused = watch.until(LIMIT, ended).await.unwrap();
    assert_eq!(refused, (ToolOutcome::Refused, "DIAL_CAP_REACHED".to_owned()));
    watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
    assert_eq!(replies(&watch), ["Nobody is there today."]);
}

#[tokio::test]
async fn the_model_dials_and_has_the_caller_dial() {
    for door in DOORS {
        let mesh = assisted(door, &with_tools("'send_digits', 'collect_digits'"), Options::default()).await;
        let collect = json!({ "prompt": "Please enter your number.", "max_digits": 4 });
        let script = json!([
            called("", "collect_digits", collect),
            { "when": "1234", "reply": "I am dialling.",
              "tool_calls": [{ "name": "send_digits", "arguments": { "digits": "9#" } }] },
        ]);
        mesh.groq.lines(script).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        caller.say(QUESTION).await.unwrap();
        assert_eq!(
            watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap(),
            "Please enter your number."
        );
        watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
        caller.press("1234").await.unwrap();
        let sent = |event: &Event| match event {
            Event::DigitsSent(sent) => Some(sent.digits.clone()),
            _ => None,
        };
        assert_eq!(watch.until(LIMIT, sent).await.unwrap(), "9#");
        assert_eq!(replies(&watch).last().unwrap(), "I am dialling.");
        assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
    }
}

/// The operator's own server, which does as it is told.
#[derive(Clone, Default)]
struct Shop {
    behaviour: Arc<Mutex<Behaviour>>,
    called: Arc<Mutex<Vec<ShopCall>>>,
    /// How many of its answers nobody waits for any more, or are complete.
    over: Arc<AtomicUsize>,
}

/// How it was called.
#[derive(Clone, Debug)]
struct ShopCall {
    request: CallToolRequest,
    token: Option<String>,
    deadline: Option<String>,
}

/// Counts when an answer is dropped.
struct UntilOver(Arc<AtomicUsize>);

impl Drop for UntilOver {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Default)]
enum Behaviour {
    #[default]
    Answers,
    Fails,
    Hangs,
}

impl Shop {
    /// Serves until what it gives is dropped.
    async fn serve(&self) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = ToolServiceServer::new(self.clone());
        let connections = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(connections).await.unwrap();
        });
        (address, serving)
    }
}

#[tonic::async_trait]
impl ToolService for Shop {
    type CallToolStream = BoxStream<'static, Result<CallToolResponse, Status>>;

    async fn list_tools(&self, _: Request<ListToolsRequest>) -> Result<Response<ListToolsResponse>, Status> {
        let schema = json!({ "type": "object", "properties": { "number": { "type": "string" } } });
        let tool = Tool {
            name: "order_status".into(),
            description: "Tells how far an order is.".into(),
            parameters_schema: schema.to_string(),
        };
        Ok(Response::new(ListToolsResponse { tools: vec![tool] }))
    }

    async fn call_tool(
        &self,
        request: Request<CallToolRequest>,
    ) -> Result<Response<Self::CallToolStream>, Status> {
        let header =
            |name: &str| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (token, deadline) = (header("authorization"), header("grpc-timeout"));
        self.called.lock().unwrap().push(ShopCall { token, deadline, request: request.into_inner() });
        let message = |payload| Ok(CallToolResponse { payload: Some(payload) });
        let progress = message(Payload::Progress(ToolProgress { spoken_text: "I am looking it up.".into() }));
        let result =
            message(Payload::Result(ToolResult { content: json!({ "state": "shipped" }).to_string() }));
        let answer = match *self.behaviour.lock().unwrap() {
            Behaviour::Answers => stream::iter([progress, result]).boxed(),
            Behaviour::Fails => return Err(Status::internal("the database has a secret problem")),
            Behaviour::Hangs => stream::iter([progress]).chain(stream::once(pending())).boxed(),
        };
        let guard = UntilOver(self.over.clone());
        let answer = answer.map(move |message| {
            let _held = &guard;
            message
        });
        Ok(Response::new(answer.boxed()))
    }
}

/// A file whose assistant has the tools of a server.
fn with_server(address: &str) -> String {
    with_patience(address, 4)
}

/// The same, with so many seconds for each tool.
fn with_patience(address: &str, seconds: u32) -> String {
    format!(
        "[default]\ntool_server = 'shop'\n\
         [tool_servers.shop]\naddress = '{address}'\ntoken_env = 'SHOP_TOKEN'\ntimeout_seconds = {seconds}\n"
    )
}

fn asks_for_an_order() -> Value {
    json!([
        called("", "order_status", json!({ "number": "1234" })),
        { "when": "state shipped", "reply": "Your order was shipped." },
        { "when": "TOOL_TIMEOUT", "reply": "I am sorry, that takes too long." },
        { "when": "TOOL_FAILED", "reply": "I am sorry, I cannot find out." },
        { "when": "TOOL_UNAVAILABLE", "reply": "I am sorry, nobody is there to ask." },
    ])
}

/// The relay knows what the server offers.
async fn is_offered(mesh: &Mesh) {
    // Each look is a whole call.
    eventually(LIMIT * 3, "the tools of the server", async || {
        let (caller, mut watch) = greeted(mesh).await;
        ask(&caller, &mut watch).await;
        caller.hang_up().await.unwrap();
        let requests = mesh.groq.requests().await.unwrap();
        let told = requests.iter().any(|request| request["tools"] == json!(["order_status"]));
        told.then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_operators_tool_answers_fails_and_hangs_and_the_call_goes_on() {
    for door in DOORS {
        let shop = Shop::default();
        let (address, _serving) = shop.serve().await;
        let options = Options::default().with("SHOP_TOKEN", "only-for-the-shop");
        let mesh = assisted(door, &with_server(&address.to_string()), options).await;
        is_offered(&mesh).await;
        mesh.groq.lines(asks_for_an_order()).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        for (behaviour, outcome, reason, reply) in [
            (Behaviour::Answers, ToolOutcome::Done, "", "Your order was shipped."),
            (Behaviour::Fails, ToolOutcome::Failed, "TOOL_FAILED", "I am sorry, I cannot find out."),
            (Behaviour::Hangs, ToolOutcome::Failed, "TOOL_TIMEOUT", "I am sorry, that takes too long."),
            (Behaviour::Answers, ToolOutcome::Done, "", "Your order was shipped."),
        ] {
            *shop.behaviour.lock().unwrap() = behaviour;
            caller.say(QUESTION).await.unwrap();
            assert_eq!(watch.until(LIMIT, ended).await.unwrap(), (outcome, reason.to_owned()), "{door}");
            assert_eq!(watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap(), reply, "{door}");
            watch.until(LIMIT, listening).await.unwrap();
        }
        let fillers =
            watch.seen.iter().filter_map(|event| started(PlaybackKind::Filler)(event.event.as_ref()?));
        assert!(
            fillers.into_iter().any(|words| words == "I am looking it up."),
            "{door}: what the tool says"
        );
        let called = shop.called.lock().unwrap().clone();
        let ShopCall { request: first, token, .. } = &called[0];
        assert_eq!(serde_json::from_str::<Value>(&first.arguments).unwrap(), json!({ "number": "1234" }));
        assert_eq!(first.call_id, mesh.newest_call().await.unwrap());
        assert_eq!((first.caller_number.as_str(), called.len()), ("+15551110000", 4));
        assert_eq!(token.as_deref(), Some("Bearer only-for-the-shop"));
        for call in &called {
            assert_eq!(call.deadline.as_deref(), Some("4000000u"), "timeout_seconds, in microseconds");
        }
        let chats = mesh.groq.chats().await.unwrap();
        let told = format!("{chats:?}");
        assert!(!told.contains("secret problem"), "what is the operator's to mend is not told to a model");
    }
}

/// Everything that is said to a Redis from now on.
async fn overheard(redis_url: &str) -> (Arc<Mutex<String>>, JoinSet<()>) {
    let mut probe = Probe::connect(redis_url).await.unwrap();
    assert_eq!(probe.ask(&["MONITOR"]).await.unwrap(), Reply::Text("OK".to_owned()));
    let (said, mut listening): (Arc<Mutex<String>>, _) = (Arc::default(), JoinSet::new());
    let sink = said.clone();
    listening.spawn(async move {
        while let Ok(command) = probe.next().await {
            sink.lock().unwrap().extend(command.texts());
        }
    });
    (said, listening)
}

/// A text, and behind it all that is encoded in it, as the bodies of jobs are.
fn decoded(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let words = text.split(|c| !is_digit(c)).filter_map(|word| BASE64_STANDARD.decode(word).ok());
    words.fold(text.to_owned(), |text, word| text + &String::from_utf8_lossy(&word))
}

#[tokio::test]
async fn no_address_and_no_token_of_a_tool_server_reaches_redis() {
    for door in DOORS {
        let folder = tempfile::tempdir().unwrap();
        let (_redis, redis_url) = own_redis(folder.path()).await.unwrap();
        let (said, _listening) = overheard(&redis_url).await;
        let shop = Shop::default();
        let (address, _serving) = shop.serve().await;
        let options = Options { redis_url: Some(redis_url), ..Options::default() };
        let options = options.with("SHOP_TOKEN", "only-for-the-shop");
        let mesh = assisted(door, &with_server(&address.to_string()), options).await;
        is_offered(&mesh).await;
        mesh.groq.lines(asks_for_an_order()).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        caller.say(QUESTION).await.unwrap();
        assert_eq!(watch.until(LIMIT, ended).await.unwrap(), (ToolOutcome::Done, String::new()), "{door}");
        watch.until(LIMIT, listening).await.unwrap();
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        let said = decoded(&said.lock().unwrap());
        assert!(said.contains("order_status"), "{door}: what the model asks for is there to be seen");
        for secret in ["only-for-the-shop", &address.to_string()] {
            assert!(!said.contains(secret), "{door}: {secret}");
        }
    }
}

#[tokio::test]
async fn a_tool_server_that_is_away_delays_no_start_and_costs_no_call() {
    let options = Options::default().with("SHOP_TOKEN", "only-for-the-shop");
    let nowhere = format!("127.0.0.1:{}", free_port().unwrap());
    let mesh = assisted("recording", &with_server(&nowhere), options).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
}

#[tokio::test]
async fn a_tool_server_that_goes_away_while_it_works_or_before_is_unavailable_and_the_call_goes_on() {
    for door in DOORS {
        let shop = Shop { behaviour: Arc::new(Mutex::new(Behaviour::Hangs)), ..Shop::default() };
        let (address, _serving) = shop.serve().await;
        // Connections that were accepted outlive a listener, but not whoever passes them on.
        let front = Front::open(vec![address.port()]).await.unwrap();
        let options = Options::default().with("SHOP_TOKEN", "only-for-the-shop");
        let file = with_patience(&format!("127.0.0.1:{}", front.port), 60);
        let mesh = assisted(door, &file, options).await;
        is_offered(&mesh).await;
        mesh.groq.lines(asks_for_an_order()).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        caller.say(QUESTION).await.unwrap();
        let is_called = async || (!shop.called.lock().unwrap().is_empty()).then_some(());
        eventually(LIMIT, "a call of the tool", is_called).await.unwrap();
        drop(front);
        for _ in 0..2 {
            let outcome = watch.until(LIMIT, ended).await.unwrap();
            assert_eq!(outcome, (ToolOutcome::Failed, "TOOL_UNAVAILABLE".to_owned()), "{door}");
            let said = watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
            assert_eq!(said, "I am sorry, nobody is there to ask.", "{door}");
            watch.until(LIMIT, listening).await.unwrap();
            caller.say(QUESTION).await.unwrap();
        }
        watch.until(LIMIT, ended).await.unwrap();
        watch.until(LIMIT, listening).await.unwrap();
        assert_eq!(shop.called.lock().unwrap().len(), 1, "{door}: none is repeated");
        mesh.groq.script(&[(QUESTION, ANSWER)]).await.unwrap();
        ask(&caller, &mut watch).await;
        assert!(replies(&watch).join(" ").ends_with(ANSWER), "{door}: {:?}", replies(&watch));
    }
}

#[tokio::test]
async fn a_tool_whose_caller_speaks_or_hangs_up_is_cancelled_at_its_server() {
    for door in DOORS {
        let shop = Shop::default();
        let (address, _serving) = shop.serve().await;
        let options = Options::default().with("SHOP_TOKEN", "only-for-the-shop");
        // So that it is not the deadline that ends anything.
        let mesh = assisted(door, &with_patience(&address.to_string(), 60), options).await;
        is_offered(&mesh).await;
        mesh.groq.lines(asks_for_an_order()).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        let under_way = async |count: usize| {
            let is_called = async || (shop.called.lock().unwrap().len() == count).then_some(());
            eventually(LIMIT, "a call of the tool", is_called).await.unwrap();
            assert_eq!(shop.over.load(Ordering::Relaxed), count - 1, "{door}: it is waited for");
        };
        let over = async |count: usize| {
            let is_over = async || (shop.over.load(Ordering::Relaxed) == count).then_some(());
            eventually(LIMIT, "the end of the tool at its server", is_over).await.unwrap();
        };
        *shop.behaviour.lock().unwrap() = Behaviour::Hangs;
        caller.say(QUESTION).await.unwrap();
        under_way(1).await;
        watch.until(LIMIT, started(PlaybackKind::Filler)).await.unwrap();
        *shop.behaviour.lock().unwrap() = Behaviour::Answers;
        caller.say(QUESTION).await.unwrap();
        let outcome = watch.until(LIMIT, ended).await.unwrap();
        assert_eq!(outcome, (ToolOutcome::Cancelled, String::new()), "{door}");
        assert_eq!(watch.until(LIMIT, ended).await.unwrap().0, ToolOutcome::Done, "{door}");
        over(2).await;
        watch.until(LIMIT, listening).await.unwrap();
        let told = format!("{:?}", mesh.groq.chats().await.unwrap().last().unwrap());
        assert!(told.contains("Whether it was done is not known."), "{door}: {told}");
        *shop.behaviour.lock().unwrap() = Behaviour::Hangs;
        caller.say(QUESTION).await.unwrap();
        under_way(3).await;
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        over(3).await;
    }
}

#[tokio::test]
async fn the_tool_server_in_python_is_called_by_the_model() {
    if !PYTHON.is_built().await {
        return;
    }
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let _server = PYTHON
        .command(&["../../.venv/bin/python", "tools.py", &address])
        .env("TOOLS_TOKEN", "only-for-the-shop")
        .spawn()
        .unwrap();
    let options = Options::default().with("SHOP_TOKEN", "only-for-the-shop");
    let mesh = assisted("stream", &with_server(&address), options).await;
    is_offered(&mesh).await;
    let script = json!([
        called("", "order_status", json!({ "number": "1234" })),
        { "when": "shipped yesterday", "reply": "It was shipped yesterday." },
    ]);
    mesh.groq.lines(script).await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    caller.say(QUESTION).await.unwrap();
    assert_eq!(watch.until(LIMIT, ended).await.unwrap(), (ToolOutcome::Done, String::new()));
    watch.until(LIMIT, listening).await.unwrap();
    assert_eq!(replies(&watch), ["It was shipped yesterday."]);
}

/// An HTTP server of the operator's, which fails once and then takes what it is sent: headers and body of each request.
async fn inbox() -> (String, Arc<Mutex<Vec<(String, String)>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let taken: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let (sink, mut serving) = (taken.clone(), JoinSet::new());
    serving.spawn(async move {
        'requests: loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let (head, body) = loop {
                let mut piece = [0; 4_096];
                let length = socket.read(&mut piece).await.unwrap();
                if length == 0 {
                    // Given up; it comes again.
                    continue 'requests;
                }
                request.extend_from_slice(&piece[..length]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if Some(body.len()) == length {
                    break (head.to_owned(), body.to_owned());
                }
            };
            sink.lock().unwrap().push((head, body));
            let status = if sink.lock().unwrap().len() == 1 { "503 Busy" } else { "204 Taken" };
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, taken, serving)
}

#[tokio::test]
async fn a_caller_leaves_a_message_which_is_kept_and_told_of() {
    for door in DOORS {
        let (url, taken, _serving) = inbox().await;
        let options = Options::default()
            .with("MESSAGE_WEBHOOK_URL", &url)
            .with("MESSAGE_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let mesh = assisted(door, &with_tools("'take_message'"), options).await;
        let asked = called("", "take_message", json!({ "prompt": "Please leave your message." }));
        mesh.groq.lines(json!([asked])).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        caller.say(QUESTION).await.unwrap();
        assert_eq!(
            watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap(),
            "Please leave your message."
        );
        watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
        // What he says from now on is his message, whatever it is.
        mesh.groq.script(&[(QUESTION, "Thank you, I will pass it on.")]).await.unwrap();
        let spoken = caller.say("please call me back").await.unwrap();
        let recordings = watch.until(LIMIT, left).await.unwrap();
        let said = watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
        assert_eq!(said, "Thank you, I will pass it on.", "{door}");
        let wav = loopback_client().get(&recordings[0]).send().await.unwrap().error_for_status().unwrap();
        let heard = voice_audio::wav::read(&wav.bytes().await.unwrap()).unwrap();
        assert!(
            heard.duration() + Duration::from_millis(500) > spoken,
            "{door}: {:?} of {spoken:?}",
            heard.duration()
        );
        let posts = eventually(LIMIT, "the webhook", async || {
            let posts = taken.lock().unwrap().clone();
            (posts.len() == 2).then_some(posts)
        });
        let posts = posts.await.unwrap();
        assert_eq!(posts[0], posts[1], "the same again, until it is taken");
        let body: Value = serde_json::from_str(&posts[1].1).unwrap();
        assert_eq!((&body["type"], &body["data"]["call_id"]), (&json!("message.left"), &json!(call_id)));
        assert_eq!(body["data"]["recording_urls"], json!(recordings));
        assert_eq!(body["data"]["caller_number"], "+15551110000");
        let head = posts[1].0.to_lowercase();
        assert!(head.contains("webhook-id: ") && head.contains("webhook-signature: v1,"), "{head}");
        assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn whoever_hangs_up_has_left_his_message_all_the_same() {
    for door in DOORS {
        let mesh = assisted(door, &with_tools("'take_message'"), Options::default()).await;
        let asked = called("", "take_message", json!({ "prompt": "Please leave your message." }));
        mesh.groq.lines(json!([asked])).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        caller.say(QUESTION).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
        caller.say("please call me back as soon as you can").await.unwrap();
        watch.until(LIMIT, |event| matches!(event, Event::SpeechStarted(_)).then_some(())).await.unwrap();
        caller.hang_up().await.unwrap();
        let recordings = watch.until(LIMIT, left).await.unwrap();
        assert_eq!(recordings.len(), 1, "{door}");
        watch.to_end(LIMIT).await.unwrap();
    }
}

fn left(event: &Event) -> Option<Vec<String>> {
    match event {
        Event::MessageLeft(left) => Some(left.recording_urls.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_number_calls_only_as_often_as_it_may() {
    let file = "[default]\nmax_calls_per_caller = 1\nmax_calls_per_caller_hour = 2\n";
    let mesh = assisted("recording", file, Options::default()).await;
    let (first, mut watch) = greeted(&mesh).await;
    for _ in 0..2 {
        let (second, mut turned_away) = rung(&mesh).await;
        turned_away.until(LIMIT, started(PlaybackKind::Busy)).await.unwrap();
        turned_away.to_end(LIMIT).await.unwrap();
        drop(second);
    }
    first.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    let (again, mut watch) = greeted(&mesh).await;
    again.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    let (_often, mut turned_away) = rung(&mesh).await;
    turned_away.until(LIMIT, started(PlaybackKind::Busy)).await.unwrap();
    let stranger = mesh.phone.ring_from("+15551110001", "+15552220000", CONTEXT).await.unwrap();
    let call_id = eventually(LIMIT, "the stranger's call", async || {
        let relay = mesh.relay().await.unwrap().list_calls(ListCallsRequest::default()).await.unwrap();
        let calls = relay.into_inner().calls;
        calls.into_iter().find(|call| call.caller_number == "+15551110001").map(|call| call.call_id)
    });
    let mut watch = mesh.watch(&call_id.await.unwrap()).await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Greeting)).await.unwrap();
    drop(stranger);
}
