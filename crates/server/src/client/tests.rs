use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tonic::{Code, server::NamedService, transport::server::TcpIncoming};
use tower::ServiceExt as _;

use super::*;
use crate::{status::reason_of, timeout};

const REPEATABLE: &str = "/voice.relay.v1.RelayService/GetCall";
const ONCE: &str = "/voice.relay.v1.RelayService/PlaceCall";
const STREAM: &str = "/voice.relay.v1.RelayService/Converse";

/// Does the same with everybody, and counts.
#[derive(Clone, Debug)]
struct Parrot {
    does: Does,
    served: Arc<AtomicUsize>,
    /// How long each one waits who asks.
    patience: Arc<Mutex<Vec<Duration>>>,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug)]
enum Does {
    Say(Code),
    /// The stream is reset without an answer.
    BreakOff,
}

impl NamedService for Parrot {
    const NAME: &'static str = "voice.relay.v1.RelayService";
}

impl Service<Request<Body>> for Parrot {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.patience.lock().unwrap().extend(timeout::of(request.headers()));
        let does = self.does;
        Box::pin(async move {
            match does {
                Does::Say(code) => Ok(Status::new(code, "").into_http()),
                Does::BreakOff => panic!("the request is broken off"),
            }
        })
    }
}

/// An instance that can be drained.
struct Instance {
    addr: SocketAddr,
    parrot: Parrot,
    stop: Option<oneshot::Sender<()>>,
    _server: JoinSet<()>,
}

impl Instance {
    async fn start(says: Code) -> Self {
        Self::at("127.0.0.1:0", Does::Say(says)).await
    }

    async fn at(addr: &str, does: Does) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let parrot = Parrot { does, served: Arc::default(), patience: Arc::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let (reporter, health) = tonic_health::server::health_reporter();
        let server = tonic::transport::Server::builder()
            .add_service(health)
            .add_service(parrot.clone())
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), async move {
                let _ = stopped.await;
                reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
            });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.unwrap() });
        Self { addr, parrot, stop: Some(stop), _server: tasks }
    }

    fn served(&self) -> usize {
        self.parrot.served.load(Ordering::Relaxed)
    }
}

fn to(addrs: &str) -> Channel {
    channel(Peer::Relay, addrs, &ClientConfig::default()).unwrap()
}

async fn ask(channel: &Channel, path: &str, timeout: &str) -> Result<Code, Status> {
    let request = Request::builder().uri(path).header("grpc-timeout", timeout).body(Body::empty()).unwrap();
    channel.clone().oneshot(request).await.map(|answer| crate::status::code_in(answer.headers()))
}

#[tokio::test]
async fn requests_are_spread_over_all_instances() {
    let (one, two) = (Instance::start(Code::Ok).await, Instance::start(Code::Ok).await);
    let channel = to(&format!("{},{}", one.addr, two.addr));
    // For as long as one of them has not been connected to, the other one is asked.
    let both = async {
        while one.served() == 0 || two.served() == 0 {
            assert_eq!(ask(&channel, REPEATABLE, "5S").await.unwrap(), Code::Ok);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
}

#[tokio::test]
async fn a_name_is_looked_up_and_an_instance_that_is_not_there_is_passed_over() {
    let one = Instance::start(Code::Ok).await;
    // Of the addresses that this name stands for, one at most is served.
    let channel = to(&format!("localhost:{}", one.addr.port()));
    for path in [STREAM, REPEATABLE, STREAM] {
        assert_eq!(ask(&channel, path, "5S").await.unwrap(), Code::Ok);
    }
    let nobody = to("no-such-name.invalid:1");
    let status = ask(&nobody, REPEATABLE, "60S").await.unwrap_err();
    assert_eq!(reason_of(&status).as_deref(), Some("SERVICE_UNAVAILABLE"), "{status}");
}

#[tokio::test]
async fn what_one_instance_cannot_do_another_does_if_it_may_be_repeated() {
    let (well, ill) = (Instance::start(Code::Ok).await, Instance::start(Code::Unavailable).await);
    let channel = to(&format!("{},{}", well.addr, ill.addr));
    for _ in 0..20 {
        assert_eq!(ask(&channel, REPEATABLE, "5S").await.unwrap(), Code::Ok);
    }
    let before = ill.served();
    assert!(before <= FEW, "one that fails again and again is spared, but was asked {before} times");
    let alone = to(&ill.addr.to_string());
    assert_eq!(ask(&alone, REPEATABLE, "5S").await.unwrap(), Code::Unavailable);
    assert_eq!(ill.served(), before + 1, "there is no other one that could do better");
}

/// Failures until an instance is spared, and as many again as it may be tried later.
const FEW: usize = 10;

#[tokio::test]
async fn what_broke_off_is_sent_again_only_if_that_is_harmless() {
    let broken = Instance::at("127.0.0.1:0", Does::BreakOff).await;
    for (path, times) in [(REPEATABLE, 3), (ONCE, 1), (STREAM, 1)] {
        let before = broken.served();
        let status = ask(&to(&broken.addr.to_string()), path, "5S").await.unwrap_err();
        assert_eq!(reason_of(&status).as_deref(), Some("SERVICE_UNAVAILABLE"), "{path}");
        assert_eq!(broken.served() - before, times, "{path}");
    }
    let told = broken.parrot.patience.lock().unwrap().clone();
    let shrinks = told[..3].windows(2).all(|pair| pair[1] < pair[0]);
    assert!(shrinks, "each attempt has what is left of the time: {told:?}");
    let well = Instance::start(Code::Ok).await;
    let both = to(&format!("{},{}", broken.addr, well.addr));
    let before = broken.served();
    for _ in 0..20 {
        assert_eq!(ask(&both, REPEATABLE, "5S").await.unwrap(), Code::Ok);
    }
    let asked = broken.served() - before;
    assert!((1..=FEW).contains(&asked), "one that breaks off is spared, but was asked {asked} times");
}

#[tokio::test]
async fn what_has_not_left_the_process_is_sent_to_another_one() {
    let well = Instance::start(Code::Ok).await;
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let channel = to(&format!("{away},{}", well.addr));
    for _ in 0..20 {
        assert_eq!(ask(&channel, ONCE, "5S").await.unwrap(), Code::Ok);
    }
}

#[tokio::test]
async fn an_instance_that_is_drained_loses_no_request() {
    let (mut one, two) = (Instance::start(Code::Ok).await, Instance::start(Code::Ok).await);
    let channel = to(&format!("{},{}", one.addr, two.addr));
    for n in 0..200 {
        if n == 50 {
            one.stop.take().unwrap().send(()).unwrap();
        }
        assert_eq!(ask(&channel, REPEATABLE, "5S").await.unwrap(), Code::Ok);
    }
    assert!(one.served() < 150, "the one that is gone is asked no more");
}

#[tokio::test]
async fn who_does_not_answer_is_late_and_who_is_away_is_unavailable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = to(&silent.local_addr().unwrap().to_string());
    let status = ask(&channel, REPEATABLE, "200m").await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_deref()),
        (Code::DeadlineExceeded, Some("DEADLINE_EXCEEDED"))
    );
    let away = silent.local_addr().unwrap();
    drop(silent);
    let channel = to(&away.to_string());
    let status = ask(&channel, REPEATABLE, "5S").await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_deref()),
        (Code::Unavailable, Some("SERVICE_UNAVAILABLE"))
    );
}
