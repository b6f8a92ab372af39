//! Which models a server offers.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::{
    Error, Groq, Service, Stage,
    body::{self, snippet},
    client::answer,
    lenient,
};

/// One model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Model {
    /// The name that requests use.
    pub id: String,
    /// Tokens of prompt and reply together, if the server says.
    #[serde(default, deserialize_with = "lenient::count")]
    pub context_window: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Model>,
}

impl Groq {
    /// Lists the models of the server that does `service`.
    ///
    /// # Errors
    /// Any [`Error`] but those of streams.
    pub async fn models(&self, service: Service, timeout: Duration) -> Result<Vec<Model>, Error> {
        let deadline = Instant::now() + timeout;
        let response = answer(self.get(service, "models"), deadline, Stage::Answer).await?;
        let body =
            timeout_at(deadline, body::read(response)).await.map_err(|_| Error::Timeout(Stage::Answer))??;
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| Error::Nonsense(snippet(&body)))?;
        Ok(answer.data)
    }
}
