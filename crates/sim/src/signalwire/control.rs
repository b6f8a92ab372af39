//! The control API: what a test does as the caller, what it looks at, and what it breaks.
//!
//! The table of routes is in the documentation of [`signalwire`](super).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use voice_audio::{Audio, TELEPHONE_HERTZ, decode, mulaw, wav};

use super::{
    call::{Ring, Utterance},
    faults::Faults,
    hub::{Frame, Outgoing},
    line::{self, Line},
    platform::Platform,
    recordings,
    switches::Switches,
    telephones::Telephone,
    wire,
};

/// Longest thing that a caller says at once.
const LONGEST_UTTERANCE: std::time::Duration = std::time::Duration::from_mins(10);
/// Largest WAV that is taken: ten minutes at 48 kHz.
const LARGEST_WAV: usize = 64 * 1024 * 1024;
/// Journal lines per piece of a stream.
const BATCH: usize = 256;

type Shared = State<Arc<Platform>>;

/// All routes.
pub(crate) fn router(platform: Arc<Platform>) -> Router {
    Router::new()
        .route("/recordings/{file}", get(recordings::download))
        .route("/sim/calls", get(list_calls).post(ring))
        .route("/sim/calls/{id}", get(show_call))
        .route("/sim/calls/{id}/say", post(say))
        .route("/sim/calls/{id}/digits", post(press))
        .route("/sim/calls/{id}/hangup", post(hang_up))
        .route("/sim/calls/{id}/drop_streams", post(drop_streams))
        .route("/sim/calls/{id}/heard.wav", get(heard))
        .route("/sim/calls/{id}/line.wav", get(both_sides))
        .route("/sim/calls/{id}/silences", get(silences))
        .route("/sim/events", get(events))
        .route("/sim/stats", get(stats))
        .route("/sim/faults", get(show_faults).put(set_faults))
        .route("/sim/switches", get(show_switches).put(set_switches))
        .route("/sim/telephones", get(show_telephones).put(set_telephones))
        .route("/sim/drop", post(drop_sockets))
        .route("/sim/disconnect", post(disconnect))
        .route("/sim/inject", post(inject))
        .layer(DefaultBodyLimit::max(LARGEST_WAV))
        .with_state(platform)
}

/// Why a control request is not carried out.
#[derive(Debug)]
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn find(platform: &Platform, id: &str) -> Result<Arc<Line>, Problem> {
    platform.line(id).ok_or_else(|| Problem(StatusCode::NOT_FOUND, format!("no call {id}")))
}

// --- the caller

#[derive(Debug, Deserialize)]
struct RingRequest {
    from: String,
    to: String,
    #[serde(flatten)]
    conductor: Conductor,
}

/// Who conducts a call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Conductor {
    /// A RELAY client that receives this context.
    Context(String),
    /// Documents, the first of which is here.
    VoiceUrl(String),
}

async fn ring(State(platform): Shared, Json(request): Json<RingRequest>) -> Json<Value> {
    let RingRequest { from, to, conductor } = request;
    let ring = |context| Ring { from, to, context };
    let call_id = match conductor {
        Conductor::Context(context) => line::ring(&platform, ring(context)),
        Conductor::VoiceUrl(url) => line::ring_conducted(&platform, ring(String::new()), url),
    };
    Json(json!({ "call_id": call_id }))
}

#[derive(Debug, Deserialize)]
struct SayQuery {
    #[serde(default)]
    text: String,
}

async fn say(
    State(platform): Shared,
    Path(id): Path<String>,
    Query(SayQuery { text }): Query<SayQuery>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let line = find(&platform, &id)?;
    let prepared = tokio::task::spawn_blocking(move || {
        let audio = decode::decode(&body, LONGEST_UTTERANCE)?;
        Ok::<_, voice_audio::AudioError>(Utterance::new(&audio, &text))
    });
    let utterance = prepared
        .await
        .map_err(|error| Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
        .map_err(|error| Problem(StatusCode::BAD_REQUEST, error.to_string()))?;
    let duration_ms = utterance.duration_ms() / f64::from(platform.speed);
    let mut call = line.call();
    call.say(utterance, platform.clock.now()).map_err(|why| Problem(StatusCode::CONFLICT, why.into()))?;
    Ok(Json(json!({ "duration_ms": duration_ms })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DigitsRequest {
    digits: String,
}

async fn press(
    State(platform): Shared,
    Path(id): Path<String>,
    Json(DigitsRequest { digits }): Json<DigitsRequest>,
) -> Result<Json<Value>, Problem> {
    let line = find(&platform, &id)?;
    let is_key = |digit: char| digit.is_ascii_digit() || "*#ABCD".contains(digit);
    if digits.is_empty() || !digits.chars().all(is_key) {
        return Err(Problem(StatusCode::BAD_REQUEST, "digits are 0-9 * # A-D".into()));
    }
    let mut call = line.call();
    call.press(&digits, platform.clock.now());
    line::settle(&platform, &line, &mut call);
    Ok(Json(json!({})))
}

async fn hang_up(State(platform): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let line = find(&platform, &id)?;
    let mut call = line.call();
    call.hang_up(&platform.world());
    line::settle(&platform, &line, &mut call);
    Ok(Json(json!({})))
}

/// The media sockets of a call are gone, without a close frame.
async fn drop_streams(State(platform): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let line = find(&platform, &id)?;
    let sockets: Vec<_> = line.sockets().values().cloned().collect();
    sockets.iter().for_each(|socket| socket.gone.cancel());
    Ok(Json(json!({ "dropped": sockets.len() })))
}

// --- looking

async fn list_calls(State(platform): Shared) -> Json<Value> {
    let calls: Vec<Value> = platform.lines().iter().map(|line| line.call().view()).collect();
    Json(json!({ "calls": calls }))
}

async fn show_call(State(platform): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(find(&platform, &id)?.call().view()))
}

#[derive(Debug, Deserialize)]
struct HeardQuery {
    format: Option<String>,
}

async fn heard(
    State(platform): Shared,
    Path(id): Path<String>,
    Query(HeardQuery { format }): Query<HeardQuery>,
) -> Result<Response, Problem> {
    let heard = find(&platform, &id)?.call().heard();
    let file = match format.as_deref() {
        None | Some("mulaw") => wav::write_mulaw(&heard),
        Some("pcm") => {
            wav::write_pcm16(&Audio { samples: mulaw::decode(&heard), sample_rate_hertz: TELEPHONE_HERTZ })
        }
        Some(other) => {
            return Err(Problem(StatusCode::BAD_REQUEST, format!("format is mulaw or pcm, not {other}")));
        }
    };
    Ok(wav_file(file))
}

async fn both_sides(State(platform): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(wav_file(find(&platform, &id)?.call().line()))
}

fn wav_file(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "audio/wav")], bytes).into_response()
}

#[derive(Debug, Deserialize)]
struct Window {
    #[serde(default)]
    from_ms: f64,
    to_ms: Option<f64>,
}

async fn silences(
    State(platform): Shared,
    Path(id): Path<String>,
    Query(Window { from_ms, to_ms }): Query<Window>,
) -> Result<Response, Problem> {
    let to_ms = to_ms.unwrap_or(f64::MAX);
    let silences = find(&platform, &id)?.call().silences(from_ms, to_ms);
    let silences =
        silences.ok_or_else(|| Problem(StatusCode::CONFLICT, "the call was never answered".into()))?;
    Ok(Json(silences).into_response())
}

#[derive(Debug, Deserialize)]
struct EventsQuery {
    #[serde(default)]
    after: u64,
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

async fn events(
    State(platform): Shared,
    Query(EventsQuery { after, follow }): Query<EventsQuery>,
) -> Result<Response, Problem> {
    platform.journal.after(after, 0).map_err(|dropped| {
        Problem(StatusCode::GONE, format!("events before {} are no longer kept", dropped.first))
    })?;
    let stream = async_stream::stream! {
        let mut after = after;
        let mut latest = platform.journal.watch();
        // A reader that falls so far behind that its events are gone sees its stream end.
        while let Ok(lines) = platform.journal.after(after, BATCH) {
            if !lines.is_empty() {
                after += lines.len() as u64;
                yield Ok::<_, std::convert::Infallible>(Bytes::from(lines.concat()));
                continue;
            }
            if !follow {
                return;
            }
            tokio::select! {
                () = platform.stop.cancelled() => return,
                _ = latest.wait_for(|n| *n > after) => {}
            }
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

async fn stats(State(platform): Shared) -> Json<Value> {
    let sockets = platform.hub.sockets();
    let unacked: usize = sockets.iter().map(|socket| socket.unacked().len()).sum();
    Json(json!({
        "violations": platform.violations(),
        "open_sockets": sockets.len(),
        "calls_live": platform.live_calls(),
        "unacked": unacked,
        "now_ms": platform.clock.now().at_ms,
    }))
}

// --- breaking

async fn show_faults(State(platform): Shared) -> Json<Faults> {
    Json(platform.faults.current())
}

async fn set_faults(State(platform): Shared, Json(faults): Json<Faults>) -> Result<Json<Value>, Problem> {
    platform.faults.replace(faults).map_err(|why| Problem(StatusCode::BAD_REQUEST, why))?;
    Ok(Json(json!({})))
}

async fn show_switches(State(platform): Shared) -> Json<Switches> {
    Json(platform.switches())
}

async fn set_switches(
    State(platform): Shared,
    Json(changes): Json<serde_json::Map<String, Value>>,
) -> Result<Json<Switches>, Problem> {
    let mut merged = serde_json::to_value(platform.switches()).expect("switches are plain data");
    if let Value::Object(merged) = &mut merged {
        merged.extend(changes);
    }
    let switches: Switches = serde_json::from_value(merged)
        .map_err(|error| Problem(StatusCode::BAD_REQUEST, error.to_string()))?;
    platform.set_switches(switches);
    Ok(Json(switches))
}

async fn show_telephones(State(platform): Shared) -> Json<Value> {
    Json(json!(*platform.telephones()))
}

async fn set_telephones(
    State(platform): Shared,
    Json(telephones): Json<BTreeMap<String, Telephone>>,
) -> Json<Value> {
    platform.set_telephones(Arc::new(telephones));
    Json(json!({}))
}

async fn drop_sockets(State(platform): Shared) -> Json<Value> {
    let sockets = platform.hub.sockets();
    sockets.iter().for_each(|socket| socket.gone.cancel());
    Json(json!({ "dropped": sockets.len() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DisconnectRequest {
    #[serde(default)]
    restart: bool,
}

async fn disconnect(
    State(platform): Shared,
    Json(DisconnectRequest { restart }): Json<DisconnectRequest>,
) -> Json<Value> {
    let sockets = platform.hub.sockets();
    for socket in &sockets {
        let id = uuid::Uuid::new_v4().to_string();
        let params = if restart { json!({ "restart": true }) } else { json!({}) };
        let session = {
            let mut state = socket.state();
            state.disconnect = Some((id.clone(), Instant::now()));
            state.session.clone()
        };
        let text = wire::request(&id, "signalwire.disconnect", params).to_string();
        let ack = Some((id, "signalwire.disconnect".to_owned()));
        socket.send(Outgoing::Frame(Frame { text, ack, ..Frame::default() }));
        if let Some(session) = session.filter(|_| restart) {
            platform.hub.forget(&session);
            for line in platform.lines() {
                let mut call = line.call();
                if call.owner() == Some(&session) {
                    call.disown();
                }
            }
        }
    }
    Json(json!({ "disconnected": sockets.len() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InjectRequest {
    text: String,
}

async fn inject(State(platform): Shared, Json(InjectRequest { text }): Json<InjectRequest>) -> Json<Value> {
    let sockets = platform.hub.sockets();
    for socket in &sockets {
        socket.send(Outgoing::Frame(Frame { text: text.clone(), ..Frame::default() }));
    }
    Json(json!({ "sent_to": sockets.len() }))
}
