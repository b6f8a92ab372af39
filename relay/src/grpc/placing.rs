//! Placing a call: once for each request, whichever relay is asked.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tonic::{Code, Request, Status};
use uuid::Uuid;
use voice_proto::relay::v1::{Call, GetCallRequest};

use super::{Api, convert};
use crate::{
    error::Error,
    outbound::{Admission, PlaceCall},
    switchboard::Order,
};

/// A call that another request is just placing is there within this.
const UNDER_WAY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

impl Api {
    pub(super) async fn place(&self, place: PlaceCall, by: Option<String>) -> Result<Call, Status> {
        let call_id = format!("{}-{}", self.peers.own_id(), Uuid::now_v7().simple());
        let now = Timestamp::now();
        let claim = match self.plan.admit(&place, &call_id, now).await? {
            Admission::New(claim) => claim,
            Admission::Again(known) => match self.placed(&known).await {
                Ok(call) => return Ok(call),
                // Whoever was to dial may have died before he did.
                Err(status) => Some(self.plan.replace(&place, &known, &call_id, now).await.ok_or(status)?),
            },
        };
        let (reply, answer) = oneshot::channel();
        let request_id = place.request_id.clone();
        let ordered = match self.order(Order::Place { call_id: call_id.clone(), place, claim, by, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(Error::Draining)),
            Err(error) => Err(error),
        };
        match ordered {
            Ok(record) => Ok(convert::to_call(&record)),
            Err(error) => {
                self.plan.give_back(&request_id, &call_id, now).await;
                Err(error.into())
            }
        }
    }

    /// A call that the same request has placed, here or at another relay.
    async fn placed(&self, call_id: &str) -> Result<Call, Status> {
        let find = async {
            loop {
                if let Some(record) = self.registry.find(call_id) {
                    return Ok(convert::to_call(&record));
                }
                if let Some(mut owner) = self.peers.owner_of(call_id).await {
                    let mut request = Request::new(GetCallRequest { call_id: call_id.to_owned() });
                    request.set_timeout(UNDER_WAY);
                    match owner.get_call(request).await {
                        Ok(answer) => {
                            let call = answer.into_inner().call;
                            return call.ok_or(Error::CallNotFound(call_id.to_owned()).into());
                        }
                        Err(status) if status.code() != Code::NotFound => return Err(status),
                        Err(_) => {}
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let found = tokio::time::timeout(UNDER_WAY, find).await;
        found.unwrap_or_else(|_| Err(Error::CallNotFound(call_id.to_owned()).into()))
    }
}
