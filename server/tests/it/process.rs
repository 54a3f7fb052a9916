//! The binary as a process, and a caller who speaks HTTP/1.1 to it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mainstay::kernel::Random;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::TestDatabase;

/// Longer than anything here takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A password that is on no list.
pub const PASSWORD: &str = "seven green lanterns by the sea";

/// A folder of a test's own, gone afterwards.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let name = u64::from_le_bytes(Random::os().bytes());
        let path = std::env::temp_dir().join(format!("mainstay-server-{name:016x}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// What is in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The binary, about to run in a folder, with none of our variables set.
pub fn mainstay(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    #[expect(clippy::disallowed_methods, reason = "a child inherits variables, and ours would colour the test")]
    for (name, _) in std::env::vars() {
        if name.starts_with("MAINSTAY_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder.path()).stdin(Stdio::null());
    command
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn run(command: &mut Command, input: &str) -> Said {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read what it was given has its reasons.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the binary with arguments in a folder.
pub fn say<A: AsRef<OsStr>>(folder: &Folder, args: impl IntoIterator<Item = A>) -> Said {
    run(mainstay(folder).args(args), "")
}

/// A server in its folder. Killed when dropped.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
    pub output: String,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on a free port over a test's database, and waits until it says where it listens.
    pub fn start(folder: &Folder, database: &TestDatabase, variables: &[(&str, &str)]) -> Self {
        let mut command = mainstay(folder);
        command.env("MAINSTAY_DATABASE__URL", database.url()).envs(variables.iter().copied());
        Self::run(command.args(["serve", "--listen", "127.0.0.1:0"]))
    }

    /// Starts a command that serves.
    pub fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let readers =
            vec![read(child.stdout.take().unwrap(), sender.clone()), read(child.stderr.take().unwrap(), sender)];
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, lines, readers, output: String::new(), address: nowhere };
        let line = server.wait_for("  API ");
        let address = line.trim().strip_prefix("API").unwrap().trim().strip_prefix("http://").unwrap();
        server.address = address.split('/').next().unwrap().parse().unwrap();
        server.wait_for("Ctrl-C stops the server");
        server
    }

    /// Waits until it prints a line with these words.
    pub fn wait_for(&mut self, words: &str) -> String {
        let until = Instant::now() + TIMEOUT;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.output.push_str(&line);
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line with `{words}` in:\n{}", self.output),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without `{words}`:\n{}", self.output),
            }
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready.
    pub fn wait_until_ready(&self) {
        let until = Instant::now() + TIMEOUT;
        while self.get("/health/ready", "").status != 200 {
            assert!(Instant::now() < until, "it is not ready again");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end; how it ended, and everything it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.output.extend(self.lines.try_iter());
        (status, std::mem::take(&mut self.output))
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, token, "")
    }

    pub fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.ask("POST", path, token, &body.to_string())
    }

    /// Sends one request and reads the whole answer.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if !token.is_empty() {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        let mut stream = self.connect();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        answer(stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    /// Makes an account.
    pub fn register(&self, email: &str) {
        let body = serde_json::json!({ "email": email, "password": PASSWORD, "display_name": "Someone" });
        assert_eq!(self.post("/api/v1/auth/register", "", &body).status, 201);
    }

    /// Signs in; the whole answer.
    pub fn log_in(&self, email: &str) -> Value {
        let answer = self.post("/api/v1/auth/login", "", &serde_json::json!({ "email": email, "password": PASSWORD }));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: impl Read + Send + 'static, lines: Sender<String>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = String::new();
        while pipe.read_line(&mut line).is_ok_and(|count| count > 0) {
            if lines.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    })
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Reads an answer until the server closes.
pub fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {text:?}"));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {head}"));
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
