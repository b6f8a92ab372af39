//! `WorkerService`: parse, ask the domain, convert.

mod convert;
mod live;
mod status;

use futures::{StreamExt as _, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming};
use voice_jobs::Jobs;
use voice_proto::worker::v1::{self as pb, worker_service_server::WorkerService};
use voice_server::status::into_status;

pub(crate) use self::live::Live;
use crate::error::Error;

/// The API of turns.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    jobs: Jobs,
    live: Live,
}

impl Api {
    pub(crate) fn new(jobs: Jobs, live: Live) -> Self {
        Self { jobs, live }
    }
}

#[tonic::async_trait]
impl WorkerService for Api {
    type TranscribeStream = BoxStream<'static, Result<pb::TranscribeResponse, Status>>;
    type ProcessTurnStream = BoxStream<'static, Result<pb::ProcessTurnResponse, Status>>;
    type WatchJobStream = BoxStream<'static, Result<pb::WatchJobResponse, Status>>;

    async fn transcribe(
        &self,
        request: Request<Streaming<pb::TranscribeRequest>>,
    ) -> Result<Response<Self::TranscribeStream>, Status> {
        let mut requests = request.into_inner();
        let config = live::transcribe_config(&mut requests).await?;
        Ok(Response::new(self.live.transcribe(config, requests).boxed()))
    }

    async fn process_turn(
        &self,
        request: Request<Streaming<pb::ProcessTurnRequest>>,
    ) -> Result<Response<Self::ProcessTurnStream>, Status> {
        let mut requests = request.into_inner();
        let config = live::turn_config(&mut requests).await?;
        Ok(Response::new(self.live.process(config, requests).boxed()))
    }

    async fn create_job(
        &self,
        request: Request<pb::CreateJobRequest>,
    ) -> Result<Response<pb::CreateJobResponse>, Status> {
        let job = convert::to_new_job(request.into_inner())?;
        self.jobs.enqueue(&job).await.map_err(Error::from)?;
        Ok(Response::new(pb::CreateJobResponse { job: Some(convert::to_job(job.id, None)) }))
    }

    async fn get_job(
        &self,
        request: Request<pb::GetJobRequest>,
    ) -> Result<Response<pb::GetJobResponse>, Status> {
        let job_id = convert::job_id(request.into_inner().job_id)?;
        let status = self.jobs.status(&job_id).await.map_err(Error::from)?;
        if status.is_none() {
            self.find(&job_id).await?;
        }
        Ok(Response::new(pb::GetJobResponse { job: Some(convert::to_job(job_id, status)) }))
    }

    async fn watch_job(
        &self,
        request: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let convert::WatchJob { job_id, after } = request.into_inner().try_into()?;
        self.find(&job_id).await?;
        let events = self.jobs.watch(&job_id, after).map(|event| match event {
            Ok(event) => Ok(pb::WatchJobResponse { event: Some(convert::to_event(event)) }),
            Err(error) => Err(into_status(&Error::from(error))),
        });
        Ok(Response::new(events.boxed()))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::CancelJobResponse>, Status> {
        let job_id = convert::job_id(request.into_inner().job_id)?;
        self.jobs.revoke(&job_id).await.map_err(Error::from)?;
        Ok(Response::new(pb::CancelJobResponse {}))
    }

    async fn get_queue_stats(
        &self,
        _: Request<pb::GetQueueStatsRequest>,
    ) -> Result<Response<pb::GetQueueStatsResponse>, Status> {
        let stats = self.jobs.stats().await.map_err(Error::from)?;
        Ok(Response::new(pb::GetQueueStatsResponse { stats: Some(convert::to_stats(&stats)) }))
    }

    async fn list_dead_jobs(
        &self,
        request: Request<pb::ListDeadJobsRequest>,
    ) -> Result<Response<pb::ListDeadJobsResponse>, Status> {
        let convert::Page { oldest, size } = request.into_inner().try_into()?;
        let dead = self.jobs.dead(oldest, size).await.map_err(Error::from)?;
        let left = dead.last().map_or(0, |last| last.older);
        Ok(Response::new(pb::ListDeadJobsResponse {
            dead_jobs: dead.into_iter().map(convert::to_dead_job).collect(),
            next_page_token: if left > 0 { left.to_string() } else { String::new() },
        }))
    }

    async fn requeue_dead_job(
        &self,
        request: Request<pb::RequeueDeadJobRequest>,
    ) -> Result<Response<pb::RequeueDeadJobResponse>, Status> {
        let pb::RequeueDeadJobRequest { dead_job_id } = request.into_inner();
        if !self.jobs.requeue(&dead_job_id).await.map_err(Error::from)? {
            return Err(Error::DeadJobNotFound(dead_job_id).into());
        }
        Ok(Response::new(pb::RequeueDeadJobResponse {}))
    }
}

impl Api {
    async fn find(&self, job_id: &str) -> Result<(), Error> {
        if self.jobs.exists(job_id).await? { Ok(()) } else { Err(Error::JobNotFound(job_id.to_owned())) }
    }
}
