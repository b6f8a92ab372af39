//! `make up`: the mesh against whatever the credentials in the environment name, simulators for the rest, until Ctrl-C.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tests::{
    child::{Child, LOOPBACK, Spec},
    groq::GroqSim,
    mesh::{SERVICES, binary, own_redis},
};
use voice_server::{config::is_loopback_url, shutdown};

/// What the pretend ears and the pretend language model know.
const QUESTION: &str = "what are your opening hours";
const ANSWER: &str = "We are open from nine to six.";

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
    env.set_default("VOICE_SECRET_KEY", || kept_secret(&folder.join("secret_key")))?;
    for (service, port) in [("RELAY", 50_051), ("WORKER", 50_052), ("TTS", 50_053), ("GATEWAY", 8_080)] {
        let name = format!("{service}_LISTEN_ADDR");
        env.set_default(&name, || Ok(format!("127.0.0.1:{port}")))?;
        let address = env.get(&name);
        TcpListener::bind(&address).with_context(|| {
            format!("{address} is taken by somebody else (`ss -ltnp` tells); {name} moves it")
        })?;
        // Without a scheme, so that it is right with TLS between the services as well.
        env.set_default(&format!("{service}_ADDRS"), || Ok(address))?;
    }
    let gateway = env.get("GATEWAY_LISTEN_ADDR");
    if is_loopback_url(&gateway) {
        let scheme = if env.get("GATEWAY_TLS_CERT_FILE").is_empty() { "http" } else { "https" };
        env.set_default("PUBLIC_BASE_URL", || Ok(format!("{scheme}://{gateway}")))?;
    }
    let token = choose_tokens(&mut env, &folder)?;
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
        let knowing = GroqSim::new(groq.said("base_url")?);
        knowing.grammar(&[QUESTION]).await?;
        knowing.script(&[(QUESTION, ANSWER)]).await?;
        println!("groq       simulated at {} (GROQ_API_KEY asks the real one)", knowing.base());
        println!("           all that it understands is \"{QUESTION}\"");
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
    let mut services = Vec::new();
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
        services.push(child);
    }
    next_steps(&env, token, phone.as_deref());
    watch(children, services).await
}

/// Beyond this machine everybody needs a token, and one is made if there is none. On it nobody does, unless told
/// otherwise. Gives what a shell shows as a token, where one is needed.
fn choose_tokens(env: &mut Variables, folder: &Path) -> anyhow::Result<Option<&'static str>> {
    let listening = SERVICES.map(|service| format!("{}_LISTEN_ADDR", service.to_uppercase()));
    let mut addresses = listening.iter().map(String::as_str).chain(["PUBLIC_BASE_URL"]);
    let shown = if !env.get("API_TOKENS").is_empty() {
        "$TOKEN"
    } else if addresses.any(|name| !is_loopback_url(&env.get(name))) {
        env.set("API_TOKENS", kept_secret(&folder.join("api_token"))?);
        "$(cat .run/api_token)"
    } else {
        return Ok(None);
    };
    env.set_default("MESH_TOKEN", || kept_secret(&folder.join("mesh_token")))?;
    Ok(Some(shown))
}

fn next_steps(env: &Variables, token: Option<&str>, phone: Option<&str>) {
    let header = token.map_or_else(String::new, |token| format!("-H \"authorization: Bearer {token}\" "));
    let transport =
        if env.get("TLS_CERT_FILE").is_empty() { "-plaintext" } else { "-cacert \"$MESH_CA_FILE\"" };
    println!("\ntry next:");
    println!("  curl {header}{}/readyz", env.get("PUBLIC_BASE_URL"));
    println!(
        "  grpcurl {transport} {header}{} voice.relay.v1.RelayService/ListCalls",
        env.get("RELAY_LISTEN_ADDR")
    );
    if let Some(phone) = phone {
        println!("  curl -X POST {phone}/sim/calls -H 'content-type: application/json' \\");
        println!("       -d '{{\"from\":\"+15551110000\",\"to\":\"+15552220000\",\"context\":\"default\"}}'");
    }
}

/// Stays until Ctrl-C, or until something ends by itself; then waits for the services, which end what runs. Ctrl-C again
/// ends all at once.
async fn watch(mut others: Vec<Child>, mut services: Vec<Child>) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut stop = pin!(shutdown::signal());
    tokio::select! {
        biased;
        // Asked first, so that it is listened for.
        () = &mut stop => return Ok(()),
        () = std::future::ready(()) => println!("Ctrl-C ends it."),
    }
    let ended = loop {
        tokio::select! {
            () = &mut stop => break None,
            _ = tick.tick() => {
                let mut all = others.iter_mut().chain(&mut services);
                if let Some(child) = all.find_map(|child| (!child.is_running()).then_some(child)) {
                    break Some(child.log().lines().rev().take(10).collect::<Vec<_>>().join("\n"));
                }
            }
        }
    };
    println!("waiting for what runs, DRAIN_SECONDS at most; Ctrl-C again ends it at once");
    for service in &services {
        let _ = service.signal("TERM").await;
    }
    let drained = async {
        while services.iter_mut().any(Child::is_running) {
            tick.tick().await;
        }
    };
    tokio::select! {
        () = drained => {}
        () = stop, if ended.is_some() => {}
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
    /// The whole environment: whatever a service reads can be set, also what only `ASSISTANTS_FILE` names.
    fn from_process() -> Self {
        let set = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut variables = Self(set.collect());
        for name in ["NO_PROXY", "no_proxy"] {
            let direct = format!("{LOOPBACK},{}", variables.get(name));
            variables.set(name, direct);
        }
        variables
    }

    /// A value, empty when unset: to the services a blank one is so, too.
    fn get(&self, name: &str) -> String {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim());
        value.unwrap_or_default().to_owned()
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
