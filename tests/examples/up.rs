//! `make up`: the mesh against whatever the credentials in the environment name, simulators for the rest, until Ctrl-C.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use tests::{
    child::{Child, Spec},
    mesh::{SERVICES, binary, own_redis},
};

/// Variables that are handed to the services as they are.
const PASSED_ON: [&str; 49] = [
    "REDIS_URL",
    "JOB_QUEUE",
    "GROQ_API_KEY",
    "GROQ_BASE_URL",
    "GROQ_STT_BASE_URL",
    "GROQ_STT_API_KEY",
    "GROQ_STT_MODEL",
    "GROQ_LLM_BASE_URL",
    "GROQ_LLM_API_KEY",
    "GROQ_LLM_MODEL",
    "GROQ_TTS_BASE_URL",
    "GROQ_TTS_API_KEY",
    "GROQ_TTS_MODEL",
    "GROQ_TTS_VOICE",
    "SIGNALWIRE_PROJECT_ID",
    "SIGNALWIRE_TOKEN",
    "SIGNALWIRE_RELAY_URL",
    "SIGNALWIRE_CONTEXTS",
    "PUBLIC_BASE_URL",
    "VOICE_SECRET_KEY",
    "CLIP_STORE_URL",
    "CLIP_MAX_MB",
    "CLIP_MAX_AGE_DAYS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "GROQ_PLAN",
    "ASSISTANTS_FILE",
    "FALLBACK_NUMBER",
    "TURN_FILLER_MS",
    "TURN_BUDGET_MS",
    "MAX_CALLS",
    "DRAIN_SECONDS",
    "RECORDING_ALLOWED_HOSTS",
    "API_TOKENS",
    "MESH_TOKEN",
    "WORKER_CONCURRENCY",
    "RECORDING_ALLOW_PRIVATE",
    "CALL_AUDIO",
    "END_SILENCE_MS",
    "CORS_ALLOWED_ORIGINS",
    "RELAY_ADVERTISE_ADDR",
    "TOKEN_CALLS",
];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("make up: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let folder = PathBuf::from(".run");
    fs::create_dir_all(&folder)?;
    let mut env = Variables::from_process();
    env.set_default("CLIP_STORE_URL", || Ok(folder.join("clips").display().to_string()))?;
    for (name, file) in
        [("VOICE_SECRET_KEY", "secret_key"), ("MESH_TOKEN", "mesh_token"), ("API_TOKENS", "api_token")]
    {
        env.set_default(name, || kept_secret(&folder.join(file)))?;
    }
    for (service, port) in [("RELAY", 50_051), ("WORKER", 50_052), ("TTS", 50_053), ("GATEWAY", 8_080)] {
        let name = format!("{service}_LISTEN_ADDR");
        env.set_default(&name, || Ok(format!("127.0.0.1:{port}")))?;
        let address = env.get(&name);
        TcpListener::bind(&address).with_context(|| {
            format!("{address} is taken by somebody else (`ss -ltnp` tells); {name} moves it")
        })?;
        env.set_default(&format!("{service}_ADDRS"), || Ok(format!("http://{address}")))?;
    }
    let mut children = Vec::new();
    if env.get("REDIS_URL").is_empty() {
        let (redis, url) = own_redis(&folder).await?;
        children.push(redis);
        env.set("REDIS_URL", url);
        println!("redis      our own (REDIS_URL names another)");
    }
    if env.get("GROQ_API_KEY").is_empty() && env.get("GROQ_BASE_URL").is_empty() {
        let groq = simulator(&folder, "groq").await?;
        env.set("GROQ_BASE_URL", groq.said("base_url")?);
        env.set("GROQ_API_KEY", "gsk_test".to_owned());
        println!("groq       simulated at {} (GROQ_API_KEY asks the real one)", groq.said("base_url")?);
        children.push(groq);
    }
    let mut phone = None;
    if env.get("SIGNALWIRE_TOKEN").is_empty() {
        let signalwire = simulator(&folder, "signalwire").await?;
        env.set("SIGNALWIRE_RELAY_URL", signalwire.said("relay_url")?);
        env.set("SIGNALWIRE_PROJECT_ID", "sim-project".to_owned());
        env.set("SIGNALWIRE_TOKEN", "sim-token".to_owned());
        env.set("RECORDING_ALLOWED_HOSTS", "127.0.0.1".to_owned());
        env.set("RECORDING_ALLOW_PRIVATE", "true".to_owned());
        phone = Some(signalwire.said("http_url")?);
        println!("signalwire simulated (SIGNALWIRE_PROJECT_ID and SIGNALWIRE_TOKEN connect the real one)");
        children.push(signalwire);
    }
    for service in SERVICES {
        let program = binary(service);
        let child = Child::start(Spec {
            name: service,
            program: &program,
            args: &[],
            env: &env.0,
            folder: &folder,
            announces: true,
        });
        let child = child.await?;
        println!("{service:<10} {} (log: .run/{service}.log)", child.said("address")?);
        children.push(child);
    }
    next_steps(&env, phone.as_deref());
    watch(children).await
}

fn next_steps(env: &Variables, phone: Option<&str>) {
    let token = env.get("API_TOKENS").split(',').next().unwrap_or_default().to_owned();
    let (gateway, relay) = (env.get("GATEWAY_LISTEN_ADDR"), env.get("RELAY_LISTEN_ADDR"));
    println!("\ntry next:");
    println!("  curl -H 'authorization: Bearer {token}' http://{gateway}/readyz");
    println!(
        "  grpcurl -plaintext -H 'authorization: Bearer {token}' {relay} voice.relay.v1.RelayService/ListCalls"
    );
    if let Some(phone) = phone {
        println!("  curl -X POST {phone}/sim/calls -H 'content-type: application/json' \\");
        println!("       -d '{{\"from\":\"+15551110000\",\"to\":\"+15552220000\",\"context\":\"default\"}}'");
    }
    println!("Ctrl-C ends it.");
}

/// Stays until Ctrl-C, or until something ends by itself; then asks everything to drain.
async fn watch(mut children: Vec<Child>) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(500));
    let ended = loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break None,
            _ = tick.tick() => {
                if let Some(at) = children.iter_mut().position(|child| !child.is_running()) {
                    break Some(children[at].log().lines().rev().take(10).collect::<Vec<_>>().join("\n"));
                }
            }
        }
    };
    for child in children.iter().rev() {
        let _ = child.signal("TERM").await;
    }
    match ended {
        None => Ok(()),
        Some(log) => bail!("a process ended by itself; the end of its log, newest line first:\n{log}"),
    }
}

async fn simulator(folder: &Path, provider: &str) -> anyhow::Result<Child> {
    let args = [provider.to_owned()];
    Child::start(Spec {
        name: provider,
        program: &binary("voice-sim"),
        args: &args,
        env: &[],
        folder,
        announces: true,
    })
    .await
}

/// A secret that is made on first use and kept for its owner alone.
fn kept_secret(path: &Path) -> anyhow::Result<String> {
    if let Ok(secret) = fs::read_to_string(path) {
        return Ok(secret.trim().to_owned());
    }
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())?;
    Ok(secret)
}

/// What the services are started with.
struct Variables(Vec<(String, String)>);

impl Variables {
    fn from_process() -> Self {
        let listening = SERVICES.iter().flat_map(|service| {
            let service = service.to_uppercase();
            [format!("{service}_LISTEN_ADDR"), format!("{service}_ADDRS")]
        });
        let names = PASSED_ON.iter().map(|name| (*name).to_owned()).chain(listening);
        let set = names.filter_map(|name| {
            let value = std::env::var_os(&name)?.into_string().ok()?;
            Some((name, value))
        });
        Self(set.collect())
    }

    fn get(&self, name: &str) -> String {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
    }

    fn set_default(
        &mut self,
        name: &str,
        make: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        if self.get(name).is_empty() {
            self.set(name, make()?);
        }
        Ok(())
    }
}
