//! A private PostgreSQL for one run: as it comes, every commit flushed, gone afterwards.
//!
//! `xtask` starts one too. The lab keeps its own few lines: it must stay apart from everything it might measure, and
//! wants other things of a server (which core, what it cost, which statements it ran).

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use crate::contender::free_port;
use crate::lab::Lab;
use crate::process::{self, Running, Usage};

const START_WITHIN: Duration = Duration::from_secs(60);
const NAMES: [&str; 7] = ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS"];

/// A running server. Dropped, it stops; its files go with the lab's scratch folder.
pub struct Postgres {
    running: Running,
    bin: PathBuf,
    log: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it on `core`.
    pub fn start(lab: &Lab, core: Option<usize>) -> Result<Self> {
        let bin =
            find().context("PostgreSQL is not installed (on Debian or Ubuntu: sudo apt-get install postgresql)")?;
        let home = lab.folder("postgres")?;
        let log = home.join("log");
        if geteuid().is_root() {
            // The server refuses to run as root: then it runs as the user its package made.
            let user = User::from_name("postgres").context("cannot look up the user postgres")?;
            let user = user.context("there is no user postgres to run the database as; run this as yourself")?;
            chown(&home, Some(user.uid.as_raw()), Some(user.gid.as_raw())).context("cannot hand over a folder")?;
        }
        let mut initdb = as_server_user(None, &bin.join("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
            "-D",
        ]);
        process::output(initdb.arg(home.join("data")).current_dir(&home))
            .context("cannot make a PostgreSQL cluster")?;

        let port = free_port()?;
        let mut postgres = as_server_user(core, &bin.join("postgres"));
        postgres.arg("-D").arg(home.join("data")).args(["-p", &port.to_string()]).arg("-k").arg(&home);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=512MB"]);
        let errors = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let running =
            Running::start(postgres.current_dir(&home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors))?;
        let mut server = Self { running, bin, log, port };
        let start = Instant::now();
        while server.psql("postgres", "select 1").is_err() {
            if server.running.ended()?.is_some() || start.elapsed() > START_WITHIN {
                bail!("PostgreSQL did not start: {}", fs::read_to_string(&server.log).unwrap_or_default().trim());
            }
            lab.stop.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Makes an empty database, in place of one that had the name, and returns its URL.
    pub fn fresh(&self, database: &str) -> Result<String> {
        self.copy("template0", database)
    }

    /// Makes a copy of a database nobody is connected to, in place of one that had the name, and returns its URL.
    pub fn copy(&self, database: &str, name: &str) -> Result<String> {
        self.psql("postgres", &format!("drop database if exists {name} with (force)"))?;
        self.psql("postgres", &format!("create database {name} template {database}"))?;
        Ok(self.url(name))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL and returns what it prints, a row a line.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        process::output(self.client(database).args(["-c", sql]))
    }

    /// Runs a file of SQL.
    pub fn psql_file(&self, database: &str, file: &Path) -> Result<()> {
        process::output(self.client(database).arg("-f").arg(file)).map(|_| ())
    }

    fn client(&self, database: &str) -> Command {
        let mut psql = Command::new(self.bin.join("psql"));
        for name in NAMES {
            psql.env_remove(name);
        }
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-d", database]);
        psql
    }

    /// What the server has used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.running.id())
    }

    /// What it has written into its log.
    pub fn said(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("cannot read {}", self.log.display()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing here is worth a checkpoint.
        if let Err(error) = self.running.end(Signal::SIGQUIT) {
            eprintln!("could not stop PostgreSQL: {error:#}");
        }
    }
}

fn as_server_user(core: Option<usize>, program: &Path) -> Command {
    let program = program.to_string_lossy();
    let mut command = if geteuid().is_root() {
        let mut command = process::on_core(core, "setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", &program]);
        command
    } else {
        process::on_core(core, &program)
    };
    // Settings of a person's own server must not leak into ours.
    for name in NAMES {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
    command
}

/// Where `initdb` and `postgres` are: Debian's newest, or the search path.
fn find() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        path.join("bin/initdb").exists().then(|| (version, path.join("bin")))
    });
    if let Some((_, bin)) = versions.max() {
        return Some(bin);
    }
    let path = process::output(Command::new("sh").args(["-c", "command -v initdb"])).ok()?;
    Some(fs::canonicalize(path.trim()).ok()?.parent()?.to_owned())
}
