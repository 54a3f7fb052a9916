//! A private MariaDB for one run: as it comes, every commit flushed, gone afterwards.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use devservers::{Process, free_port};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use crate::lab::Lab;
use crate::process::{self, Usage};

const START_WITHIN: Duration = Duration::from_secs(60);
/// The one that targets sign in as, from this machine alone.
const USER: &str = "lab";
const PASSWORD: &str = "lab";

/// A running server. Dropped, it stops; its files go with the lab's scratch folder.
pub struct MariaDb {
    running: Process,
    log: PathBuf,
    socket: PathBuf,
    port: u16,
}

impl MariaDb {
    /// Makes a server's files and starts it on `core`.
    pub fn start(lab: &Lab, core: Option<usize>) -> Result<Self> {
        ensure!(
            process::is_there("mariadbd") || Path::new("/usr/sbin/mariadbd").exists(),
            "MariaDB is not installed (on Debian or Ubuntu: sudo apt-get install mariadb-server)"
        );
        let home = lab.folder("mariadb")?;
        let (data, log, socket) = (home.join("data"), home.join("log"), home.join("socket"));
        if geteuid().is_root() {
            // As PostgreSQL: not as root, but as the user its package made.
            let user = User::from_name("mysql").context("cannot look up the user mysql")?;
            let user = user.context("there is no user mysql to run the database as; run this as yourself")?;
            chown(&home, Some(user.uid.as_raw()), Some(user.gid.as_raw())).context("cannot hand over a folder")?;
        }
        let mut install = as_server_user(None, "mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        process::output(install.arg(format!("--datadir={}", data.display())).current_dir(&home))
            .context("cannot make MariaDB's files")?;

        let port = free_port()?;
        let mut mariadbd = as_server_user(core, "mariadbd");
        mariadbd.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        mariadbd.arg(format!("--socket={}", socket.display())).arg(format!("--port={port}"));
        // As much memory and as many connections as PostgreSQL gets; what it flushes, it flushes as it comes: at every
        // commit.
        mariadbd.args(["--bind-address=127.0.0.1", "--max-connections=200", "--innodb-buffer-pool-size=512M"]);
        mariadbd.args(["--character-set-server=utf8mb4", "--skip-name-resolve"]);
        let errors = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let running =
            Process::start(mariadbd.current_dir(&home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors))?;
        let mut server = Self { running, log, socket, port };
        let start = Instant::now();
        while server.run("mysql", "select 1").is_err() {
            if server.running.ended()?.is_some() || start.elapsed() > START_WITHIN {
                bail!("MariaDB did not start: {}", fs::read_to_string(&server.log).unwrap_or_default().trim());
            }
            lab.stop.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        server.run(
            "mysql",
            &format!(
                "create user '{USER}'@'127.0.0.1' identified by '{PASSWORD}'; \
                 grant all on *.* to '{USER}'@'127.0.0.1'"
            ),
        )?;
        Ok(server)
    }

    /// Makes an empty database, in place of one that had the name, and returns its URL.
    pub fn fresh(&self, database: &str) -> Result<String> {
        self.run(
            "mysql",
            &format!("drop database if exists {database}; create database {database} character set utf8mb4"),
        )?;
        Ok(format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port))
    }

    /// Runs SQL.
    pub fn run(&self, database: &str, sql: &str) -> Result<()> {
        process::output(self.client(database).args(["-e", sql])).map(drop)
    }

    /// Runs a file of SQL.
    pub fn run_file(&self, database: &str, file: &Path) -> Result<()> {
        process::output(self.client(database).args(["-e", &format!("source {}", file.display())])).map(drop)
    }

    fn client(&self, database: &str) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", "--batch"]).arg(format!("--socket={}", self.socket.display()));
        client.arg(database);
        client
    }

    /// What the server has used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.running.pid().unsigned_abs())
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // Nothing here is worth a checkpoint.
        if let Err(error) = self.running.end_group(Signal::SIGKILL) {
            eprintln!("could not stop MariaDB: {error:#}");
        }
    }
}

fn as_server_user(core: Option<usize>, program: &str) -> Command {
    if geteuid().is_root() {
        let mut command = process::on_core(core, "setpriv");
        command.args(["--reuid", "mysql", "--regid", "mysql", "--init-groups", program]);
        command
    } else {
        process::on_core(core, program)
    }
}
