//! Whether the gateway lives, whether what it needs answers, and its metrics.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde_json::{Map, Value};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::Edge;

const CHECK_DEADLINE: Duration = Duration::from_millis(500);

pub(crate) async fn healthz() -> &'static str {
    "ok"
}

pub(crate) async fn readyz(State(edge): State<Arc<Edge>>) -> impl IntoResponse {
    let checks = edge.dependencies.iter().map(|(name, channel)| async move {
        let mut client = HealthClient::new(channel.clone());
        let answer = tokio::time::timeout(CHECK_DEADLINE, client.check(HealthCheckRequest::default())).await;
        let is_up = matches!(answer, Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving);
        (*name, is_up)
    });
    let states = futures::future::join_all(checks).await;
    let is_ready = states.iter().all(|(_, is_up)| *is_up);
    let body: Map<String, Value> = states
        .into_iter()
        .map(|(name, is_up)| (name.to_owned(), if is_up { "up" } else { "down" }.into()))
        .collect();
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

pub(crate) async fn metrics() -> String {
    voice_server::telemetry::render_metrics()
}
