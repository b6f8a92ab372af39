//! `GET /media/{token}`: the media WebSocket. The token may stand in a bearer header instead, at `/media`.

use std::sync::Arc;

use axum::{
    extract::{
        Path, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, header},
    response::Response,
};
use voice_server::status::reason::OVERLOADED;

use super::Edge;
use crate::{problem::Problem, reason::WEBSOCKET_EXPECTED};

pub(crate) async fn by_path(
    State(edge): State<Arc<Edge>>,
    Path(token): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    begin(&edge, Some(token), upgrade)
}

pub(crate) async fn by_header(
    State(edge): State<Arc<Edge>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    begin(&edge, token.map(|(_, token)| token.trim().to_owned()), upgrade)
}

fn begin(
    edge: &Edge,
    token: Option<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let token = token.unwrap_or_default();
    let read = edge.media.verify(&token).map_err(|refused| Problem::of_error(&refused))?;
    let upgrade = upgrade.map_err(|rejection| Problem::new(WEBSOCKET_EXPECTED, rejection.body_text()))?;
    let place = edge.media.place().ok_or_else(|| Problem::of(OVERLOADED, "too many media sockets"))?;
    Ok(edge.media.begin(upgrade, place, token, read.relay_addr))
}
