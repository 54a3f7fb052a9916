//! A private Redis that lives as long as a value of this type: free port, files of its own, and what can happen to one.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::child::{self, Running, Stop};
use crate::postgres::free_port;
use crate::tools;

const START_WITHIN: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 3;

/// A running server that keeps nothing over a restart. Dropped, it is killed; its files are in the folder it was given.
pub struct Redis {
    running: Running,
    folder: PathBuf,
    port: u16,
}

/// Makes sure that Redis' programs are there, installing them where we may; where the server is.
pub fn find_or_install(stop: &Stop) -> Result<PathBuf> {
    tools::system_tool("redis-cli", "redis-tools", stop).context("redis-cli is missing")?;
    tools::system_tool("redis-server", "redis-server", stop).context("Redis is missing")
}

impl Redis {
    /// Finds Redis and starts it in `folder`.
    pub fn start(folder: &Path, stop: &Stop) -> Result<Self> {
        find_or_install(stop)?;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match launch(folder, port, stop) {
                Ok(running) => return Ok(Self { running, folder: folder.to_owned(), port }),
                // Someone else may have taken the port between our question and the server's start.
                Err(error) if attempt < ATTEMPTS && !stop.is_asked() => eprintln!("trying again: {error:#}"),
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Where it is, as `cache.url` wants it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.running.end_group(Signal::SIGKILL)
    }

    /// Starts it again on the same port, with nothing in it.
    pub fn restart(&mut self, stop: &Stop) -> Result<()> {
        self.running = launch(&self.folder, self.port, stop)?;
        Ok(())
    }

    /// It takes connections and says nothing, until it is thawed.
    pub fn freeze(&mut self) -> Result<()> {
        self.running.signal(Signal::SIGSTOP)
    }

    /// It goes on where it was.
    pub fn thaw(&mut self) -> Result<()> {
        self.running.signal(Signal::SIGCONT)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.running.ended(), Ok(None))
    }

    /// What `redis-cli` prints for one command.
    pub fn cli(&self, command: &[&str]) -> Result<String> {
        child::output(Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command))
    }

    /// How often scripts were run: what nodes ask it for limits.
    pub fn scripts_run(&self) -> Result<u64> {
        let told = self.cli(&["INFO", "commandstats"])?;
        let calls = told.lines().filter_map(|line| {
            let rest = line.strip_prefix("cmdstat_evalsha:calls=").or_else(|| line.strip_prefix("cmdstat_eval:calls="));
            rest?.split(',').next()?.parse::<u64>().ok()
        });
        Ok(calls.sum())
    }
}

fn launch(folder: &Path, port: u16, stop: &Stop) -> Result<Running> {
    let log_path = folder.join("redis.log");
    let log = File::options().create(true).append(true).open(&log_path);
    let log = log.with_context(|| format!("cannot write {}", log_path.display()))?;
    let mut redis = Command::new("redis-server");
    redis.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    redis.arg(folder).current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    let mut running = Running::start(&mut redis)?;
    let start = Instant::now();
    while !is_ready(port) {
        stop.check()?;
        let ended = running.ended()?;
        if ended.is_some() || start.elapsed() > START_WITHIN {
            let said = fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<_> = said.lines().rev().take(10).collect();
            bail!("Redis does not answer: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(running)
}

/// Whether a Redis answers there.
fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Scratch;

    #[test]
    fn it_starts_forgets_when_killed_and_leaves_nothing() {
        let (stop, scratch) = (Stop::default(), Scratch::new("redis-test").unwrap());
        let mut redis = Redis::start(scratch.path(), &stop).unwrap();
        redis.cli(&["SET", "a", "1"]).unwrap();
        let before = redis.scripts_run().unwrap();
        redis.cli(&["EVAL", "return 1", "0"]).unwrap();
        assert_eq!(redis.scripts_run().unwrap(), before + 1);
        redis.kill().unwrap();
        assert!(!redis.is_running());
        assert!(redis.cli(&["PING"]).is_err());
        redis.restart(&stop).unwrap();
        assert_eq!(redis.cli(&["DBSIZE"]).unwrap(), "0\n");
        let port = redis.port;
        drop(redis);
        assert!(!is_ready(port));
    }
}
