//! `POST /webhooks/signalwire/…`: what the telephony provider asks and tells.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{OriginalUri, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};

use super::Edge;
use crate::{
    problem::Problem,
    webhooks::{Received, Webhook},
};

/// `POST /webhooks/signalwire/voice`: what a call is to do, as cXML.
pub(crate) async fn voice(
    State(edge): State<Arc<Edge>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let webhook = take(&edge, &uri, &headers, &body)?;
    let document = edge.legs.answer(&webhook).await?;
    Ok(([(header::CONTENT_TYPE, "text/xml")], document).into_response())
}

/// `POST /webhooks/signalwire/stream`: how a media stream is.
pub(crate) async fn stream(
    State(edge): State<Arc<Edge>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(), Problem> {
    let webhook = take(&edge, &uri, &headers, &body)?;
    let event = webhook.fields.get("StreamEvent").map_or("", String::as_str);
    let event = match event {
        "stream-started" => "started",
        "stream-stopped" => "stopped",
        "stream-error" => {
            let error = webhook.fields.get("StreamError");
            tracing::warn!(
                error,
                "the telephony provider cannot stream a call; is PUBLIC_BASE_URL reachable?"
            );
            "error"
        }
        _ => "other",
    };
    metrics::counter!("stream_status_total", "event" => event).increment(1);
    Ok(())
}

fn take(edge: &Edge, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Webhook, Problem> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    edge.webhooks.take(Received { headers, path, body })
}
