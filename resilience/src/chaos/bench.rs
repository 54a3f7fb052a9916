//! What every drill stands on: the server under test with data of its own, and what the system says of its memory.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use devservers::mainstay::{self, Launch};
use devservers::{Process, Scratch, Stop, free_port};
use serde_json::{Value, json};

use crate::chaos::raw_http::{self, Response};

/// What a drill is given.
pub struct Bench<'a> {
    /// The server's binary.
    pub binary: &'a Path,
    /// Whether we were asked to end.
    pub stop: &'a Stop,
}

/// A password that is on no list.
pub const PASSWORD: &str = "seven green lanterns by the sea";

/// A server under test. Dropped, it is killed and its data go.
pub struct Target {
    launch: Launch,
    server: Option<Process>,
    scratch: Scratch,
    stop: Stop,
}

impl Bench<'_> {
    /// Starts the server; `variables` are added to its environment.
    pub fn start(&self, purpose: &str, variables: &[(&str, String)]) -> Result<Target> {
        self.launch(purpose, Vec::new(), variables, None)
    }

    /// The same on the database of this URL.
    pub fn start_on(&self, purpose: &str, database_url: String, variables: &[(&str, String)]) -> Result<Target> {
        self.launch(purpose, Vec::new(), variables, Some(database_url))
    }

    /// Starts the server behind other words, `env` or `unshare`, which must become it.
    pub fn start_under(&self, purpose: &str, under: Vec<OsString>) -> Result<Target> {
        self.launch(purpose, under, &[], None)
    }

    fn launch(
        &self,
        purpose: &str,
        under: Vec<OsString>,
        variables: &[(&str, String)],
        database_url: Option<String>,
    ) -> Result<Target> {
        let scratch = Scratch::new(&format!("chaos-{purpose}"))?;
        let data = scratch.path().join("data");
        fs::create_dir(&data).context("cannot make the data directory")?;
        let launch = Launch {
            binary: self.binary.to_owned(),
            data,
            log: scratch.path().join("log"),
            port: free_port()?,
            database_url,
            under,
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let server = launch.start(self.stop)?;
        Ok(Target { launch, server: Some(server), scratch, stop: self.stop.clone() })
    }
}

impl Target {
    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.launch.port
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.launch.data
    }

    /// A place for the drill's own files, beside the data.
    pub fn side(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.launch.log).unwrap_or_default()
    }

    /// Stops it as an operator would, and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop_gently()?;
        self.server = Some(self.launch.start(&self.stop)?);
        Ok(())
    }

    /// The same, with these variables besides.
    pub fn restart_with(&mut self, variables: &[(&str, String)]) -> Result<()> {
        self.launch.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.restart()
    }

    /// Stops it as an operator would.
    pub fn stop_gently(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), mainstay::stop_gently)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(|server| matches!(server.ended(), Ok(None)))
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.server.as_ref().map_or(0, Process::pid)
    }

    /// Its memory now, and the most since the last [`Target::forget_peak`], in MiB.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}; has the server ended?"))?;
        let mib = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| (kib / 102.4).round() / 10.0)
        };
        Ok(Memory { now: mib("VmRSS:").context("no VmRSS")?, peak: mib("VmHWM:").context("no VmHWM")? })
    }

    /// Resets the peak of its memory.
    pub fn forget_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.pid());
        fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<Response> {
        raw_http::ask(self.port(), method, path, token, body)
    }

    /// Makes an account and signs in; the access and the refresh token.
    pub fn sign_up(&self, name: &str) -> Result<(String, String)> {
        let email = format!("{name}@example.org");
        let account = json!({ "email": email, "password": PASSWORD, "display_name": name });
        self.ask("POST", "/api/v1/auth/register", "", Some(&account))?.must_be(201)?;
        self.sign_in(name)
    }

    /// Signs in; the access and the refresh token.
    pub fn sign_in(&self, name: &str) -> Result<(String, String)> {
        let login = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
        let tokens = self.ask("POST", "/api/v1/auth/login", "", Some(&login))?.must_be(200)?.json()?;
        let text = |name: &str| tokens[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        Ok((text("access_token")?, text("refresh_token")?))
    }

    /// Publishes a post.
    pub fn publish(&self, token: &str, title: &str, body: &str) -> Result<Response> {
        let post = json!({ "title": title, "body": body, "published": true });
        self.ask("POST", "/api/v1/posts", token, Some(&post))
    }
}

/// Resident memory in MiB.
#[derive(Clone, Copy)]
pub struct Memory {
    pub now: f64,
    pub peak: f64,
}

/// Asks until it is so, and says after how long.
pub fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if is_so() {
            return Some(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}
