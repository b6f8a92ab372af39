//! Before there is a call: a telephone rings at our wish.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinSet};
use voice_call::{DialFailure, Event};
use voice_signalwire::{CallEvent, CallState, Client, DialEvent, Error, Leg, NotReached};

use super::trunk::Platform;
use crate::{
    kept::{KeptLeg, Page},
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
    let mut work: JoinSet<Result<(), Error>> = JoinSet::new();
    let tell = async |event: Event| {
        let _ = out.send(LineEvent::Call(event)).await;
    };
    let failure = loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(LineCommand::Dial) => {
                    let Dial { tag, from, to, ring } = dial;
                    work.spawn(client.dial(tag, from, to, *ring));
                }
                Some(LineCommand::HangUp) => {
                    is_given_up = true;
                    if let Some(leg) = &leg {
                        work.spawn(cancelled(client, leg));
                    }
                }
                // Nothing else has a meaning before the answer.
                Some(_) => {}
                None => {
                    if let Some(leg) = &leg {
                        let _ = tokio::time::timeout(Duration::from_secs(2), cancelled(client, leg)).await;
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
                        work.spawn(cancelled(client, &ringing));
                    }
                }
                Some(Platform::Dial { event: DialEvent::Answered(answered), .. }) if is_given_up => {
                    work.spawn(cancelled(client, &answered));
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

fn cancelled(client: &Client, leg: &Leg) -> voice_signalwire::Answer {
    client.end(leg, "cancel")
}

fn to_failure(why: NotReached) -> DialFailure {
    match why {
        NotReached::Busy => DialFailure::Busy,
        NotReached::NoAnswer => DialFailure::NoAnswer,
        NotReached::Other => DialFailure::Failed,
    }
}
