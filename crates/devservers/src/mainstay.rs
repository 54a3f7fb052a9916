//! Our own server as a process, and a caller who speaks HTTP to it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::process::{self, Process, Stop};
use crate::workspace::{SERVER, Workspace};

const READY_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Builds the server; `--release` for drills, the plain profile where a test has just built most of it.
pub fn build(is_release: bool, workspace: &Workspace, stop: &Stop) -> Result<PathBuf> {
    if !workspace.has_server() {
        bail!("the workspace has no {} yet: there is nothing to run", SERVER.0);
    }
    let mut command = workspace.cargo(&["build", "--locked", "--package", SERVER.0]);
    if is_release {
        command.arg("--release");
    }
    process::succeed(&mut command, stop)?;
    Ok(workspace.target.join(if is_release { "release" } else { "debug" }).join(SERVER.1))
}

/// How to start the server; kept, since drills start it many times.
pub struct Launch {
    /// The server's binary.
    pub binary: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Where its output goes, appended.
    pub log: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// `None` for the default, SQLite in the data directory.
    pub database_url: Option<String>,
    /// Words before the binary, such as strace's; usually none.
    pub under: Vec<OsString>,
    /// What is added to its environment. It comes after our own, so it wins.
    pub variables: Vec<(String, String)>,
}

impl Launch {
    /// Starts the server and waits until it says it is ready.
    pub fn start(&self, stop: &Stop) -> Result<Process> {
        let mut command = process::under(&self.under, &self.binary);
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let errors = log.try_clone().context("cannot share the log")?;
        command.args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data"]).arg(&self.data);
        self.set(&mut command);
        // Away from the repository: a settings file in the working directory must not colour a drill.
        command.current_dir(self.data.parent().unwrap_or(&self.data));
        let mut running = Process::start(command.stdin(Stdio::null()).stdout(log).stderr(errors))?;

        let probe = Caller::new(self.port, 0);
        let start = Instant::now();
        loop {
            stop.check()?;
            if let Some(status) = running.ended()? {
                bail!("the server ended with {status} instead of starting: {}", self.last_words());
            }
            match probe.get("/health/ready") {
                Ok(200) => return Ok(running),
                _ if start.elapsed() > READY_WITHIN => {
                    bail!("the server was not ready within {} s: {}", READY_WITHIN.as_secs(), self.last_words())
                }
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Tells a command of the server's binary the settings that the server has.
    pub fn set(&self, command: &mut Command) {
        // Everybody here comes from one address, with more requests and accounts than a person has: limits would refuse
        // them, and nothing else would be seen. The drill that judges limits switches them on.
        command.env("MAINSTAY_LIMITS__ENABLED", "false");
        if let Some(url) = &self.database_url {
            command.env("MAINSTAY_DATABASE__URL", url);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// The end of its log, for messages.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Ends a server in the way an operator would; an error if it does not go.
pub fn stop_gently(mut running: Process) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let status = running.wait(&Stop::default(), READY_WITHIN).context("the server did not stop when asked")?;
    if !status.success() {
        bail!("asked to stop, the server ended with {status}");
    }
    Ok(())
}

/// One user of the server, with a connection of their own.
pub struct Caller {
    agent: ureq::Agent,
    base: String,
    email: String,
    token: Option<String>,
}

/// What came back for a request that was sent once and never again on its own.
pub enum Answer {
    /// A status and the body.
    Said(u16, String),
    /// The connection failed or the time ran out: whether the request took effect is unknown.
    Nothing,
}

const PASSWORD: &str = "a drill's password, long enough";

impl Caller {
    /// The caller with this number; nothing is sent yet.
    pub fn new(port: u16, number: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .proxy(None)
            .build();
        let base = format!("http://127.0.0.1:{port}");
        Self { agent: config.new_agent(), base, email: format!("drill-{number}@example.org"), token: None }
    }

    /// Makes the account and logs in.
    pub fn register(&mut self) -> Result<()> {
        let body = json!({ "email": self.email, "password": PASSWORD, "display_name": "A drill" });
        self.insist("/api/v1/auth/register", &body, 201)?;
        self.log_in()
    }

    /// Takes a fresh access token.
    pub fn log_in(&mut self) -> Result<()> {
        let body = self.insist("/api/v1/auth/login", &json!({ "email": self.email, "password": PASSWORD }), 200)?;
        let answer: Value = serde_json::from_str(&body).context("the answer to a log-in is not JSON")?;
        let token = answer["access_token"].as_str().context("the answer to a log-in has no access_token")?;
        self.token = Some(token.to_owned());
        Ok(())
    }

    /// Publishes a post, once.
    pub fn publish(&self, title: &str) -> Answer {
        self.post("/api/v1/posts", &json!({ "title": title, "body": "Written by a drill.", "published": true }))
    }

    /// Sends one POST. The library never repeats a request, and nor do we: an oracle must know what it sent.
    fn post(&self, path: &str, body: &Value) -> Answer {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match request.send(body.to_string()) {
            Ok(mut response) => match response.body_mut().read_to_string() {
                Ok(text) => Answer::Said(response.status().as_u16(), text),
                // The status came, so the server had decided; a broken body changes nothing about that.
                Err(_) => Answer::Said(response.status().as_u16(), String::new()),
            },
            Err(_) => Answer::Nothing,
        }
    }

    fn get(&self, path: &str) -> Result<u16> {
        let response = self.agent.get(format!("{}{path}", self.base)).call().context("no answer")?;
        Ok(response.status().as_u16())
    }

    /// Repeats while the server is busy hashing or limits us, as a polite client does.
    fn insist(&self, path: &str, body: &Value, wanted: u16) -> Result<String> {
        let start = Instant::now();
        loop {
            match self.post(path, body) {
                Answer::Said(status, text) if status == wanted => return Ok(text),
                Answer::Said(429 | 503, _) | Answer::Nothing if start.elapsed() < READY_WITHIN => {
                    thread::sleep(Duration::from_millis(250));
                }
                Answer::Said(status, text) => bail!("POST {path}: {status} instead of {wanted}: {text}"),
                Answer::Nothing => bail!("POST {path}: no answer"),
            }
        }
    }
}
