//! Redis for tests: a private server for each, and what can happen to one.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kernel::Random;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a server may take to do what a test needs of it: a wait past it is a fault.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Ports are taken from here: below those that the system gives to outgoing connections, of which one could otherwise
/// have the port of a server that is down. A cluster's servers have a second one, 10,000 higher.
const PORTS: std::ops::Range<u16> = 10_000..22_000;

/// A Redis that nobody else uses, on a port of its own. Held by the test; when it is dropped, it is killed, and its
/// folder goes. It keeps nothing over a restart, except what `cli(&["SAVE"])` wrote down.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start; the message says what to do.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with further arguments: `&["--maxmemory", "2mb"]`.
    ///
    /// # Panics
    /// When it does not start; the message says what to do.
    pub fn with(arguments: &[&str]) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mainstay_redis_{:032x}", u128::from_le_bytes(Random::os().bytes())));
        std::fs::create_dir(&folder).expect("a folder for the test can be made");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { port: 0, folder, arguments, child: None };
        // Another test may take the port between the look and the start.
        for _ in 0..20 {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("no Redis could be started: {}", server.log());
    }

    /// Starts one that takes encrypted connections only, with a certificate for `localhost` of an authority of its own.
    ///
    /// # Panics
    /// When it does not start, or `openssl` is missing.
    pub fn encrypted() -> Self {
        let mut server = Self::start();
        server.kill();
        let make = |arguments: &str| {
            let output = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(&server.folder)
                .stdin(Stdio::null())
                .output()
                .unwrap_or_else(|error| panic!("`openssl` cannot be run ({error}); install it"));
            assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        make(&format!("req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.pem -days 2"));
        make(&format!(
            "req {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out request.pem"
        ));
        make(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2 -out cert.pem",
        );
        let port = server.port.to_string();
        let settings = ["--port", "0", "--tls-port", &port, "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
        let further = ["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no"];
        server.arguments = settings.iter().chain(&further).map(|&argument| argument.to_owned()).collect();
        server.restart();
        server
    }

    /// Where the certificate of its authority is, if it is [`RedisServer::encrypted`].
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Its port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, as `cache.url` wants it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Starts it again on the same port, with what was saved last, if anything was. Kills it before, if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        let began = Instant::now();
        while !self.try_start() {
            assert!(began.elapsed() < PATIENCE, "Redis does not start again: {}", self.log());
        }
    }

    /// The same, with nothing.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_empty(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        // There may be none.
        let _ = std::fs::remove_file(self.folder.join("dump.rdb"));
        self.restart();
    }

    /// Stops it where it stands (SIGSTOP): connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// When it is not running.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`RedisServer::freeze`].
    ///
    /// # Panics
    /// When it is not running.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Runs a command by `redis-cli` and gives what it prints.
    ///
    /// # Panics
    /// When `redis-cli` is missing or fails.
    pub fn cli(&self, command: &[&str]) -> String {
        cli(self.port, command)
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).expect("a process has a small number");
        kill(Pid::from_raw(pid), signal).expect("a signal can be sent");
    }

    /// Whether it runs and answers now.
    fn try_start(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        if self.folder.join("sentinel.conf").exists() {
            command.arg(self.folder.join("sentinel.conf")).arg("--sentinel");
        } else {
            command.args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
            command.args(["--repl-diskless-sync-delay", "0"]);
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--logfile", "log"]);
        // Files that the arguments name lie there too.
        command.current_dir(&self.folder).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "`redis-server` cannot be run ({error}); install Redis 7 or later (`apt-get install redis-server`, `brew \
                 install redis`)"
            )
        });
        let child = self.child.insert(child);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if is_ready(self.port, self.arguments.iter().any(|argument| argument == "--tls-port")) {
                // Somebody else's may answer there.
                return child.try_wait().is_ok_and(|ended| ended.is_none());
            }
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A frozen one too.
            let _ = child.kill();
            let _ = child.wait();
        }
        // What cannot be removed lies in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.folder);
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
    /// # Panics
    /// When it does not come together.
    pub fn start() -> Self {
        let enabled = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let servers: Vec<_> = (0..3).map(|_| RedisServer::with(&enabled)).collect();
        let places: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(places.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "0", "--cluster-yes"]);
        servers[0].cli(&create);
        for server in &servers {
            until("the cluster is whole", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
        }
        Self { servers }
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
    /// # Panics
    /// When they do not come together.
    pub fn start() -> Self {
        let master = RedisServer::start();
        let port = master.port.to_string();
        let replica = RedisServer::with(&["--replicaof", &format!("127.0.0.1 {port}")]);
        until("the replica has all", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
        let mut sentinel = RedisServer {
            port: 0,
            folder: master.folder.with_extension("sentinel"),
            arguments: Vec::new(),
            child: None,
        };
        std::fs::create_dir(&sentinel.folder).expect("a folder for the test can be made");
        let config = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n"
        );
        std::fs::write(sentinel.folder.join("sentinel.conf"), config).expect("a file for the test can be written");
        sentinel.port = free_port();
        sentinel.restart();
        let it = Self { data: [master, replica], sentinel };
        until("the sentinel knows the replica", || {
            let told = it.sentinel.cli(&["SENTINEL", "REPLICAS", "main"]);
            told.contains("master-link-status\nok") && told.contains("flags\nslave\n")
        });
        it
    }

    /// Where it is, as `cache.url` wants it.
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port)
    }

    /// The server that is the master, as the sentinel sees it.
    ///
    /// # Panics
    /// When the sentinel names neither of them.
    pub fn master(&mut self) -> &mut RedisServer {
        let port = self.master_port();
        self.data.iter_mut().find(|server| server.port == port).expect("the sentinel knows one of them")
    }

    /// The replica takes over, once it has all; returns when it has.
    ///
    /// # Panics
    /// When it does not.
    pub fn failover(&mut self) {
        let before = self.master_port();
        // A failover does not wait for it: what was not copied yet would be lost.
        until("the replica has all", || {
            let told = cli(before, &["INFO", "replication"]);
            let offset =
                told.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).unwrap_or_default().trim();
            told.contains(&format!("state=online,offset={offset},"))
        });
        until("a failover can begin", || self.sentinel.cli(&["SENTINEL", "FAILOVER", "main"]).contains("OK"));
        self.until_another(before);
    }

    /// The master is killed; returns when the replica has taken over.
    ///
    /// # Panics
    /// When it does not.
    pub fn kill_master(&mut self) {
        let before = self.master_port();
        self.master().kill();
        self.until_another(before);
    }

    fn master_port(&self) -> u16 {
        let told = self.sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
        told.lines().nth(1).and_then(|port| port.parse().ok()).expect("the sentinel names a port")
    }

    fn until_another(&self, before: u16) {
        until("another is the master", || {
            let port = self.master_port();
            port != before && cli(port, &["ROLE"]).starts_with("master")
        });
    }
}

fn cli(port: u16, command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`redis-cli` cannot be run ({error}); it comes with Redis"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "redis-cli {command:?}: {out}{err}");
    out.into_owned()
}

/// Waits for a state that comes.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

fn free_port() -> u16 {
    loop {
        let port = PORTS.start + u16::from_le_bytes(Random::os().bytes()) % (PORTS.end - PORTS.start);
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

/// Whether a Redis answers there that is done with loading. One that speaks encrypted is believed to be when it takes
/// connections: it has nothing to load.
fn is_ready(port: u16, is_encrypted: bool) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        if is_encrypted {
            return Ok(true);
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        // One that wants a password is ready too; one that says `-LOADING` is not.
        Ok(&answer == b"+PONG\r\n" || &answer == b"-NOAUTH")
    };
    ask().unwrap_or(false)
}
