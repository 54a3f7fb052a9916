//! The servers that tests talk to: private ones, or those that a person names.

use std::process::Command;

use anyhow::Result;
use devservers::{Durability, PgBouncer, Postgres, Stop, find_or_install_redis, tools};

/// The variable by which tests find the server they may make databases on.
pub const POSTGRES_VARIABLE: &str = "MAINSTAY_TEST_POSTGRES";

/// The variable by which tests find a pooler in front of that server, in transaction mode.
pub const POOLER_VARIABLE: &str = "MAINSTAY_TEST_POOLER";

/// The variable by which tests find the certificate of the authority that signed the server's, which is for `localhost`.
const AUTHORITY_VARIABLE: &str = "MAINSTAY_TEST_AUTHORITY";

/// The variable by which tests find a standby of the server.
const STANDBY_VARIABLE: &str = "MAINSTAY_TEST_STANDBY";

/// Servers that a person names.
#[derive(clap::Args)]
pub struct Named {
    /// Use this server instead of a private one; its user must be allowed to create databases.
    #[arg(long, env = POSTGRES_VARIABLE, value_name = "URL")]
    postgres: Option<String>,
    /// With --postgres: a PgBouncer in front of that server, in transaction mode, for all its databases.
    #[arg(long, env = POOLER_VARIABLE, value_name = "URL")]
    pooler: Option<String>,
}

/// Servers that run as long as this lives.
pub struct Servers {
    urls: Vec<(&'static str, String)>,
    // In this order: the others stand on the server.
    _pooler: Option<PgBouncer>,
    _standby: Option<Postgres>,
    _postgres: Option<Postgres>,
}

impl Servers {
    /// Starts those that are not named. Each test that needs a Redis starts one by itself: only its programs must be there.
    pub fn start(named: &Named, stop: &Stop) -> Result<Self> {
        find_or_install_redis(stop)?;
        tools::system_tool("openssl", "openssl", stop)?;
        let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        if let Some(postgres) = given(&named.postgres) {
            let urls = vec![(POSTGRES_VARIABLE, postgres), (POOLER_VARIABLE, given(&named.pooler).unwrap_or_default())];
            return Ok(Self { urls, _pooler: None, _standby: None, _postgres: None });
        }
        let postgres = Postgres::start(Durability::Throwaway, stop)?;
        let pooler = PgBouncer::start(&postgres, stop)?;
        let standby = postgres.standby(stop)?;
        let urls = vec![
            (POSTGRES_VARIABLE, postgres.url()),
            (POOLER_VARIABLE, pooler.url()),
            (AUTHORITY_VARIABLE, postgres.authority().display().to_string()),
            (STANDBY_VARIABLE, standby.url()),
        ];
        Ok(Self { urls, _pooler: Some(pooler), _standby: Some(standby), _postgres: Some(postgres) })
    }

    /// Tells a command where they are.
    pub fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.urls.iter().map(|(name, url)| (name, url)))
    }

    /// Where they are, for people.
    pub fn shown(&self) -> String {
        self.urls.iter().map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(" ")
    }
}
