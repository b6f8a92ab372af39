//! Makes a client say of a deadline what a server says of it: the transport calls it CANCELLED, without a reason.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{TimeoutExpired, body::Body};
use tower::Service;

use crate::{layers::DeadlinePassed, status::into_status};

/// A channel whose time-outs are `DEADLINE_EXCEEDED`.
#[derive(Clone, Debug)]
pub struct InTime<S> {
    inner: S,
}

impl<S> InTime<S> {
    /// Wraps a channel.
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S> Service<Request<Body>> for InTime<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(|error| told(error.into())) })
    }
}

fn told(error: BoxError) -> BoxError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(known) = cause {
        if known.is::<TimeoutExpired>() {
            return Box::new(into_status(&DeadlinePassed));
        }
        cause = known.source();
    }
    error
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tonic::Code;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use crate::{client::channel, status::reason_of};

    #[tokio::test]
    async fn a_server_that_never_answers_is_a_deadline_exceeded_with_its_reason() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = channel(&silent.local_addr().unwrap().to_string(), None).unwrap();
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.set_timeout(Duration::from_millis(50));
        let status = HealthClient::new(channel).check(request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason_of(&status).as_deref()),
            (Code::DeadlineExceeded, Some("DEADLINE_EXCEEDED"))
        );
    }
}
