//! A private PgBouncer in front of a private PostgreSQL, in transaction mode: each transaction may be on another
//! connection of the server's.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::ports::free_port;
use crate::postgres::{Postgres, as_server_user};
use crate::process::{Process, Stop};
use crate::tools;

const START_WITHIN: Duration = Duration::from_secs(20);

/// A running pooler. Dropped, it stops; its files are in the server's directory.
#[derive(Debug)]
pub struct PgBouncer {
    running: Process,
    port: u16,
    log: PathBuf,
}

impl PgBouncer {
    /// Finds PgBouncer (installing it where we may), and starts it for every database of the server.
    pub fn start(postgres: &Postgres, stop: &Stop) -> Result<Self> {
        let program = match find() {
            Some(program) => program,
            None => {
                tools::apt_install(&["pgbouncer"], stop).context("PgBouncer is missing")?;
                find().context("PgBouncer was installed, and is nowhere to be found")?
            }
        };
        let port = free_port()?;
        let home = postgres.home();
        let write = |name: &str, text: String| {
            let path = home.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display())).map(|()| path)
        };
        let users = write("pgbouncer.users", "\"postgres\" \"\"\n".to_owned())?;
        // Few connections to the server, so that callers meet each other's.
        let config = write(
            "pgbouncer.ini",
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
                 default_pool_size = 4\nmax_client_conn = 1000\nserver_idle_timeout = 5\n",
                postgres.port(),
                users.display()
            ),
        )?;
        let log = home.join("pgbouncer.log");
        let written = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = as_server_user(&program, None);
        command.arg(config).current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(written);
        let mut pooler = Self { running: Process::start(&mut command)?, port, log };
        pooler.wait(stop)?;
        Ok(pooler)
    }

    fn wait(&mut self, stop: &Stop) -> Result<()> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            stop.check()?;
            let ended = self.running.ended()?;
            if ended.is_some() || start.elapsed() > START_WITHIN {
                bail!("PgBouncer does not answer: {}", self.said());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The end of its log.
    fn said(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Where tests connect.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if !matches!(self.running.ended(), Ok(None)) {
            eprintln!("PgBouncer had ended:\n{}", self.said());
            return;
        }
        if let Err(error) = self.running.end_group(Signal::SIGKILL) {
            eprintln!("could not stop PgBouncer: {error:#}");
        }
    }
}

fn find() -> Option<PathBuf> {
    // Debian puts it where a person's search path does not lead.
    tools::find("pgbouncer").or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|path| path.exists()))
}
