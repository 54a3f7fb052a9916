//! Where the servers are that a URL names, and how a statement that runs on one of them is called off.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use super::tls::Connector;

/// How long all servers together may take to answer a new connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);

/// The servers a URL names, each with all that the URL says. Held by the pool.
pub(crate) struct Hosts {
    each: Vec<Config>,
    /// What encrypts connections, where they are.
    connector: Option<Connector>,
    /// The one that answered last is asked first.
    first: AtomicUsize,
}

/// Moves a connection's bytes until it ends.
pub(crate) type Driving = BoxFuture<'static, Result<(), tokio_postgres::Error>>;

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the passwords, which the driver's own hides too.
        f.debug_list().entries(&self.each).finish()
    }
}

impl Hosts {
    pub(crate) fn new(config: &Config, connector: Option<Connector>) -> Self {
        let count = config.get_hosts().len().max(config.get_hostaddrs().len());
        let each = match count {
            0 | 1 => vec![config.clone()],
            _ => (0..count).map(|n| only(config, n)).collect(),
        };
        let limit = CONNECT / u32::try_from(each.len()).unwrap_or(u32::MAX);
        // What the URL says counts where it is less.
        let within = |config: &Config| config.get_connect_timeout().map_or(limit, |own| limit.min(*own));
        let each = each.into_iter().map(|mut config| config.connect_timeout(within(&config)).clone()).collect();
        Self { each, connector, first: AtomicUsize::new(0) }
    }

    /// Each server by itself.
    pub(crate) fn split(self) -> impl Iterator<Item = Self> {
        let connector = self.connector;
        let shared = CONNECT / u32::try_from(self.each.len()).unwrap_or(u32::MAX);
        self.each.into_iter().map(move |mut config| {
            // A share of the time is all of it now; less was asked for.
            if config.get_connect_timeout().is_none_or(|own| *own >= shared) {
                config.connect_timeout(CONNECT);
            }
            Self { each: vec![config], connector: connector.clone(), first: AtomicUsize::new(0) }
        })
    }

    /// The role that every query runs as.
    pub(crate) fn role(&self) -> Option<&str> {
        self.each.first().and_then(Config::get_user)
    }

    /// Begins with the next server from now on: the one that answered is not the one that is wanted.
    pub(crate) fn try_next(&self) {
        let next = (self.first.load(Ordering::Relaxed) + 1) % self.each.len();
        self.first.store(next, Ordering::Relaxed);
    }

    /// A connection to the first server that takes one, and where that is.
    pub(crate) async fn connect(&self) -> Result<(Client, Driving, Address), tokio_postgres::Error> {
        let first = self.first.load(Ordering::Relaxed);
        let mut n = 0;
        loop {
            let at = (first + n) % self.each.len();
            match self.connect_to(&self.each[at]).await {
                Ok((client, driving)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok((client, driving, Address::of(&self.each[at], self.connector.clone())));
                }
                // The last host's error is returned.
                Err(error) if n + 1 == self.each.len() => return Err(error),
                Err(_) => n += 1,
            }
        }
    }

    async fn connect_to(&self, config: &Config) -> Result<(Client, Driving), tokio_postgres::Error> {
        Ok(match &self.connector {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                (client, connection.boxed())
            }
            Some(connector) => {
                let (client, connection) = config.connect(connector.clone()).await?;
                (client, connection.boxed())
            }
        })
    }
}

/// The same, of the `n`th server alone.
fn only(all: &Config, n: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(n) {
        Some(Host::Tcp(host)) => drop(one.host(host)),
        #[cfg(unix)]
        Some(Host::Unix(folder)) => drop(one.host_path(folder)),
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(n) {
        one.hostaddr(*address);
    }
    // One port is for all.
    if let Some(port) = all.get_ports().get(n).or(all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .target_session_attrs(all.get_target_session_attrs())
        .channel_binding(all.get_channel_binding())
        .clone()
}

/// Where a connection leads to.
#[derive(Clone)]
pub(crate) struct Address {
    place: HostAddress,
    /// The name its certificate is for.
    name: String,
    connector: Option<Connector>,
}

#[derive(Debug, Clone)]
enum HostAddress {
    Tcp(String, u16),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Address {
    fn of(config: &Config, connector: Option<Connector>) -> Self {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let (place, name) = match (config.get_hostaddrs().first(), config.get_hosts().first()) {
            (address, Some(Host::Tcp(host))) => {
                let to = address.map_or_else(|| host.clone(), ToString::to_string);
                (HostAddress::Tcp(to, port), host.clone())
            }
            #[cfg(unix)]
            (_, Some(Host::Unix(folder))) => {
                (HostAddress::Unix(folder.join(format!(".s.PGSQL.{port}"))), String::new())
            }
            (Some(address), None) => (HostAddress::Tcp(address.to_string(), port), String::new()),
            (None, None) => (HostAddress::Tcp("localhost".to_owned(), port), "localhost".to_owned()),
        };
        Self { place, name, connector }
    }

    /// Calls off what runs on a connection to this server, and returns when the server has heard it.
    pub(crate) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match &self.place {
            HostAddress::Tcp(host, port) => match TcpStream::connect((host.as_str(), *port)).await {
                Ok(stream) => self.cancel_on(stream, token).await,
                Err(_) => token.cancel_query(NoTls).await,
            },
            #[cfg(unix)]
            HostAddress::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => self.cancel_on(stream, token).await,
                Err(_) => token.cancel_query(NoTls).await,
            },
        }
    }

    async fn cancel_on<S>(&self, stream: S, token: &CancelToken) -> Result<(), tokio_postgres::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = UntilHeard(stream);
        let connect = |connector: &Connector| {
            MakeTlsConnect::<UntilHeard<S>>::make_tls_connect(&mut connector.clone(), &self.name).ok()
        };
        match self.connector.as_ref().and_then(connect) {
            Some(tls) => token.cancel_query_raw(stream, tls).await,
            None => token.cancel_query_raw(stream, NoTls).await,
        }
    }
}

/// A stream that ends when the other side has closed it. A server closes a connection that asks it to cancel something
/// once it has passed that on; who does not wait for it may find the next statement cancelled instead. PgBouncer 1.18 even
/// ends itself when somebody leaves earlier.
struct UntilHeard<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilHeard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilHeard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buf = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                // However it was closed: it was heard.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_gets_all_that_is_said_of_all() {
        let url = "postgres://u:p@a:1,b:2/d?application_name=x&target_session_attrs=read-write&options=-c%20geqo%3Doff";
        let config: Config = url.parse().unwrap();
        let hosts = Hosts::new(&config, None);
        let [a, b] = hosts.each.as_slice() else { panic!("{hosts:?}") };
        for (config, host, port) in [(a, "a", 1), (b, "b", 2)] {
            assert_eq!(config.get_hosts(), [Host::Tcp(host.to_owned())]);
            assert_eq!(config.get_ports(), [port]);
            let one: Config = url.replace("a:1,b:2", &format!("{host}:{port}")).parse().unwrap();
            assert_eq!(config.clone().connect_timeout(CONNECT), one.clone().connect_timeout(CONNECT));
        }
        let hasty: Config = "postgres://a,b/d?connect_timeout=1&keepalives_retries=2".parse().unwrap();
        let hasty = Hosts::new(&hasty, None);
        assert!(hasty.each.iter().all(|config| config.get_keepalives_retries() == Some(2)));
        assert!(hasty.split().all(|one| one.each[0].get_connect_timeout() == Some(&Duration::from_secs(1))));
        let one: Config = "postgres://u@h/d".parse().unwrap();
        assert_eq!(Hosts::new(&one, None).each.len(), 1);
        let shared: Config = "host=a,b port=7 user=u".parse().unwrap();
        assert!(Hosts::new(&shared, None).each.iter().all(|config| config.get_ports() == [7]));
    }
}
