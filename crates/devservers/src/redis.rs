//! Private Redis servers: alone, encrypted, as a cluster, with a sentinel; and what can happen to one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::certificate;
use crate::ports::{CLUSTER_BUS, free_port_below, is_free};
use crate::process::{self, Process, Stop, under};
use crate::scratch::Scratch;
use crate::tools;

/// How long a server may take to do what it is asked for.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Ports end here, so that each has room for its second one.
const PORTS_END: u16 = 22_000;
const ATTEMPTS: u32 = 20;

/// Makes sure that Redis' programs are there, installing them where we may; returns where the server is.
///
/// # Errors
/// When they are missing and cannot be installed.
pub fn find_or_install_redis(stop: &Stop) -> Result<PathBuf> {
    tools::system_tool("redis-cli", "redis-tools", stop).context("redis-cli is missing")?;
    tools::system_tool("redis-server", "redis-server", stop).context("Redis is missing")
}

/// A Redis that nobody else uses, on a port of its own. When it is dropped, it is killed, and its folder goes. It keeps
/// nothing over a restart, except what `cli(&["SAVE"])` wrote down.
#[derive(Debug)]
pub struct RedisServer {
    // Before the folder it stands in.
    process: Option<Process>,
    port: u16,
    folder: Scratch,
    arguments: Vec<String>,
    /// Words before its program.
    under: Vec<String>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not start; the message says what to do.
    pub fn start() -> Result<Self> {
        Self::with(&[])
    }

    /// Starts one with further arguments: `&["--maxmemory", "2mb"]`.
    ///
    /// # Errors
    /// When it does not start; the message says what to do.
    pub fn with(arguments: &[&str]) -> Result<Self> {
        Self::under(&[], arguments)
    }

    /// The same, with words before its program, such as those of `taskset`.
    ///
    /// # Errors
    /// When it does not start; the message says what to do.
    pub fn under(words: &[String], arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let folder = Scratch::new("redis")?;
        let mut server = Self { process: None, port: 0, folder, arguments, under: words.to_vec() };
        // Another test may take the port between the look and the start.
        for _ in 0..ATTEMPTS {
            server.port = port()?;
            if server.try_start()? {
                return Ok(server);
            }
        }
        bail!("no Redis could be started: {}", server.log())
    }

    /// Starts one that takes encrypted connections only, with a certificate for `localhost` of an authority of its own.
    ///
    /// # Errors
    /// When it does not start, or `openssl` is missing.
    pub fn encrypted() -> Result<Self> {
        let mut server = Self::start()?;
        server.kill()?;
        certificate::make(server.folder.path(), || Command::new("openssl"), &Stop::default())?;
        let port = server.port.to_string();
        let settings = ["--port", "0", "--tls-port", &port, "--tls-cert-file", "server.pem"];
        let further =
            ["--tls-key-file", "server.key", "--tls-ca-cert-file", certificate::AUTHORITY, "--tls-auth-clients", "no"];
        server.arguments = settings.iter().chain(&further).map(|&argument| argument.to_owned()).collect();
        server.restart()?;
        Ok(server)
    }

    /// Where the certificate of its authority is, if it is [`RedisServer::encrypted`].
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join(certificate::AUTHORITY)
    }

    /// Its port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, as `cache.url` wants it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its process id; none while it is killed.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.ended(), Ok(None)))
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("this Redis is not running")?.end_group(Signal::SIGKILL)
    }

    /// Starts it again on the same port, with what was saved last, if anything was. Kills it before, if it runs.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            self.kill()?;
        }
        let began = Instant::now();
        while !self.try_start()? {
            if began.elapsed() > TIMEOUT {
                bail!("Redis does not start again: {}", self.log());
            }
        }
        Ok(())
    }

    /// The same, with nothing in it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_empty(&mut self) -> Result<()> {
        if self.process.is_some() {
            self.kill()?;
        }
        // There may be none.
        let _ = fs::remove_file(self.folder.path().join("dump.rdb"));
        self.restart()
    }

    /// Stops it where it stands (SIGSTOP): connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`RedisServer::freeze`].
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Runs a command by `redis-cli` and gives what it prints.
    ///
    /// # Errors
    /// When `redis-cli` is missing or fails.
    pub fn cli(&self, command: &[&str]) -> Result<String> {
        cli(self.port, command)
    }

    /// How often scripts were run: what nodes ask it for limits.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn scripts_run(&self) -> Result<u64> {
        let told = self.cli(&["INFO", "commandstats"])?;
        let calls = told.lines().filter_map(|line| {
            let rest = line.strip_prefix("cmdstat_evalsha:calls=").or_else(|| line.strip_prefix("cmdstat_eval:calls="));
            rest?.split(',').next()?.parse::<u64>().ok()
        });
        Ok(calls.sum())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("this Redis is not running")?.send(signal)
    }

    /// Whether it runs and answers now.
    fn try_start(&mut self) -> Result<bool> {
        let folder = self.folder.path();
        let mut command = under(&self.under, "redis-server");
        if folder.join("sentinel.conf").exists() {
            command.arg(folder.join("sentinel.conf")).arg("--sentinel");
        } else {
            command.args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
            command.args(["--repl-diskless-sync-delay", "0"]);
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--logfile", "log"]);
        // Files that the arguments name lie there too.
        command.current_dir(folder).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Process::start_in_our_group(&mut command)
            .context("install Redis 7 or later (`apt-get install redis-server`, `brew install redis`)");
        let mut process = started?;
        let is_encrypted = self.arguments.iter().any(|argument| argument == "--tls-port");
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            if is_ready(self.port, is_encrypted) {
                // Somebody else's may answer there.
                let is_ours = process.ended()?.is_none();
                self.process = is_ours.then_some(process);
                return Ok(is_ours);
            }
            if process.ended()?.is_some() {
                break;
            }
            thread::sleep(LOOK);
        }
        Ok(false)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Three masters that share the keys.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not come together.
    pub fn start() -> Result<Self> {
        let enabled = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let servers = (0..3).map(|_| RedisServer::with(&enabled)).collect::<Result<Vec<_>>>()?;
        let places: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(places.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "0", "--cluster-yes"]);
        servers[0].cli(&create)?;
        for server in &servers {
            until("the cluster is whole", || Ok(server.cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok")))?;
        }
        Ok(Self { servers })
    }

    /// Where it is, as `cache.url` wants it.
    pub fn url(&self) -> String {
        let places: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+cluster://{}", places.join(","))
    }

    /// Its servers.
    pub fn servers(&mut self) -> &mut [RedisServer] {
        &mut self.servers
    }
}

/// A master, a replica of it, and a sentinel that watches them as `main`.
#[derive(Debug)]
pub struct RedisSentinel {
    data: [RedisServer; 2],
    sentinel: RedisServer,
}

impl RedisSentinel {
    /// Starts them.
    ///
    /// # Errors
    /// When they do not come together.
    pub fn start() -> Result<Self> {
        let master = RedisServer::start()?;
        let port = master.port.to_string();
        let replica = RedisServer::with(&["--replicaof", &format!("127.0.0.1 {port}")])?;
        until("the replica has all", || Ok(replica.cli(&["INFO", "replication"])?.contains("master_link_status:up")))?;
        let folder = Scratch::new("redis")?;
        let config = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n"
        );
        fs::write(folder.path().join("sentinel.conf"), config).context("cannot write sentinel.conf")?;
        let port = self::port()?;
        let mut sentinel = RedisServer { process: None, port, folder, arguments: Vec::new(), under: Vec::new() };
        sentinel.restart()?;
        let it = Self { data: [master, replica], sentinel };
        until("the sentinel knows the replica", || {
            let told = it.sentinel.cli(&["SENTINEL", "REPLICAS", "main"])?;
            Ok(told.contains("master-link-status\nok") && told.contains("flags\nslave\n"))
        })?;
        Ok(it)
    }

    /// Where it is, as `cache.url` wants it.
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port)
    }

    /// The server that is the master, as the sentinel sees it.
    ///
    /// # Errors
    /// When the sentinel names neither of them.
    pub fn master(&mut self) -> Result<&mut RedisServer> {
        let port = self.master_port()?;
        self.data.iter_mut().find(|server| server.port == port).context("the sentinel knows neither of them")
    }

    /// The replica takes over, once it has all; returns when it has.
    ///
    /// # Errors
    /// When it does not.
    pub fn failover(&mut self) -> Result<()> {
        let before = self.master_port()?;
        // A failover does not wait for it: what was not copied yet would be lost.
        until("the replica has all", || {
            let told = cli(before, &["INFO", "replication"])?;
            let offset = told.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).unwrap_or_default();
            Ok(told.contains(&format!("state=online,offset={},", offset.trim())))
        })?;
        until("a failover can begin", || Ok(self.sentinel.cli(&["SENTINEL", "FAILOVER", "main"])?.contains("OK")))?;
        self.until_another(before)
    }

    /// The master is killed; returns when the replica has taken over.
    ///
    /// # Errors
    /// When it does not.
    pub fn kill_master(&mut self) -> Result<()> {
        let before = self.master_port()?;
        self.master()?.kill()?;
        self.until_another(before)
    }

    fn master_port(&self) -> Result<u16> {
        let told = self.sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"])?;
        told.lines().nth(1).and_then(|port| port.parse().ok()).context("the sentinel names no port")
    }

    fn until_another(&self, before: u16) -> Result<()> {
        until("another is the master", || {
            let port = self.master_port()?;
            Ok(port != before && cli(port, &["ROLE"])?.starts_with("master"))
        })
    }
}

fn cli(port: u16, command: &[&str]) -> Result<String> {
    process::output(Command::new("redis-cli").args(["-p", &port.to_string()]).args(command))
}

/// Waits for a state that comes.
fn until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > TIMEOUT {
            bail!("waited in vain until {what}");
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn port() -> Result<u16> {
    free_port_below(PORTS_END, |port| is_free(port + CLUSTER_BUS))
}

/// Whether a Redis answers there that is done with loading. One that speaks encrypted is believed to be when it takes
/// connections: it has nothing to load.
fn is_ready(port: u16, is_encrypted: bool) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        if is_encrypted {
            return Ok(true);
        }
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        // One that wants a password is ready too; one that says `-LOADING` is not.
        Ok(&answer == b"+PONG\r\n" || &answer == b"-NOAUTH")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_forgets_when_killed_and_leaves_nothing() {
        let mut redis = RedisServer::start().unwrap();
        redis.cli(&["SET", "a", "1"]).unwrap();
        let before = redis.scripts_run().unwrap();
        redis.cli(&["EVAL", "return 1", "0"]).unwrap();
        assert_eq!(redis.scripts_run().unwrap(), before + 1);
        redis.kill().unwrap();
        assert!(!redis.is_running());
        assert!(redis.cli(&["PING"]).is_err());
        redis.restart().unwrap();
        assert_eq!(redis.cli(&["DBSIZE"]).unwrap(), "0\n");
        let (port, folder) = (redis.port, redis.folder.path().to_owned());
        drop(redis);
        assert!(!is_ready(port, false) && !folder.exists());
    }
}
