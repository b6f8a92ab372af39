//! Where Redis is: one server, or whichever of several the Sentinels say is the master now. Every connection is made
//! here, so that each of them finds the new master after a failover.

#[cfg(feature = "server")]
pub mod server;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, RedisError, RedisResult, Value,
    aio::{AsyncPushSender, MultiplexedConnection, PubSub},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use futures::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};

/// Where Sentinel listens.
const SENTINEL_PORT: u16 = 26_379;

/// A Sentinel that does not answer by then is passed over, so that the next one is asked within a command's time.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);

/// Until a connection can be used.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A pooled connection that does not answer by then is replaced.
const RECYCLE_TIMEOUT: Duration = Duration::from_millis(500);

/// A host that vanished without a word is noticed after so long, also by who only listens.
const DEAD_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(3);

/// Connections for ordinary commands.
pub type Pool = managed::Pool<Finder>;
/// One of them.
pub type Connection = managed::Object<Finder>;

/// The address is none of Redis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of redis such as redis://127.0.0.1:6379/0: {0}")]
pub struct InvalidUrl(String);

/// Where Redis is.
pub struct Broker {
    /// How to speak to Redis; with Sentinels, the address in it is none.
    info: ConnectionInfo,
    sentinels: Option<Sentinels>,
}

struct Sentinels {
    addresses: Vec<ConnectionAddr>,
    /// The name that they know the master by.
    service: String,
    /// The one that answered last is asked first.
    first: AtomicUsize,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Broker {
    /// Reads `redis://…`, `rediss://…`, `redis+sentinel://…` or `rediss+sentinel://…`; nothing is connected to yet.
    ///
    /// # Errors
    /// When the URL is none of these.
    pub fn from_url(url: &SecretString) -> Result<Self, InvalidUrl> {
        let url = url.expose_secret();
        let (info, sentinels) = match url.split_once("+sentinel://") {
            Some((scheme, rest)) => {
                let (info, sentinels) = sentinels(scheme, rest)?;
                (info, Some(sentinels))
            }
            None if url.starts_with("sentinel://") => {
                return Err(bad("write Sentinels as redis+sentinel://host:port,host:port/service/db"));
            }
            None => (url.into_connection_info().map_err(bad)?, None),
        };
        let keepalive = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY);
        let settings =
            TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(DEAD_AFTER);
        Ok(Self { info: info.set_tcp_settings(settings), sentinels })
    }

    /// Number of the database.
    pub fn db(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// For people: the server, or the first Sentinel.
    pub fn address(&self) -> (String, u16) {
        let address = match &self.sentinels {
            Some(sentinels) => &sentinels.addresses[0],
            None => self.info.addr(),
        };
        match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host.clone(), *port)
            }
            other => (other.to_string(), 0),
        }
    }

    /// Connects to Redis, to the present master where there are Sentinels. The connection is of use until its first
    /// error; then another one is to be had here.
    ///
    /// # Errors
    /// When Redis is away, or none of the Sentinels knows a master that says it is one.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.connect_with(&AsyncConnectionConfig::new()).await
    }

    /// The same with time limits of the caller's own, as a connection needs that waits for long.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_with(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        let connecting = async {
            let client = self.client(&self.info).await?;
            client.get_multiplexed_async_connection_with_config(config).await
        };
        within(CONNECT_TIMEOUT, connecting).await
    }

    /// A connection for subscriptions alone.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn subscriber(&self) -> RedisResult<PubSub> {
        within(CONNECT_TIMEOUT, async { self.client(&self.info).await?.get_async_pubsub().await }).await
    }

    /// A connection for commands and subscriptions alike. What is published goes to `hear`, which must not block; so does
    /// the news that the connection is gone. Commands have no time limit of its own.
    ///
    /// # Errors
    /// As [`Self::connect`], and when Redis is older than 6.
    pub async fn line(&self, hear: impl AsyncPushSender) -> RedisResult<MultiplexedConnection> {
        let settings = self.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = self.info.clone().set_redis_settings(settings);
        let config = AsyncConnectionConfig::new().set_push_sender(hear).set_response_timeout(None);
        let connecting =
            async { self.client(&info).await?.get_multiplexed_async_connection_with_config(&config).await };
        within(CONNECT_TIMEOUT, connecting).await
    }

    /// A pool of connections for ordinary commands, for one of which one waits for `patience` at most.
    ///
    /// # Errors
    /// When the pool cannot be made.
    pub fn pool(self: Arc<Self>, size: usize, patience: Duration) -> Result<Pool, InvalidUrl> {
        let pool = Pool::builder(Finder(self))
            .max_size(size)
            .wait_timeout(Some(patience))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(RECYCLE_TIMEOUT))
            .runtime(deadpool_redis::Runtime::Tokio1);
        pool.build().map_err(bad)
    }

    async fn client(&self, info: &ConnectionInfo) -> RedisResult<Client> {
        match &self.sentinels {
            None => Client::open(info.clone()),
            Some(sentinels) => sentinels.master(info).boxed().await,
        }
    }
}

impl Sentinels {
    /// Asks one Sentinel after the other, and believes a master only when it says itself that it is one.
    async fn master(&self, info: &ConnectionInfo) -> RedisResult<Client> {
        let count = self.addresses.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut last = None;
        for n in (0..count).map(|n| (first + n) % count) {
            match within(SENTINEL_TIMEOUT, self.ask(&self.addresses[n], info)).await {
                Ok(client) => {
                    self.first.store(n, Ordering::Relaxed);
                    return Ok(client);
                }
                Err(error) => {
                    tracing::debug!(sentinel = %self.addresses[n], %error, "no master from this sentinel");
                    last = Some(error);
                }
            }
        }
        Err(last.expect("there is at least one sentinel"))
    }

    async fn ask(&self, sentinel: &ConnectionAddr, info: &ConnectionInfo) -> RedisResult<Client> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        // Sentinels without a password of their own refuse to be told one, and those with one share it with Redis.
        let open = sentinel.clone().into_connection_info()?;
        let answer = match query(&open, &command).await {
            Err(error) if error.code() == Some("NOAUTH") => {
                let own = info.redis_settings().clone().set_db(0);
                query(&open.set_redis_settings(own), &command).await
            }
            answer => answer,
        };
        let Some((host, port)) = answer? else {
            let told = format!("\"{}\"", self.service);
            return Err(
                (ErrorKind::MasterNameNotFoundBySentinel, "sentinel knows no such service", told).into()
            );
        };
        let master = info.clone().set_addr(at(sentinel, host, port));
        let (role,): (String,) = match query(&master, &redis::cmd("ROLE")).await? {
            Value::Array(parts) => {
                redis::from_redis_value(Value::Array(parts.into_iter().take(1).collect()))?
            }
            other => redis::from_redis_value(other)?,
        };
        if role == "master" {
            Client::open(master)
        } else {
            Err((ErrorKind::MasterNameNotFoundBySentinel, "what sentinel calls the master is none", role)
                .into())
        }
    }
}

async fn query<T: redis::FromRedisValue>(info: &ConnectionInfo, command: &redis::Cmd) -> RedisResult<T> {
    let mut connection = Client::open(info.clone())?.get_multiplexed_async_connection().await?;
    command.query_async(&mut connection).await
}

async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    tokio::time::timeout(limit, work).await.unwrap_or_else(late)
}

/// Another server that is reached in the same way.
fn at(like: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) => ConnectionAddr::Tcp(host, port),
        other => other.clone(),
    }
}

/// Reads `[user:password@]host[:port][,host[:port]…]/service[/db]`.
fn sentinels(scheme: &str, rest: &str) -> Result<(ConnectionInfo, Sentinels), InvalidUrl> {
    let (who, rest) =
        rest.rsplit_once('@').map_or((String::new(), rest), |(who, rest)| (format!("{who}@"), rest));
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (service, db) = path.split_once('/').unwrap_or((path, "0"));
    if service.is_empty() {
        return Err(bad("the Sentinels' name of the master is missing: redis+sentinel://host:port/service"));
    }
    let mut addresses = Vec::new();
    let mut shared = None;
    for host in hosts.split(',') {
        let info = format!("{scheme}://{who}{host}/{db}").into_connection_info().map_err(bad)?;
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        addresses.push(match info.addr() {
            like @ (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. })
                if !has_port =>
            {
                at(like, name.clone(), SENTINEL_PORT)
            }
            address => address.clone(),
        });
        shared.get_or_insert(info);
    }
    let info = shared.ok_or_else(|| bad("no Sentinel is named"))?;
    Ok((info, Sentinels { addresses, service: service.to_owned(), first: AtomicUsize::new(0) }))
}

/// Whether an error says that its connection is of no further use: it is broken, it stays silent, or it leads to a
/// server that is the master no more.
pub fn is_spent(error: &RedisError) -> bool {
    error.is_connection_dropped()
        || error.is_io_error()
        || matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
}

fn bad(why: impl fmt::Display) -> InvalidUrl {
    InvalidUrl(why.to_string())
}

/// Makes the pool's connections.
#[derive(Debug)]
pub struct Finder(Arc<Broker>);

impl managed::Manager for Finder {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<MultiplexedConnection> {
        self.0.connect().boxed().await
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        _: &Metrics,
    ) -> RecycleResult<RedisError> {
        redis::cmd("PING").query_async::<()>(connection).await.map_err(RecycleError::Backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Broker, InvalidUrl> {
        Broker::from_url(&url.to_owned().into())
    }

    #[test]
    fn sentinels_are_read_from_one_url() {
        let broker = read("rediss+sentinel://me:p%40ss@one:1,two,[::1]:3/mymaster/5").unwrap();
        let sentinels = broker.sentinels.as_ref().unwrap();
        let addresses: Vec<_> = sentinels.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["one:1", "two:26379", "::1:3"]);
        assert!(matches!(sentinels.addresses[0], ConnectionAddr::TcpTls { .. }));
        assert_eq!((sentinels.service.as_str(), broker.db()), ("mymaster", 5));
        let settings = broker.info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("p@ss")));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_remedy() {
        for (url, remedy) in [
            ("http://x", "redis://"),
            ("redis+sentinel://one:1", "/service"),
            ("redis+sentinel:///mymaster", "redis://"),
            ("sentinel://one:1;sentinel://two:1", "redis+sentinel://"),
        ] {
            let told = read(url).unwrap_err().to_string();
            assert!(told.contains(remedy), "{url}: {told}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", read("redis://:secret@h/0").unwrap()).contains("secret"));
    }
}
