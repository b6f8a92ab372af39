//! W3C trace context: which turn of which call a request belongs to, across services and jobs.

use std::{fmt, future::Future};

use uuid::Uuid;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The `traceparent` of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
}

impl TraceContext {
    /// Begins a trace.
    pub fn start() -> Self {
        Self { trace_id: Uuid::new_v4().as_u128(), span_id: new_span_id() }
    }

    /// Reads a `traceparent` header; anything that is not one is ignored.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        Some(Self { trace_id, span_id })
    }

    /// A new step of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// The id that joins all logs of one trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The context of the work that is being done by this task, if it has one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Does work within this context.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

fn new_span_id() -> u64 {
    (Uuid::new_v4().as_u128() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_the_wire_and_junk_is_ignored() {
        let context = TraceContext::start();
        assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        assert_eq!(context.child().trace_id(), context.trace_id());
        for junk in ["", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01", "zz"] {
            assert_eq!(TraceContext::parse(junk), None, "{junk}");
        }
    }
}
