//! All instances of one service, and the choice among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
};

use super::{
    Failure, Peer,
    addrs::{Place, Target},
    member::{Member, Rank},
};
use crate::tls::Tls;

/// Names are looked up again so often.
const LOOKUP_EVERY: Duration = Duration::from_secs(5);

/// For a name that nobody has looked up yet.
const FIRST_LOOKUP: Duration = Duration::from_secs(2);

/// For instances of which none has said a word yet. Only the first requests of a process wait.
const FIRST_WORD: Duration = Duration::from_millis(250);

type Members = Arc<[Arc<Member>]>;

/// All instances of one service.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) peer: Peer,
    members: watch::Receiver<Members>,
    news: Arc<Notify>,
    /// Ends with the pool.
    _keeper: JoinSet<()>,
}

/// Keeps the list of instances, and follows the health of each.
struct Keeper {
    peer: Peer,
    targets: Vec<Target>,
    tls: Tls,
    news: Arc<Notify>,
    sender: watch::Sender<Members>,
    known: BTreeMap<Place, (Arc<Member>, AbortHandle)>,
    tending: JoinSet<()>,
}

impl Pool {
    pub(super) fn open(peer: Peer, targets: Vec<Target>, tls: Tls) -> anyhow::Result<Self> {
        let (mut keeper, members) = Keeper::new(peer, targets, tls);
        let news = keeper.news.clone();
        // What is an address needs nobody to look it up. What cannot be used is told at the start.
        let places = keeper.targets.iter().filter_map(Target::place).collect();
        keeper.are_now(&places)?;
        let mut owner = JoinSet::new();
        owner.spawn(keeper.run());
        Ok(Self { peer, members, news, _keeper: owner })
    }

    /// The less busy of two of the best instances, by chance; one that was `tried` only if there is no other.
    pub(super) async fn pick(&self, tried: &[Arc<Member>]) -> Result<Arc<Member>, Failure> {
        let members = self.members().await?;
        let give_up = tokio::time::Instant::now() + FIRST_WORD;
        loop {
            let news = self.news.notified();
            let (rank, best) = best(&members, tried);
            if rank != Rank::Unknown || members.len() == 1 || !tried.is_empty() {
                return Ok(less_busy(&best));
            }
            if tokio::time::timeout_at(give_up, news).await.is_err() {
                return Ok(less_busy(&best));
            }
        }
    }

    /// Whether there is an instance that was not tried and says that it serves.
    pub(super) fn has_other(&self, tried: &[Arc<Member>]) -> bool {
        let now = Instant::now();
        let members = self.members.borrow();
        members.iter().any(|member| !is_among(member, tried) && member.rank(now) == Rank::Serving)
    }

    async fn members(&self) -> Result<Members, Failure> {
        let mut members = self.members.clone();
        let some = tokio::time::timeout(FIRST_LOOKUP, members.wait_for(|members| !members.is_empty())).await;
        match some {
            Ok(Ok(members)) => Ok(members.clone()),
            Ok(Err(_)) | Err(_) => Err(Failure::Unreachable(self.peer)),
        }
    }
}

fn is_among(member: &Arc<Member>, tried: &[Arc<Member>]) -> bool {
    tried.iter().any(|one| Arc::ptr_eq(one, member))
}

/// Those of the best rank, among which there is at least one.
fn best(members: &Members, tried: &[Arc<Member>]) -> (Rank, Vec<Arc<Member>>) {
    let now = Instant::now();
    let ranked = |is_wanted: &dyn Fn(&Arc<Member>) -> bool| {
        let mut best: (Rank, Vec<Arc<Member>>) = (Rank::Away, Vec::new());
        for member in members.iter().filter(|member| is_wanted(member)) {
            let rank = member.rank(now);
            if rank < best.0 {
                best = (rank, Vec::new());
            }
            if rank == best.0 {
                best.1.push(member.clone());
            }
        }
        best
    };
    let others = ranked(&|member| !is_among(member, tried));
    if others.1.is_empty() { ranked(&|_| true) } else { others }
}

fn less_busy(best: &[Arc<Member>]) -> Arc<Member> {
    let one = &best[fastrand::usize(..best.len())];
    let other = &best[fastrand::usize(..best.len())];
    if other.load() < one.load() { other.clone() } else { one.clone() }
}

impl Keeper {
    fn new(peer: Peer, targets: Vec<Target>, tls: Tls) -> (Self, watch::Receiver<Members>) {
        let (sender, members) = watch::channel(Members::from([]));
        let (news, known, tending) = (Arc::default(), BTreeMap::new(), JoinSet::new());
        (Self { peer, targets, tls, news, sender, known, tending }, members)
    }

    async fn run(mut self) {
        if self.targets.iter().all(|target| target.place().is_some()) {
            while self.tending.join_next().await.is_some() {}
            return;
        }
        let mut found: Vec<BTreeSet<Place>> = vec![BTreeSet::new(); self.targets.len()];
        loop {
            let lookups = self.targets.iter().map(Target::look_up);
            for (places, answer) in found.iter_mut().zip(futures::future::join_all(lookups).await) {
                // What was known of a name stays true while nobody can tell.
                if let Some(answer) = answer.filter(|answer| !answer.is_empty()) {
                    *places = answer;
                }
            }
            let places = found.iter().flatten().cloned().collect();
            if let Err(error) = self.are_now(&places) {
                tracing::warn!(peer = self.peer.name(), %error, "an instance cannot be used");
            }
            tokio::time::sleep(LOOKUP_EVERY).await;
        }
    }

    /// Takes in who is new, and lets go who is not there any more.
    fn are_now(&mut self, places: &BTreeSet<Place>) -> anyhow::Result<()> {
        let is_same =
            self.known.len() == places.len() && places.iter().all(|one| self.known.contains_key(one));
        if is_same {
            return Ok(());
        }
        for place in places {
            if self.known.contains_key(place) {
                continue;
            }
            let member = Arc::new(Member::new(self.peer, place.clone(), &self.tls, self.news.clone())?);
            let tended = member.clone();
            let task = self.tending.spawn(async move { tended.tend().await });
            self.known.insert(place.clone(), (member, task));
        }
        self.known.retain(|place, (_, task)| {
            let stays = places.contains(place);
            if !stays {
                task.abort();
            }
            stays
        });
        let members: Vec<_> = self.known.values().map(|(member, _)| member.clone()).collect();
        self.sender.send_replace(members.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_name_stands_for_is_followed_as_instances_come_and_go() {
        let (mut keeper, members) = Keeper::new(Peer::Tts, Vec::new(), Tls::default());
        let at = |port: u16| Place { addr: ([127, 0, 0, 1], port).into(), host: "tts".into(), is_tls: false };
        for ports in [&[1][..], &[1, 2], &[2], &[2, 3]] {
            let before = members.borrow().clone();
            let places: BTreeSet<_> = ports.iter().copied().map(at).collect();
            keeper.are_now(&places).unwrap();
            let now = members.borrow().clone();
            assert_eq!(now.iter().map(|member| member.place.clone()).collect::<BTreeSet<_>>(), places);
            for member in before.iter().filter(|member| places.contains(&member.place)) {
                assert!(is_among(member, &now), "one that stays keeps its connection");
            }
            let gone = before.iter().filter(|member| !places.contains(&member.place)).count();
            for _ in 0..gone {
                assert!(keeper.tending.join_next().await.unwrap().unwrap_err().is_cancelled());
            }
        }
    }
}
