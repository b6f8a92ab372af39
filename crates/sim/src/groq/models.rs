//! `GET /models` and `GET /models/{id}`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    answer::{Answer, before},
    envelope::Refusal,
    journal::{Entry, Service},
    state::Sim,
};

pub(super) async fn list(State(sim): State<Arc<Sim>>, Extension(entry): Extension<Entry>) -> Response {
    let fault = sim.faults.take(Service::Models, "");
    entry.note("fault", json!(fault));
    if let Some(response) = before(fault.as_ref(), "application/json").await {
        return response;
    }
    let data: Vec<Value> = sim.models.iter().map(|id| describe(id)).collect();
    Answer::json(&json!({"object": "list", "data": data})).send(fault.as_ref())
}

pub(super) async fn find(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let model = sim.models.iter().find(|model| **model == id).ok_or_else(|| Refusal::unknown_model(&id))?;
    Ok(axum::Json(describe(model)).into_response())
}

fn describe(id: &str) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": 1_754_408_224,
        "owned_by": id.split_once('/').map_or("Groq", |(owner, _)| owner),
        "active": true,
        "context_window": 131_072,
        "public_apps": null,
        "max_completion_tokens": 65_536,
    })
}
