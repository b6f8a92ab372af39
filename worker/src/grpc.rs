//! `WorkerService`: parse, ask the domain, convert.

mod convert;
mod status;

use futures::{StreamExt as _, stream::BoxStream};
use tonic::{Request, Response, Status};
use voice_jobs::Jobs;
use voice_proto::worker::v1::{WatchJobRequest, WatchJobResponse, worker_service_server::WorkerService};
use voice_server::status::into_status;

use crate::error::Error;

/// The API of turns.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    jobs: Jobs,
}

impl Api {
    pub(crate) fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }
}

#[tonic::async_trait]
impl WorkerService for Api {
    type WatchJobStream = BoxStream<'static, Result<WatchJobResponse, Status>>;

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let convert::WatchJob { job_id, after } = request.into_inner().try_into()?;
        if !self.jobs.exists(&job_id).await.map_err(Error::from)? {
            return Err(Error::JobNotFound(job_id).into());
        }
        let events = self.jobs.watch(&job_id, after).map(|event| match event {
            Ok(event) => Ok(WatchJobResponse { event: Some(convert::to_event(event)) }),
            Err(error) => Err(into_status(&Error::from(error))),
        });
        Ok(Response::new(events.boxed()))
    }
}
