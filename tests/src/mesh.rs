//! Starts the mesh and hands back clients.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tonic::{
    Request,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;
use voice_proto::{
    relay::v1::{
        CallEvent, CallState, ListCallsRequest, WatchCallRequest, call_event::Event,
        relay_service_client::RelayServiceClient,
    },
    tts::v1::tts_service_client::TtsServiceClient,
    worker::v1::worker_service_client::WorkerServiceClient,
};

use crate::{
    child::{Child, READY, Spec},
    front::Front,
    groq::GroqSim,
    phone::{Phone, loopback_client},
    ports::free_port,
    speech::target_folder,
};

/// The context that the harness's calls come in on.
pub const CONTEXT: &str = "office";

/// The four services, in the order in which they are started.
pub const SERVICES: [&str; 4] = ["tts", "worker", "gateway", "relay"];

/// How a mesh is started.
#[derive(Debug, Default)]
pub struct Options {
    /// Variables for all services, over the harness's own.
    pub env: Vec<(String, String)>,
    /// Arguments of `voice-sim signalwire`.
    pub signalwire_args: Vec<String>,
    /// Arguments of `voice-sim groq`.
    pub groq_args: Vec<String>,
    /// Whether the provider speaks TLS and HTTP/2, as the real one does.
    pub is_groq_encrypted: bool,
    /// A Redis that is there already; otherwise the mesh starts one.
    pub redis_url: Option<String>,
    /// Variables of single services, over all others: service, name, value.
    pub own_env: Vec<(&'static str, &'static str, String)>,
    /// Further instances of services, such as `tts-2`. With a second gateway, a load balancer stands before both.
    pub more: Vec<&'static str>,
    /// What clients show and believe, where the services speak TLS.
    pub tls: Option<ClientTlsConfig>,
}

/// A running mesh. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Mesh {
    /// The telephone.
    pub phone: Phone,
    /// The provider.
    pub groq: GroqSim,
    /// Logs, clips and the Redis socket.
    pub folder: PathBuf,
    children: BTreeMap<String, Child>,
    env: Vec<(String, String)>,
    own_env: Vec<(&'static str, &'static str, String)>,
    ports: BTreeMap<&'static str, u16>,
    tls: Option<ClientTlsConfig>,
    _front: Option<Front>,
}

impl Options {
    /// Sets a variable for all services.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }
}

impl Mesh {
    /// Starts Redis, the simulators and the services, and waits until each is SERVING.
    ///
    /// # Errors
    /// When one of them cannot be started; the error has the end of its log.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = target_folder().join("mesh").join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(folder.join("clips"))?;
        let mut children = BTreeMap::new();
        let redis_url = if let Some(url) = options.redis_url {
            url
        } else {
            let (redis, url) = own_redis(&folder).await?;
            children.insert("redis".to_owned(), redis);
            url
        };
        let mut signalwire_args = vec!["signalwire".to_owned()];
        signalwire_args.extend(options.signalwire_args);
        let signalwire = start(&folder, "signalwire", "voice-sim", &signalwire_args, &[]).await?;
        let mut groq_args = vec!["groq".to_owned(), "--api-key".to_owned(), "gsk_test".to_owned()];
        groq_args.extend(options.groq_args);
        if options.is_groq_encrypted {
            groq_args.extend(["--tls-self-signed".to_owned(), folder.display().to_string()]);
        }
        let groq = start(&folder, "groq", "voice-sim", &groq_args, &[]).await?;
        let names: Vec<&'static str> = SERVICES.into_iter().chain(options.more).collect();
        let ports: BTreeMap<_, _> =
            names.iter().map(|name| Ok((*name, free_port()?))).collect::<anyhow::Result<_>>()?;
        let gateways = ports.iter().filter(|(name, _)| kind(name) == "gateway").map(|(_, port)| *port);
        let front = match &gateways.collect::<Vec<_>>()[..] {
            [_] => None,
            several => Some(Front::open(several.to_vec()).await?),
        };
        let public = front.as_ref().map_or(ports["gateway"], |front| front.port);
        let mut env = environment(&folder, &ports, &redis_url, &signalwire, &groq)?;
        env.push(("PUBLIC_BASE_URL".to_owned(), format!("http://127.0.0.1:{public}")));
        if options.is_groq_encrypted {
            env.push(("SSL_CERT_FILE".to_owned(), folder.join("cert.pem").display().to_string()));
        }
        env.retain(|(name, _)| !options.env.iter().any(|(over, _)| over == name));
        env.extend(options.env);
        let phone = Phone::new(signalwire.said("http_url")?);
        let groq_sim = GroqSim::new(groq.said("base_url")?);
        children.insert("signalwire".to_owned(), signalwire);
        children.insert("groq".to_owned(), groq);
        let mut mesh = Self {
            phone,
            groq: groq_sim,
            folder,
            children,
            env,
            own_env: options.own_env,
            ports,
            tls: options.tls,
            _front: front,
        };
        for service in names {
            mesh.restart(service).await?;
        }
        mesh.wait_until_connected().await?;
        Ok(mesh)
    }

    /// Starts a service, again or for the first time, where it was.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn restart(&mut self, service: &str) -> anyhow::Result<()> {
        // It has to be gone before its port can be taken again.
        if let Some(mut old) = self.children.remove(service) {
            old.kill().await?;
        }
        let mut env = self.env.clone();
        let listen = format!("{}_LISTEN_ADDR", kind(service).to_uppercase());
        env.push((listen, format!("127.0.0.1:{}", self.ports[service])));
        let own = self.own_env.iter().filter(|(owner, _, _)| *owner == service);
        env.extend(own.map(|(_, name, value)| ((*name).to_owned(), value.clone())));
        let child = start(&self.folder, service, kind(service), &[], &env).await?;
        self.children.insert(service.to_owned(), child);
        Ok(())
    }

    /// One of its processes: a service, `redis`, `signalwire` or `groq`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn child(&mut self, name: &str) -> &mut Child {
        self.children.get_mut(name).unwrap_or_else(|| panic!("no {name} in the mesh"))
    }

    /// Address of a service.
    pub fn address(&self, service: &str) -> String {
        let scheme = if self.tls.is_some() && service != "gateway" { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.ports[service])
    }

    /// A connection to a service.
    ///
    /// # Errors
    /// When it is away.
    pub async fn connect(&self, service: &str) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::from_shared(self.address(service))?;
        let endpoint = match &self.tls {
            None => endpoint,
            Some(tls) => endpoint.tls_config(tls.clone())?,
        };
        Ok(endpoint.connect().await?)
    }

    /// The variables that the services were started with.
    pub fn env(&self, name: &str) -> String {
        self.env.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// A client of the relay.
    ///
    /// # Errors
    /// When it is away.
    pub async fn relay(&self) -> anyhow::Result<RelayServiceClient<Channel>> {
        Ok(RelayServiceClient::new(self.connect("relay").await?))
    }

    /// A client of the worker.
    ///
    /// # Errors
    /// When it is away.
    pub async fn worker(&self) -> anyhow::Result<WorkerServiceClient<Channel>> {
        Ok(WorkerServiceClient::new(self.connect("worker").await?))
    }

    /// A client of tts.
    ///
    /// # Errors
    /// When it is away.
    pub async fn tts(&self) -> anyhow::Result<TtsServiceClient<Channel>> {
        Ok(TtsServiceClient::new(self.connect("tts").await?))
    }

    /// The newest call that is not over, if there is one now.
    pub async fn newest_call_now(&self) -> Option<String> {
        let states = [CallState::Ringing, CallState::Active].map(i32::from).to_vec();
        let request = ListCallsRequest { states, ..ListCallsRequest::default() };
        let calls = self.relay().await.ok()?.list_calls(request).await.ok()?.into_inner().calls;
        calls.first().map(|call| call.call_id.clone())
    }

    /// Resident memory of a process.
    pub fn memory_kb(&mut self, name: &str) -> u64 {
        let pid = self.child(name).pid().unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// The newest call of the relay, once there is one that is not over.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn newest_call(&self) -> anyhow::Result<String> {
        eventually(READY, "a call at the relay", async || self.newest_call_now().await).await
    }

    /// Follows a call.
    ///
    /// # Errors
    /// When the relay does not know it.
    pub async fn watch(&self, call_id: &str) -> anyhow::Result<Watch> {
        let request = WatchCallRequest { call_id: call_id.to_owned(), after_sequence: 0 };
        Ok(Watch::begin(self.relay().await?, Request::new(request)).await?)
    }

    /// Follows a call by any relay after this sequence, or from the oldest event that is kept: of one that was taken
    /// back, from that on.
    ///
    /// # Errors
    /// When it is not known in time.
    pub async fn watch_by(&self, relay: &str, call_id: &str, after: i64) -> anyhow::Result<Watch> {
        eventually(READY, "the call at the relay", async || {
            let relay = RelayServiceClient::new(self.connect(relay).await.ok()?);
            let request = |after_sequence| {
                Request::new(WatchCallRequest { call_id: call_id.to_owned(), after_sequence })
            };
            match Watch::begin(relay.clone(), request(after)).await {
                Ok(watch) => Some(watch),
                Err(status) => {
                    let details = status.get_details_error_info()?;
                    let first: i64 = details.metadata.get("first_sequence")?.parse().ok()?;
                    Watch::begin(relay, request(first - 1)).await.ok()
                }
            }
        })
        .await
    }

    async fn wait_until_connected(&self) -> anyhow::Result<()> {
        let phone = &self.phone;
        eventually(READY, "the relay's connection to the platform", async || {
            let stats = phone.stats().await.ok()?;
            (stats["open_sockets"].as_u64()? > 0).then_some(())
        })
        .await
    }
}

/// A call being followed; every event is kept.
#[derive(Debug)]
pub struct Watch {
    stream: tonic::Streaming<voice_proto::relay::v1::WatchCallResponse>,
    first: Option<voice_proto::relay::v1::WatchCallResponse>,
    after: i64,
    /// Everything so far.
    pub seen: Vec<CallEvent>,
}

impl Watch {
    /// Watches, and waits for the first event, so that a refusal is told here.
    ///
    /// # Errors
    /// When the relay refuses it.
    pub async fn begin(
        mut relay: RelayServiceClient<Channel>,
        request: Request<WatchCallRequest>,
    ) -> Result<Self, tonic::Status> {
        let after = request.get_ref().after_sequence;
        let mut stream = relay.watch_call(request).await?.into_inner();
        let first = stream.message().await?;
        Ok(Self { stream, first, after, seen: Vec::new() })
    }

    /// The next event; `None` once the call is over.
    ///
    /// # Errors
    /// When the stream breaks, or an event is missing.
    pub async fn next(&mut self) -> anyhow::Result<Option<CallEvent>> {
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => self.stream.message().await?,
        };
        let Some(response) = next else { return Ok(None) };
        let event = response.event.context("a response without an event")?;
        ensure!(
            event.sequence == self.after + self.seen.len() as i64 + 1,
            "event {} after {}",
            event.sequence,
            self.seen.len()
        );
        self.seen.push(event.clone());
        Ok(Some(event))
    }

    /// Waits for an event that `wanted` gives something for.
    ///
    /// # Errors
    /// When the call is over or the time is up before.
    pub async fn until<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> anyhow::Result<T> {
        let search = async {
            while let Some(event) = self.next().await? {
                if let Some(found) = event.event.as_ref().and_then(&mut wanted) {
                    return Ok(found);
                }
            }
            anyhow::bail!("the call is over")
        };
        let found = tokio::time::timeout(limit, search).await;
        match found {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(error.context(format!("events so far: {:#?}", self.last()))),
            Err(_) => anyhow::bail!("it did not happen within {limit:?}; events so far: {:#?}", self.last()),
        }
    }

    fn last(&self) -> Vec<&Event> {
        self.seen.iter().rev().take(12).filter_map(|event| event.event.as_ref()).collect()
    }

    /// Waits until the call is over.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn to_end(&mut self, limit: Duration) -> anyhow::Result<()> {
        let end = async {
            while self.next().await?.is_some() {}
            anyhow::Ok(())
        };
        tokio::time::timeout(limit, end)
            .await
            .with_context(|| format!("the call was not over within {limit:?}"))?
    }
}

/// What a process counts, in Prometheus' form.
///
/// # Errors
/// When it does not answer.
pub async fn metrics(address: &str) -> anyhow::Result<String> {
    metrics_for(address, "").await
}

/// The same for who has a token.
///
/// # Errors
/// When it does not answer.
pub async fn metrics_for(address: &str, token: &str) -> anyhow::Result<String> {
    let request = loopback_client().get(format!("{address}/metrics")).bearer_auth(token);
    Ok(request.send().await?.error_for_status()?.text().await?)
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// When there is none in time.
pub async fn eventually<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, asking).await.with_context(|| format!("{what}: not within {limit:?}"))
}

/// A binary of this workspace.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its own binary");
    let profile = exe.ancestors().find(|folder| folder.join(name).is_file());
    profile.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

async fn start(
    folder: &Path,
    name: &str,
    program: &str,
    args: &[String],
    env: &[(String, String)],
) -> anyhow::Result<Child> {
    Child::start(Spec { name, program: &binary(program), args, env, folder, announces: true }).await
}

/// Starts a Redis of our own: valkey or redis, whichever is installed. Gives its URL too.
///
/// # Errors
/// When neither is installed.
pub async fn own_redis(folder: &Path) -> anyhow::Result<(Child, String)> {
    let port = free_port()?;
    Ok((redis_at(folder, port).await?, format!("redis://127.0.0.1:{port}/0")))
}

/// The same at a port, as one that is started again.
///
/// # Errors
/// When neither is installed.
pub async fn redis_at(folder: &Path, port: u16) -> anyhow::Result<Child> {
    let program = redis_server()?;
    let args =
        ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"];
    let mut args: Vec<String> = args.map(str::to_owned).to_vec();
    args.push(folder.display().to_string());
    let child = Child::start(Spec {
        name: "redis",
        program: &program,
        args: &args,
        env: &[],
        folder,
        announces: false,
    })
    .await?;
    eventually(READY, "redis", async || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await?;
    Ok(child)
}

/// The server that is installed: redis or valkey.
///
/// # Errors
/// When neither is.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    ["redis-server", "valkey-server"]
        .into_iter()
        .find_map(installed)
        .context("neither redis-server nor valkey-server is installed: run `make setup`, or set REDIS_URL")
}

/// A program on the path.
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn environment(
    folder: &Path,
    ports: &BTreeMap<&'static str, u16>,
    redis_url: &str,
    signalwire: &Child,
    groq: &Child,
) -> anyhow::Result<Vec<(String, String)>> {
    let all = |service: &str| {
        let places = ports.iter().filter(|(name, _)| kind(name) == service);
        places.map(|(_, port)| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    };
    let groq_url = groq.said("base_url")?;
    let env = [
        ("REDIS_URL", redis_url.to_owned()),
        // Meshes that share a Redis do not meet.
        ("JOB_QUEUE", format!("celery-{}", uuid::Uuid::new_v4().simple())),
        ("GROQ_BASE_URL", groq_url),
        ("GROQ_API_KEY", "gsk_test".to_owned()),
        ("SIGNALWIRE_RELAY_URL", signalwire.said("relay_url")?),
        ("SIGNALWIRE_PROJECT_ID", "sim-project".to_owned()),
        ("SIGNALWIRE_TOKEN", "sim-token".to_owned()),
        ("SIGNALWIRE_CONTEXTS", CONTEXT.to_owned()),
        ("SIGNALWIRE_SIGNING_KEY", "sim-signing-key".to_owned()),
        ("RECORDING_ALLOWED_HOSTS", "127.0.0.1".to_owned()),
        ("RECORDING_ALLOW_PRIVATE", "true".to_owned()),
        ("VOICE_SECRET_KEY", "only-for-this-one-mesh".to_owned()),
        ("CLIP_STORE_URL", folder.join("clips").display().to_string()),
        ("RELAY_ADDRS", all("relay")),
        ("WORKER_ADDRS", all("worker")),
        ("TTS_ADDRS", all("tts")),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    Ok(env.to_vec())
}

/// The service that an instance is of: `tts-2` is one of tts.
fn kind(instance: &str) -> &str {
    instance.split_once('-').map_or(instance, |(kind, _)| kind)
}
