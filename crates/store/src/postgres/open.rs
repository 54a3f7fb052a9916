//! Reading the URL, connecting for the first time, and saying what to do when that fails.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::hosts::Hosts;
use super::pool::{Pool, Use};
use super::tls::Asked;
use super::{url, watch};
use crate::{OpenError, OpenErrorKind, StoreSettings};

/// How long the first connection may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the URLs without connecting.
pub(crate) fn check_urls(url: &str, admin: Option<&str>, replica: Option<&str>) -> Result<(), String> {
    let (config, asked) = read_url(url)?;
    asked.check()?;
    for (name, other) in [("admin_url", admin), ("replica_url", replica)] {
        let Some(other) = other else { continue };
        let read = read_url(other).and_then(|(other, asked)| asked.check().map(|()| other));
        let other = read.map_err(|advice| advice.replace("`url`", &format!("`{name}`")))?;
        if database(&other) != database(&config) {
            return Err(format!(
                "`{name}` names the database `{}`, and `url` the database `{}`; both must be the same",
                database(&other),
                database(&config)
            ));
        }
    }
    Ok(())
}

/// The driver's configuration, and what the URL asks of encryption.
fn read_url(url: &str) -> Result<(Config, Asked), String> {
    let (mut config, asked) = url::read(url)?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    if config.get_application_name().is_none() {
        config.application_name("mainstay");
    }
    config.keepalives_idle(Duration::from_secs(30));
    let asked = Asked::or_usual(asked, &config);
    asked.apply(&mut config);
    Ok((config, asked))
}

fn hosts(url: &str) -> Result<(Hosts, Config), OpenError> {
    let (config, asked) = read_url(url).map_err(|advice| OpenError::new(OpenErrorKind::Settings, advice))?;
    let connector = asked.connector().map_err(|advice| OpenError::new(OpenErrorKind::Tls, advice))?;
    Ok((Hosts::new(&config, connector), config))
}

/// Connections to each standby. None is made yet: one that is away is no error.
pub(crate) fn standbys(settings: &StoreSettings) -> Result<Vec<Arc<Pool>>, OpenError> {
    let Some(url) = settings.replica() else { return Ok(Vec::new()) };
    Ok(hosts(url)?.0.split().map(|one| Pool::new(one, None, settings)).collect())
}

/// Connects once, so that a wrong URL is reported now and not by the first request.
pub(crate) async fn pool(url: &str, settings: &StoreSettings) -> Result<Arc<Pool>, OpenError> {
    let (first, config) = hosts(url)?;
    let admin = settings.admin().map(hosts).transpose()?.map(|(hosts, _)| hosts);
    let pool = Pool::new(first, admin, settings);
    if pool.keeps_state() {
        match tokio::time::timeout(TIMEOUT, pool.is_shared_out()).await {
            Ok(Ok(true)) => return Err(pooler(&config)),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return Err(explain(&config, error)),
            Err(_) => return Err(no_server(&config, "does not answer")),
        }
    }
    let mut session = match tokio::time::timeout(TIMEOUT, pool.connect(Use::Alone)).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return Err(explain(&config, error)),
        Err(_) => return Err(no_server(&config, "does not answer")),
    };
    let encoding: Vec<(String,)> =
        session.fetch("SELECT current_setting('server_encoding')", &[], 1).await.map_err(|failure| {
            OpenError::new(OpenErrorKind::Other, "the database does not answer").because(failure.error)
        })?;
    if encoding.first().is_none_or(|(encoding,)| encoding != "UTF8") {
        return Err(OpenError::new(
            OpenErrorKind::Other,
            format!(
                "the database `{}` is not encoded in UTF-8; make another with `CREATE DATABASE … ENCODING 'UTF8' \
                 TEMPLATE template0`",
                database(&config)
            ),
        ));
    }
    // An operator's word is heard from the first write on.
    if watch::is_read_only(&mut session).await.is_ok_and(|is_read_only| is_read_only) {
        pool.health().set_read_only(true);
    }
    pool.adopt(session);
    Ok(pool)
}

fn pooler(config: &Config) -> OpenError {
    OpenError::new(
        OpenErrorKind::Pooler,
        format!(
            "a pooler at {} gives each transaction another connection (PgBouncer's transaction mode), which keeps neither \
             statements prepared nor a connection's settings; set `prepared_statements = false`, and `admin_url` to the \
             server itself, or name the server itself in `url`",
            address(config)
        ),
    )
}

fn database(config: &Config) -> &str {
    config.get_dbname().or(config.get_user()).unwrap_or("postgres")
}

/// Where the server should be: `localhost:5432`, `/run/postgresql`.
fn address(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(host)), _) => format!("{host}:{port}"),
        #[cfg(unix)]
        (Some(Host::Unix(folder)), _) => format!("{}/.s.PGSQL.{port}", folder.display()),
        (_, Some(address)) => format!("{address}:{port}"),
        _ => format!("localhost:{port}"),
    }
}

fn no_server(config: &Config, what: &str) -> OpenError {
    let address = address(config);
    OpenError::new(
        OpenErrorKind::NoServer,
        format!("the PostgreSQL server at {address} {what}; start it, or correct the host and port in `url`"),
    )
}

/// Whether the two sides could not agree, or one did not believe the other.
fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS")
}

fn explain(config: &Config, error: tokio_postgres::Error) -> OpenError {
    let user = config.get_user().unwrap_or("(the system user)");
    let address = address(config);
    let (kind, message) = match error.as_db_error() {
        Some(told) => match told.code().code() {
            "28P01" | "28000" => (
                OpenErrorKind::Refused,
                format!(
                    "the PostgreSQL server at {address} does not accept the user `{user}` with this password; correct \
                     them in `url`, or set the password with `ALTER ROLE {user} PASSWORD '…'`"
                ),
            ),
            "3D000" => (
                OpenErrorKind::NoDatabase,
                format!(
                    "there is no database `{}` on the PostgreSQL server at {address}; create it with \
                     `CREATE DATABASE {}`, or correct the name in `url`",
                    database(config),
                    database(config)
                ),
            ),
            "53300" => (
                OpenErrorKind::Locked,
                format!(
                    "the PostgreSQL server at {address} has no connection left; lower `pool_size`, or raise its \
                     `max_connections`"
                ),
            ),
            "57P03" | "57P01" | "57P02" => return no_server(config, "is starting or stopping").because(error),
            _ => (OpenErrorKind::Other, format!("the PostgreSQL server at {address} refuses the connection")),
        },
        None if is_of_tls(&error) => (
            OpenErrorKind::Tls,
            format!(
                "no encrypted connection comes about with the PostgreSQL server at {address}; see whether it has one \
                 (`ssl = on`), and correct `sslmode` and `sslrootcert` in `url`"
            ),
        ),
        None if error.source().is_some_and(|source| source.is::<io::Error>()) => {
            return no_server(config, "does not answer").because(error);
        }
        None if error.source().is_some_and(|source| source.to_string().contains("password")) => (
            OpenErrorKind::Refused,
            format!("the PostgreSQL server at {address} asks for a password; write it in `url`"),
        ),
        None => (OpenErrorKind::Other, format!("the PostgreSQL server at {address} cannot be connected to")),
    };
    OpenError::new(kind, message).because(error)
}
