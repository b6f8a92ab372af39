//! One request: sent, and sent again where that is harmless and there is time.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, ConnectError, Status, TimeoutExpired, body::Body, transport};
use tower::{Service as _, ServiceExt as _};

use super::{
    Failure,
    answer::Answer,
    member::{Flight, Member, Outcome},
    pool::Pool,
};
use crate::{
    methods::{self, Repeat},
    status::{chain, code_in, into_status},
    timeout,
};

/// Attempts in all.
const ATTEMPTS: usize = 3;

/// Before the same instance is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of an attempt that gave no answer.
struct Broken {
    failure: Failure,
    /// Whether the request certainly has not left this process.
    is_unsent: bool,
}

/// Sends a request until it is answered, its deadline has passed, or it must not be sent again.
pub(super) async fn send(pool: &Pool, request: Request<Body>) -> Result<Response<Body>, Status> {
    let deadline = timeout::of(request.headers()).map(|timeout| Instant::now() + timeout);
    let work = attempts(pool, request, deadline);
    let answer = match deadline {
        None => work.await,
        Some(deadline) => {
            let late = |_| Err(into_status(&Failure::Late(pool.peer)));
            tokio::time::timeout_at(deadline.into(), work).await.unwrap_or_else(late)
        }
    };
    if let Err(status) = &answer {
        let code = i32::from(status.code()).to_string();
        metrics::counter!("mesh_failures_total", "peer" => pool.peer.name(), "code" => code).increment(1);
    }
    answer
}

async fn attempts(
    pool: &Pool,
    request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let repeat = methods::find(parts.uri.path()).map_or(Repeat::Never, |method| method.repeat);
    if repeat == Repeat::Never {
        let member = pool.pick(&[]).await.map_err(|failure| into_status(&failure))?;
        let answer = attempt(pool, member, Request::from_parts(parts, body), deadline).await;
        return answer.map_err(|broken| into_status(&broken.failure));
    }
    let body = body.collect().await?.to_bytes();
    let mut tried: Vec<Arc<Member>> = Vec::new();
    loop {
        let member = pool.pick(&tried).await.map_err(|failure| into_status(&failure))?;
        if tried.iter().any(|one| Arc::ptr_eq(one, &member)) {
            tokio::time::sleep(PAUSE * tried.len() as u32).await;
        }
        tried.push(member.clone());
        let is_last = tried.len() == ATTEMPTS;
        match attempt(pool, member, again(&parts, &body, deadline), deadline).await {
            Ok(answer) if !is_last && repeat == Repeat::Freely && is_unavailable(&answer) => {
                if !pool.has_other(&tried) {
                    return Ok(answer);
                }
            }
            Ok(answer) => return Ok(answer),
            Err(Broken { failure, is_unsent }) => {
                let is_late = matches!(failure, Failure::Late(_));
                if is_last || is_late || (repeat == Repeat::Unsent && !is_unsent) {
                    return Err(into_status(&failure));
                }
            }
        }
        metrics::counter!("mesh_retries_total", "peer" => pool.peer.name()).increment(1);
    }
}

/// The same request, with what is left of its time.
fn again(parts: &Parts, body: &Bytes, deadline: Option<Instant>) -> Request<Body> {
    let mut parts = parts.clone();
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        parts.headers.insert(timeout::HEADER, timeout::value(left));
    }
    Request::from_parts(parts, Body::new(Full::new(body.clone())))
}

async fn attempt(
    pool: &Pool,
    member: Arc<Member>,
    request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Broken> {
    let mut channel = member.channel.clone();
    let mut flight = Flight::begin(member, deadline);
    let answer = match channel.ready().await {
        Ok(ready) => ready.call(request).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => {
            flight.went(match code_in(answer.headers()) {
                Code::Unavailable | Code::Internal | Code::Unknown | Code::DataLoss => Outcome::Failed,
                _ => Outcome::Answered,
            });
            let peer = pool.peer;
            Ok(answer.map(|body| Body::new(Answer::new(body, flight, deadline, peer))))
        }
        Err(error) => {
            tracing::debug!(peer = pool.peer.name(), error = %chain(&error), "no answer");
            let is_late = has::<TimeoutExpired>(&error);
            flight.went(if is_late { Outcome::Failed } else { Outcome::Broken });
            let failure = if is_late { Failure::Late(pool.peer) } else { Failure::Unreachable(pool.peer) };
            Err(Broken { failure, is_unsent: has::<ConnectError>(&error) })
        }
    }
}

fn is_unavailable(answer: &Response<Body>) -> bool {
    code_in(answer.headers()) == Code::Unavailable
}

fn has<E: Error + 'static>(error: &transport::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}
