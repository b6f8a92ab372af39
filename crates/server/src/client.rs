//! Clients between services: lazy connections that notice a silent partition, carry the mesh's token and the trace, and
//! say `DEADLINE_EXCEEDED` when a request's time is up.

mod in_time;

use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport,
};

pub use self::in_time::InTime;
use crate::trace::TraceContext;

/// A client's connection to a service.
pub type Channel = InterceptedService<InTime<transport::Channel>, Outgoing>;

/// Adds the token and the trace to every request.
#[derive(Clone, Debug)]
pub struct Outgoing {
    authorization: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Outgoing {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        if let Some(context) = TraceContext::current()
            && let Ok(value) = context.child().to_string().parse()
        {
            request.metadata_mut().insert("traceparent", value);
        }
        Ok(request)
    }
}

/// Connects lazily to a service. `addrs` is one address, or several separated by commas, among which requests are
/// balanced; a missing scheme means `http://`.
///
/// # Errors
/// When an address or the token cannot be written into a request.
pub fn channel(addrs: &str, mesh_token: Option<&SecretString>) -> anyhow::Result<Channel> {
    let endpoints = addrs.split(',').map(str::trim).filter(|addr| !addr.is_empty()).map(endpoint);
    let endpoints = endpoints.collect::<anyhow::Result<Vec<_>>>()?;
    let channel = match endpoints.as_slice() {
        [] => anyhow::bail!("no address is given"),
        [one] => one.connect_lazy(),
        _ => transport::Channel::balance_list(endpoints.into_iter()),
    };
    let authorization = mesh_token
        .map(|token| {
            let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret())
                .parse()
                .context("MESH_TOKEN is not printable ASCII")?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        })
        .transpose()?;
    Ok(InterceptedService::new(InTime::new(channel), Outgoing { authorization }))
}

fn endpoint(addr: &str) -> anyhow::Result<transport::Endpoint> {
    let uri = if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") };
    let endpoint =
        transport::Endpoint::from_shared(uri).with_context(|| format!("\"{addr}\" is not an address"))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true))
}
