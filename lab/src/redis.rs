//! A private Redis for one run: nothing on disk, gone afterwards.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::contender::free_port;
use crate::lab::Lab;
use crate::process::{self, Running, Usage};

const START_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running server. Dropped, it stops; its files go with the lab's scratch folder.
pub struct Redis {
    running: Running,
    log: PathBuf,
    address: SocketAddr,
}

impl Redis {
    /// Starts one on `core`, its files below the folder `name`. It writes nothing to disk, as a cache is run: its
    /// snapshots would come out of whoever is measured at that moment.
    pub fn start(lab: &Lab, core: Option<usize>, name: &str) -> Result<Self> {
        ensure!(
            process::is_there("redis-server"),
            "Redis is not installed (on Debian or Ubuntu: sudo apt-get install redis-server)"
        );
        let home = lab.folder(name)?;
        let (log, port) = (home.join("log"), free_port()?);
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = process::on_core(core, "redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(&home).stdin(Stdio::null()).stdout(out);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { running: Running::start(&mut command)?, log, address };
        let start = Instant::now();
        while server.ask("PING", "+PONG").is_err() {
            if server.running.ended()?.is_some() || start.elapsed() > START_WITHIN {
                bail!("Redis did not start: {}", fs::read_to_string(&server.log).unwrap_or_default().trim());
            }
            lab.stop.check()?;
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Where it is, for its clients.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Forgets everything: who comes next finds what the first one found.
    pub fn clear(&self) -> Result<()> {
        self.ask("FLUSHALL", "+OK")
    }

    /// What the server has used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.running.id())
    }

    /// One command as Redis takes it from people, and the line it has to answer.
    fn ask(&self, command: &str, wanted: &str) -> Result<()> {
        let mut socket = TcpStream::connect_timeout(&self.address, ANSWER_WITHIN).context("cannot reach Redis")?;
        socket.set_read_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
        socket.write_all(format!("{command}\r\n").as_bytes()).context("cannot ask Redis")?;
        let mut answer = vec![0; wanted.len()];
        socket.read_exact(&mut answer).context("Redis does not answer")?;
        ensure!(answer == wanted.as_bytes(), "Redis says {:?} to {command}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Err(error) = self.running.end(Signal::SIGTERM) {
            eprintln!("could not stop Redis: {error:#}");
        }
    }
}
