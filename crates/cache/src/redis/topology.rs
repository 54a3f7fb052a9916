//! Where the servers are that a URL names, and how one is looked at before it is used.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, Value,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::KeySpace;

/// How long a new connection may take, from the first packet until it is known who answers.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// What a sentinel listens on, where the URL does not say.
const SENTINEL_PORT: u16 = 26379;
/// The most hosts in a URL. All sentinels are asked at once.
const MOST_HOSTS: usize = 16;

/// Where Redis is. Held by the connection manager, and by whatever else has a connection of its own.
#[derive(Clone)]
pub(crate) struct Topology {
    kind: TopologyKind,
    /// The hosts as they stand in the URL, for the log; without the password.
    at: String,
    db: i64,
}

#[derive(Clone)]
enum TopologyKind {
    One(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, data: Box<RedisConnectionInfo> },
    Cluster(Vec<ConnectionInfo>),
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.at).finish()
    }
}

/// A connection.
#[derive(Clone)]
pub(crate) enum RawConnection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A connection that was looked at: who answers there.
pub(crate) struct Established {
    pub(crate) raw: RawConnection,
    /// Another word when it is another process, or one that others were asked instead of in the meantime.
    pub(crate) run_id: String,
}

impl Topology {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it; never the password.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (rest, options) = rest.split_once('?').map_or((rest, None), |(rest, options)| (rest, Some(options)));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A part of the password would be taken for a host or a name, and told in the log.
        if url.matches('@').count() > usize::from(authority.contains('@')) {
            return Err("`url` has an `@` that does not stand between the password and the host; write `%40` for an `@`, `%2F` \
                        for a `/` and `%3F` for a `?` in a password"
                .to_owned());
        }
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let option = match (scheme, options.and_then(|options| options.split_once('='))) {
            (_, None) if options.is_none() => None,
            ("redis+sentinel", Some(("db", value))) | ("rediss", Some(("sslrootcert", value))) => Some(value),
            _ => {
                return Err("`url` has something after `?` that is not known; `redis+sentinel://` takes `?db=NUMBER` \
                            and `rediss://` takes `?sslrootcert=FILE`, leave the rest out"
                    .to_owned());
            }
        };
        let each: Vec<&str> = hosts.split(',').collect();
        if each.iter().any(|host| host.is_empty() || host.starts_with(':')) {
            return Err(
                "`url` names no host, or an empty one between commas; write `redis://localhost:6379/0`".to_owned()
            );
        }
        if each.len() > MOST_HOSTS {
            return Err(format!("`url` names {} hosts; {MOST_HOSTS} are enough to find the others", each.len()));
        }
        let db = |text: &str| match text.parse() {
            _ if text.is_empty() => Ok(0),
            Ok(db @ 0..=i64::MAX) => Ok(db),
            _ => Err("`url` names a database that is not a number from 0; write `redis://localhost:6379/0`".to_owned()),
        };
        let at = hosts.to_owned();
        match scheme {
            "redis" | "rediss" => {
                if each.len() > 1 {
                    return Err("`url` names several hosts; write `redis+cluster://` where they are a cluster, and \
                                `redis+sentinel://` where they are sentinels"
                        .to_owned());
                }
                if scheme == "rediss" && !cfg!(feature = "tls") {
                    return Err(
                        "`url` asks for encryption, and this program is built without it; switch on the feature \
                                `tls` of the crate `mainstay`, or write `redis://`"
                            .to_owned(),
                    );
                }
                if url.contains('#') {
                    return Err(
                        "`url` has something after `#`; `#insecure` is not taken, as anybody could then answer for \
                                Redis"
                            .to_owned(),
                    );
                }
                let db = db(path)?;
                let info = info(&format!("{scheme}://{authority}/{db}"))?;
                let info = match option {
                    Some(root) => believing(info, root)?,
                    None => info,
                };
                Ok(Self { kind: TopologyKind::One(info), at, db })
            }
            "redis+sentinel" => {
                if path.is_empty() || path.contains('/') {
                    return Err("`url` lacks the name of the master that the sentinels watch; write \
                                `redis+sentinel://host:26379,host:26379/NAME`"
                        .to_owned());
                }
                let db = db(option.unwrap_or_default())?;
                let mut sentinels = Vec::with_capacity(each.len());
                for host in each {
                    let sentinel = info(&format!("redis://{host}"))?;
                    sentinels.push(match sentinel.addr() {
                        ConnectionAddr::Tcp(name, _) if !has_port(host) => {
                            let addr = ConnectionAddr::Tcp(name.clone(), SENTINEL_PORT);
                            sentinel.set_addr(addr)
                        }
                        _ => sentinel,
                    });
                }
                // The name stands in for the host: only what is before it is read here.
                let data = info(&format!("redis://{}localhost/{db}", with_at(login)))?.redis_settings().clone();
                Ok(Self {
                    kind: TopologyKind::Sentinel { sentinels, name: path.to_owned(), data: Box::new(data) },
                    at,
                    db,
                })
            }
            _ => {
                if !path.is_empty() && path != "0" {
                    return Err("`url` names a database; a cluster has only one, leave it out".to_owned());
                }
                let read = |host: &&str| info(&format!("redis://{}{host}", with_at(login)));
                Ok(Self { kind: TopologyKind::Cluster(each.iter().map(read).collect::<Result<_, _>>()?), at, db: 0 })
            }
        }
    }

    /// Where it leads, for the log.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// The number of the database. Channels are not apart by it.
    pub(crate) const fn db(&self) -> i64 {
        self.db
    }

    /// A new connection for questions, within [`CONNECT`].
    pub(crate) async fn connect(&self, space: &KeySpace) -> Result<Established, RedisError> {
        within(CONNECT, self.meet(space, None::<NoPush>)).await
    }

    /// A new connection that hears what is published: each message is given to `hear`, which must not wait.
    pub(crate) async fn connect_to_hear(
        &self,
        space: &KeySpace,
        hear: impl AsyncPushSender + Clone,
    ) -> Result<Established, RedisError> {
        within(CONNECT, self.meet(space, Some(hear))).await
    }

    async fn meet(
        &self,
        space: &KeySpace,
        hear: Option<impl AsyncPushSender + Clone>,
    ) -> Result<Established, RedisError> {
        match &self.kind {
            TopologyKind::One(info) => one(info.clone(), space, hear).await,
            TopologyKind::Sentinel { sentinels, name, data } => {
                let master = find_master(sentinels, name).await?;
                let info = ConnectionAddr::Tcp(master.host, master.port).into_connection_info()?;
                let established = one(info.set_redis_settings((**data).clone()), space, hear).await?;
                // A server that was replaced and took over again is the same process, without what others did meanwhile
                // to what it remembers of before: the count of failovers tells the two times apart.
                Ok(Established { run_id: format!("{}-{}", established.run_id, master.epoch), ..established })
            }
            TopologyKind::Cluster(nodes) => {
                let mut builder = ClusterClientBuilder::new(nodes.clone())
                    .connection_timeout(CONNECT)
                    // Longer than any question waits: a slow answer is judged by the connection.
                    .response_timeout(CONNECT * 10)
                    // It looks for the others by itself; more attempts than these are this connection manager's business.
                    .retries(3)
                    .max_retry_wait(100);
                if let Some(hear) = hear {
                    builder = builder.use_protocol(ProtocolVersion::RESP3).push_sender(hear);
                }
                let mut raw = builder.build()?.get_async_connection().await?;
                probe(&mut raw, space).await?;
                // Which of its processes was started when is not followed: `cluster` is one word for all time.
                Ok(Established { raw: RawConnection::Cluster(raw), run_id: "cluster".to_owned() })
            }
        }
    }
}

/// Nobody listens.
#[derive(Clone)]
struct NoPush;

impl AsyncPushSender for NoPush {
    fn send(&self, _: redis::PushInfo) -> Result<(), redis::aio::SendError> {
        Ok(())
    }
}

fn with_at(login: &str) -> String {
    if login.is_empty() { String::new() } else { format!("{login}@") }
}

fn has_port(host: &str) -> bool {
    // The colons of an IPv6 address stand in brackets.
    host.rsplit_once(']').map_or(host, |(_, after)| after).contains(':')
}

fn info(url: &str) -> Result<ConnectionInfo, String> {
    url.into_connection_info().map_err(|_| {
        // The driver's own words may repeat a part of the URL.
        "`url` is no URL of a Redis; write `redis://user:password@host:6379/0`, with `%40` and the like for signs in the \
         password that mean something in a URL"
            .to_owned()
    })
}

/// What a certificate begins with (RFC 7468 section 5).
#[cfg(feature = "tls")]
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The same, where the server's certificate is one of the authority in this file rather than of one the system knows.
#[cfg(feature = "tls")]
fn believing(info: ConnectionInfo, root: &str) -> Result<ConnectionInfo, String> {
    let pem = std::fs::read(root).map_err(|error| {
        format!("the file `{root}` that `sslrootcert` in `url` names cannot be read ({error}); name a PEM file")
    })?;
    // The driver takes a file without any for one that believes nobody, which would only show as a Redis that is away.
    if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
        return Err(format!(
            "the file `{root}` that `sslrootcert` in `url` names holds no certificate; name a PEM file"
        ));
    }
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem) };
    let client = Client::build_with_tls(info, certificates)
        .map_err(|error| format!("the file `{root}` that `sslrootcert` in `url` names is no certificate ({error})"))?;
    Ok(client.get_connection_info().clone())
}

#[cfg(not(feature = "tls"))]
fn believing(_: ConnectionInfo, _: &str) -> Result<ConnectionInfo, String> {
    Err("`url` asks for encryption, and this program is built without it".to_owned())
}

async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    timeout(limit, work).await.map_err(late)?
}

/// A connection to one server, which must be one that takes writes.
async fn one(info: ConnectionInfo, space: &KeySpace, hear: Option<impl AsyncPushSender>) -> RedisResult<Established> {
    // Each question has its own bound; the driver's would be a second one.
    let mut config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
    let mut settings = info.redis_settings().clone();
    if let Some(hear) = hear {
        // Messages come beside answers only in the newer protocol.
        settings = settings.set_protocol(ProtocolVersion::RESP3);
        config = config.set_push_sender(hear);
    }
    let client = Client::open(info.set_redis_settings(settings))?;
    let mut raw = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut pipe = redis::pipe();
    pipe.cmd("INFO").arg("server").cmd("INFO").arg("replication");
    let (server, replication): (String, String) = pipe.query_async(&mut raw).await?;
    let told = |text: &str, name: &str| {
        text.lines().find_map(|connection| {
            connection.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned())
        })
    };
    if told(&replication, "role").is_some_and(|role| role != "master") {
        return Err((ErrorKind::Client, "this Redis is a replica, which takes no writes").into());
    }
    let Some(run_id) = told(&server, "run_id") else {
        return Err((ErrorKind::Client, "this Redis does not tell its run_id (INFO server)").into());
    };
    probe(&mut raw, space).await?;
    Ok(Established { raw: RawConnection::One(raw), run_id })
}

/// Asks for a key that nobody has: a server that is loading, or a cluster that is down, answers everything else.
async fn probe(raw: &mut impl ConnectionLike, space: &KeySpace) -> RedisResult<()> {
    redis::cmd("EXISTS").arg(space.key("probe")).query_async::<Value>(raw).await.map(drop)
}

/// Where the present master is, and after how many failovers.
struct Master {
    host: String,
    port: u16,
    epoch: u64,
}

/// Asks all sentinels at once. The one that knows of the most failovers is believed: another may not have heard of the
/// last one. The driver's own search believes the first to answer, and does not tell the count.
async fn find_master(sentinels: &[ConnectionInfo], name: &str) -> RedisResult<Master> {
    let mut asking = JoinSet::new();
    for sentinel in sentinels {
        let (sentinel, name) = (sentinel.clone(), name.to_owned());
        // Half the time is for the master itself.
        asking.spawn(async move { within(CONNECT / 2, ask_sentinel(sentinel, &name)).await });
    }
    let mut found: Result<Master, RedisError> =
        Err((ErrorKind::MasterNameNotFoundBySentinel, "no sentinel knows a master of this name").into());
    while let Some(answer) = asking.join_next().await {
        match (answer, &found) {
            (Ok(Ok(master)), Ok(known)) if master.epoch <= known.epoch => {}
            (Ok(Ok(master)), _) => found = Ok(master),
            (Ok(Err(error)), Err(_)) => found = Err(error),
            _ => {}
        }
    }
    found
}

async fn ask_sentinel(sentinel: ConnectionInfo, name: &str) -> RedisResult<Master> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
    let mut raw = Client::open(sentinel)?.get_multiplexed_async_connection_with_config(&config).await?;
    let told: HashMap<String, String> = redis::cmd("SENTINEL").arg("MASTER").arg(name).query_async(&mut raw).await?;
    let number = |field: &str| told.get(field).and_then(|text| text.parse::<u64>().ok());
    match (told.get("ip"), number("port").and_then(|port| u16::try_from(port).ok()), number("config-epoch")) {
        (Some(host), Some(port), Some(epoch)) => Ok(Master { host: host.clone(), port, epoch }),
        _ => Err((ErrorKind::UnexpectedReturnType, "a sentinel does not say where the master is").into()),
    }
}

impl ConnectionLike for RawConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(raw) => raw.req_packed_command(cmd),
            Self::Cluster(raw) => raw.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(raw) => raw.req_packed_commands(pipeline, offset, count),
            Self::Cluster(raw) => raw.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(raw) => raw.get_db(),
            Self::Cluster(raw) => raw.get_db(),
        }
    }
}
