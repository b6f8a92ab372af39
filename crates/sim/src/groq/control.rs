//! `/sim/*`: steering the simulator, and asking what it saw.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    faults::Fault, grammar::Grammar, journal::Service, script::Line, settings::Settings, state::Sim,
};

type Refused = (StatusCode, String);

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

pub(super) fn router() -> Router<Arc<Sim>> {
    Router::new()
        .route("/settings", get(settings).put(set_settings))
        .route("/grammar", put(set_grammar))
        .route("/script", put(set_script))
        .route("/faults", put(set_faults).delete(clear_faults))
        .route("/requests", get(requests).delete(clear_requests))
}

async fn settings(State(sim): State<Arc<Sim>>) -> Json<Settings> {
    Json(sim.settings())
}

async fn set_settings(State(sim): State<Arc<Sim>>, body: String) -> Result<Json<Settings>, Refused> {
    let changes: BTreeMap<String, Value> = parse(&body)?;
    let mut settings = json!(sim.settings());
    for (name, value) in changes {
        settings[name] = value;
    }
    let settings: Settings = serde_json::from_value(settings).map_err(refuse)?;
    sim.set_settings(settings.clone());
    Ok(Json(settings))
}

async fn set_grammar(State(sim): State<Arc<Sim>>, body: String) -> Result<StatusCode, Refused> {
    let grammar = if body.trim_start().starts_with('[') {
        Grammar::new(parse::<Vec<String>>(&body)?)
    } else {
        Grammar::from_lines(&body)
    };
    sim.set_grammar(grammar);
    Ok(StatusCode::NO_CONTENT)
}

async fn set_script(State(sim): State<Arc<Sim>>, body: String) -> Result<StatusCode, Refused> {
    sim.set_script(parse::<Vec<Line>>(&body)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn set_faults(State(sim): State<Arc<Sim>>, body: String) -> Result<StatusCode, Refused> {
    for (service, fault) in parse::<BTreeMap<Service, Option<Fault>>>(&body)? {
        sim.faults.set(service, fault);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(sim): State<Arc<Sim>>) -> StatusCode {
    sim.faults.clear();
    StatusCode::NO_CONTENT
}

async fn requests(State(sim): State<Arc<Sim>>, Query(After { after }): Query<After>) -> Json<Value> {
    Json(json!({ "requests": sim.journal.after(after) }))
}

async fn clear_requests(State(sim): State<Arc<Sim>>) -> StatusCode {
    sim.journal.clear();
    StatusCode::NO_CONTENT
}

fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, Refused> {
    serde_json::from_str(body).map_err(refuse)
}

fn refuse(error: impl std::fmt::Display) -> Refused {
    (StatusCode::BAD_REQUEST, format!("{error}\n"))
}
