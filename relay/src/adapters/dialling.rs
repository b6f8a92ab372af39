//! Before there is a call: a telephone rings at our wish.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinSet};
use voice_call::{DialFailure, Event};
use voice_ledger::Away;
use voice_signalwire::{CallEvent, CallState, Client, DialEvent, Error, Leg, NotReached};

use super::trunk::Platform;
use crate::{
    kept::{Claim, KeptLeg, Page},
    ports::{LineCommand, LineEvent},
};

/// Whom to call, and how.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    /// By which the platform's events about it are known.
    pub tag: String,
    /// The number to call from: one of ours.
    pub from: String,
    /// The number to call.
    pub to: String,
    /// How long it may ring.
    pub ring: Duration,
    /// The right to dial, where others know of the request.
    pub claim: Option<Claim>,
}

/// Why nothing rings.
#[derive(Debug, thiserror::Error)]
enum NotDialled {
    #[error("another call was placed for the same request meanwhile")]
    Replaced,
    #[error(transparent)]
    Unclaimed(#[from] Away),
    #[error(transparent)]
    Refused(#[from] Error),
}

/// Rings until somebody answers: then gives his leg.
pub(super) async fn ring(
    client: &Client,
    dial: &Dial,
    page: &Page,
    out: &mpsc::Sender<LineEvent>,
    commands: &mut mpsc::Receiver<LineCommand>,
    platform: &mut mpsc::Receiver<Platform>,
) -> Option<Leg> {
    let mut leg: Option<Leg> = None;
    let mut is_given_up = false;
    let mut work: JoinSet<Result<(), NotDialled>> = JoinSet::new();
    let tell = async |event: Event| {
        let _ = out.send(LineEvent::Call(event)).await;
    };
    let failure = loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(LineCommand::Dial) => {
                    work.spawn(dialled(client.clone(), dial.clone()));
                }
                Some(LineCommand::HangUp) => {
                    is_given_up = true;
                    if let Some(leg) = &leg {
                        work.spawn(cancelled(client.clone(), leg.clone()));
                    }
                }
                // Nothing else has a meaning before the answer.
                Some(_) => {}
                None => {
                    if let Some(leg) = &leg {
                        let _ = tokio::time::timeout(Duration::from_secs(2), client.end(leg, "cancel")).await;
                    }
                    return None;
                }
            },
            told = platform.recv() => match told {
                Some(
                    Platform::Event { event: CallEvent::NotReached(why), .. }
                    | Platform::Dial { event: DialEvent::Failed(why), .. },
                ) => break to_failure(why),
                Some(Platform::Event { event: CallEvent::State(CallState::Ended), .. }) => {
                    break DialFailure::Failed;
                }
                Some(Platform::Event { leg: ringing, .. }) => {
                    // Its id is known only now.
                    page.update(|kept| kept.leg = Some(KeptLeg::from(&ringing)));
                    if leg.replace(ringing.clone()).is_none() && is_given_up {
                        work.spawn(cancelled(client.clone(), ringing));
                    }
                }
                Some(Platform::Dial { event: DialEvent::Answered(answered), .. }) if is_given_up => {
                    work.spawn(cancelled(client.clone(), answered.clone()));
                    leg = Some(answered);
                }
                Some(Platform::Dial { event: DialEvent::Answered(answered), .. }) => {
                    tell(Event::Answered).await;
                    return Some(answered);
                }
                // What it comes to is told after that, or the call's own deadline for the ringing stands.
                Some(Platform::Lost) => {
                    let _ = out.send(LineEvent::Degraded("LINE_LOST")).await;
                }
                Some(Platform::Restored) => {
                    let _ = out.send(LineEvent::Degraded("LINE_RESTORED")).await;
                }
                None => return None,
            },
            Some(done) = work.join_next() => {
                if let Ok(Err(error)) = done && !is_given_up {
                    tracing::warn!(%error, "a call could not be placed");
                    break DialFailure::Failed;
                }
            }
        }
    };
    tell(Event::DialFailed { reason: failure }).await;
    None
}

async fn dialled(client: Client, dial: Dial) -> Result<(), NotDialled> {
    let Dial { tag, from, to, ring, claim } = dial;
    if let Some(claim) = claim
        && !claim.take().await?
    {
        return Err(NotDialled::Replaced);
    }
    Ok(client.dial(&tag, &from, &to, ring).await?)
}

async fn cancelled(client: Client, leg: Leg) -> Result<(), NotDialled> {
    Ok(client.end(&leg, "cancel").await?)
}

fn to_failure(why: NotReached) -> DialFailure {
    match why {
        NotReached::Busy => DialFailure::Busy,
        NotReached::NoAnswer => DialFailure::NoAnswer,
        NotReached::Other => DialFailure::Failed,
    }
}
