//! A target: a folder under `lab/targets` with a `target.toml` that says how it is built and run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use devservers::{Process, free_port};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::http::{self, Requests};
use crate::lab::{Lab, copy_folder};
use crate::process::{self, Usage};
use crate::study::plan::{CacheKind, DatabaseKind, Endpoint};

const BUILD_WITHIN: Duration = Duration::from_secs(3600);
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long a server has to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);
/// In an hour: limits are on in what is measured, and refuse nobody.
const NOBODY_CALLS_SO_OFTEN: u32 = 36_000_000;
/// Connections to a database where nobody asks for another number.
const POOL: usize = 10;

/// `target.toml`. In `build`, `run` and `env`, `{root}`, `{targets}`, `{build}`, `{product}`, `{port}`,
/// `{workers}`, `{data}`, `{secret}`, `{pool}`, `{redis_url}`, `{user_budget}`, `{database_file}` and `{database_url}` stand for
/// what the lab fills in. `PORT`, `WORKERS`, `DATA_DIR`, `DATABASE_FILE` and `DATABASE_URL` are in the environment too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// One line for the table.
    pub about: String,
    /// The bench's rows it takes part in.
    #[serde(default)]
    pub scenarios: Vec<String>,
    /// If it takes part in the study: what it can do there.
    pub study: Option<Study>,
    /// Where its rows come from.
    #[serde(default)]
    pub database: Database,
    /// Whether it has accounts, and its requests carry an access token.
    #[serde(default)]
    pub signs_in: bool,
    /// Programs without which it cannot be built.
    pub needs: Vec<String>,
    /// The file that pins what is installed: while it stays as it was, what was built is used again. Without one the
    /// build command runs each time, and knows by itself what to do.
    pub lock: Option<String>,
    /// Run in a copy of its folder.
    pub build: Vec<String>,
    /// Run in the same place.
    pub run: Vec<String>,
    /// Added to the environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where things are, if elsewhere than in our API.
    #[serde(default)]
    pub paths: Paths,
    /// The status of a create.
    #[serde(default = "created")]
    pub create_status: u16,
}

/// `[study]`: what `lab/targets/README.md` asks for, as far as this one can.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// As people call it.
    pub title: String,
    /// The framework's own version.
    pub version: String,
    /// What it is written in.
    pub language: String,
    /// How a request waits for the database.
    pub waits: Waits,
    /// Which databases it speaks.
    pub databases: Vec<DatabaseKind>,
    /// Where it can keep the report of `/api/cache`.
    pub caches: Vec<CacheKind>,
    /// Where one signs in, if it has accounts of its own; else it takes the lab's tokens.
    pub log_in: Option<LogIn>,
    /// Whether it compresses by itself.
    pub gzip: bool,
    /// Whether it speaks HTTP/2 without TLS.
    pub http2: bool,
    /// For compilers that watch the program while it runs: before an endpoint is timed for the first time on a server, a
    /// light load on all cores, so many seconds at a time until answers get no cheaper.
    #[serde(default)]
    pub warmup_s: u64,
    /// What it answers, if not everything.
    #[serde(default = "everything")]
    pub endpoints: Vec<Endpoint>,
    /// The path of the newest published posts, with `{limit}`.
    #[serde(default = "list")]
    pub list: String,
    /// The table of posts.
    #[serde(default = "posts")]
    pub table: String,
    /// Its SQLite file in the data folder, where it makes its own.
    pub own_file: Option<String>,
    /// What it says to whoever has no good token.
    #[serde(default = "unauthorised")]
    pub unauthorised: Vec<u16>,
    /// It makes of a bad value a good one instead of refusing it: of a limit that is too large, of a number where a text
    /// belongs.
    #[serde(default)]
    pub lenient: bool,
    /// Whoever has no token at all may read what is published; a bad token is refused all the same.
    #[serde(default)]
    pub public: bool,
    /// To whoever has no good token it shows an empty list instead of refusing.
    #[serde(default)]
    pub hides: bool,
    /// Added to the environment at a level of a factor: `[study.when."cache=none"]`.
    #[serde(default)]
    pub when: BTreeMap<String, BTreeMap<String, String>>,
}

/// How one gets a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// Where an account is made, if that is not what Mainstay's API has.
    pub register: Option<String>,
    /// Where the log-in is posted.
    pub path: String,
    /// The field that names who it is; the password is in `password`.
    pub name: String,
    /// Where the token is in the answer, as a JSON pointer.
    pub token: String,
}

/// How a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Waits {
    /// It gives its thread back.
    Async,
    /// It keeps a thread.
    Threads,
    /// It keeps a process.
    Processes,
}

fn everything() -> Vec<Endpoint> {
    use Endpoint::{Cache, Compute, Create, Db, Health, List, Mix, Read};
    vec![Health, Compute, Cache, Db, Read, List, Create, Mix]
}

fn list() -> String {
    "/api/v1/posts?limit={limit}".to_owned()
}

fn posts() -> String {
    "posts".to_owned()
}

fn unauthorised() -> Vec<u16> {
    vec![401]
}

impl Study {
    /// Whether it answers what an endpoint, or a clause of the contract, is called after.
    pub fn answers(&self, name: &str) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.name() == name)
    }
}

/// What database a target gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// None.
    #[default]
    None,
    /// An SQLite file with the tables of `lab/src/schema.sql`.
    Sqlite,
    /// A PostgreSQL database with those tables.
    Postgres,
    /// Its own in the data folder.
    Own,
    /// An empty PostgreSQL database that it fills itself.
    OwnPostgres,
}

/// Where a target's API differs from ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// The collection of posts; one post is below it.
    pub posts: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self { posts: "/api/v1/posts".to_owned() }
    }
}

fn created() -> u16 {
    201
}

/// On which core the server runs and on which the driver; `None`: on all of them.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// The server's core.
    pub server: Option<usize>,
    /// The driver's core, and the database server's.
    pub driver: Option<usize>,
}

impl Placement {
    /// Server on core 0, driver on core 1: for cost per request.
    pub const PINNED: Self = Self { server: Some(0), driver: Some(1) };
    /// Both on every core: for what the machine does as a whole.
    pub const FREE: Self = Self { server: None, driver: None };

    /// How it is called in results.
    pub fn name(self) -> &'static str {
        if self.server.is_some() { "pinned" } else { "free" }
    }
}

/// What a server is started on.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// Its data folder; it exists.
    pub data: PathBuf,
    /// For [`Database::Sqlite`].
    pub database_file: PathBuf,
    /// For the PostgreSQL ones.
    pub database_url: String,
    /// The Redis of a row that has one.
    pub redis_url: String,
    /// How many calls one user has in an hour, where a target limits them; without it more than anybody makes.
    pub user_budget: Option<u32>,
    /// Connections to the database it may hold, where the study says how many.
    pub pool: Option<usize>,
    /// It speaks HTTP/2, and perhaps nothing else.
    pub http2: bool,
    /// Beyond the manifest's, and filled in as that is.
    pub env: Vec<(String, String)>,
}

/// Reads all manifests, by name.
pub fn all(lab: &Lab) -> Result<BTreeMap<String, Target>> {
    let mut all = BTreeMap::new();
    let entries = fs::read_dir(&lab.targets).with_context(|| format!("cannot read {}", lab.targets.display()))?;
    for entry in entries {
        let folder = entry.context("cannot read the targets' folder")?;
        let Ok(text) = fs::read_to_string(folder.path().join("target.toml")) else { continue };
        let name = folder.file_name().to_string_lossy().into_owned();
        let mut target: Target = toml::from_str(&text).with_context(|| format!("lab/targets/{name}/target.toml"))?;
        target.name.clone_from(&name);
        all.insert(name, target);
    }
    Ok(all)
}

/// A running target.
pub struct Server {
    running: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to its first answer.
    pub started_in: Duration,
}

impl Target {
    /// Whether it shares what it keeps with other nodes of its kind, in Redis.
    pub fn shares(&self) -> bool {
        self.needs.iter().any(|program| program == "redis-server")
    }

    /// Builds it in a copy of its folder. The error says what is missing.
    pub fn build(&self, lab: &Lab) -> Result<()> {
        if let Some(missing) = self.needs.iter().find(|program| !process::is_there(program)) {
            bail!("{missing} is not installed");
        }
        self.lay_out(lab)?;
        let words = fill(&self.build, lab, &Home::default(), 0, 0);
        let (program, rest) = words.split_first().context("the manifest's `build` is empty")?;
        let mark = self.folder(lab).join(".built");
        let wanted = match &self.lock {
            Some(lock) => Some(self.fingerprint(lab, lock)?),
            None => None,
        };
        if wanted.is_some() && fs::read_to_string(&mark).ok() == wanted {
            return Ok(());
        }
        let mut command = Command::new(program);
        process::succeed_within(command.args(rest).current_dir(self.folder(lab)), &lab.stop, BUILD_WITHIN)?;
        match wanted {
            Some(wanted) => fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display())),
            None => Ok(()),
        }
    }

    /// Changes when its lock or any of its sources does.
    fn fingerprint(&self, lab: &Lab, lock: &str) -> Result<String> {
        let folder = lab.targets.join(&self.name);
        ensure!(folder.join(lock).is_file(), "{} has no {lock}", self.name);
        let mut hasher = DefaultHasher::new();
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
            let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.sort();
            for path in paths {
                path.hash(&mut hasher);
                if path.is_dir() {
                    folders.push(path);
                } else {
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?.hash(&mut hasher);
                }
            }
        }
        Ok(format!("{:016x}\n", hasher.finish()))
    }

    /// What is added to its environment at this level of a factor, such as `cache=none`.
    pub fn at(&self, level: &str) -> Vec<(String, String)> {
        let when = self.study.as_ref().and_then(|study| study.when.get(level));
        when.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Copies its folder to where it is built and run, so that nothing is ever made among the sources.
    pub fn lay_out(&self, lab: &Lab) -> Result<()> {
        copy_folder(&lab.targets.join(&self.name), &self.folder(lab))
    }

    fn folder(&self, lab: &Lab) -> PathBuf {
        lab.build_dir.join("targets").join(&self.name)
    }

    /// A command out of the manifest's `run`, its first word replaced by what is filled in.
    pub fn command(&self, lab: &Lab, placement: Placement, home: &Home, port: u16) -> Result<Command> {
        let workers = if placement.server.is_some() { 1 } else { lab.cores };
        let words = fill(&self.run, lab, home, port, workers);
        let (program, rest) = words.split_first().context("the manifest's `run` is empty")?;
        let mut command = process::on_core(placement.server, program);
        command.args(rest).current_dir(self.folder(lab));
        let filled = [
            ("PORT", port.to_string()),
            ("WORKERS", workers.to_string()),
            ("DATA_DIR", home.data.display().to_string()),
            ("DATABASE_FILE", home.database_file.display().to_string()),
            ("DATABASE_URL", home.database_url.clone()),
        ];
        command.envs(filled.into_iter().filter(|(_, value)| !value.is_empty()));
        for (name, value) in &self.env {
            command.env(name, fill_one(value, lab, home, port, workers));
        }
        for (name, value) in &home.env {
            command.env(name, fill_one(value, lab, home, port, workers));
        }
        Ok(command)
    }

    /// Starts it and waits for its first answer, whatever that is.
    pub fn start(&self, lab: &Lab, placement: Placement, home: &Home) -> Result<Server> {
        lab.stop.check()?;
        let port = free_port()?;
        let log_path = lab.scratch.join(format!("{}.log", self.name));
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let errors = log.try_clone().context("cannot share a log")?;
        let mut command = self.command(lab, placement, home, port)?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let probe = Requests::get("/api/health");
        let start = Instant::now();
        let mut server = Server { running: Process::start(&mut command)?, address, started_in: Duration::ZERO };
        loop {
            let answers = if home.http2 {
                http::speaks_http2(address, "/api/health").is_ok()
            } else {
                http::call(address, &probe).is_ok()
            };
            if answers {
                server.started_in = start.elapsed();
                return Ok(server);
            }
            let ended = server.running.ended()?;
            if ended.is_some() || start.elapsed() > START_WITHIN {
                let said = fs::read_to_string(&log_path).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                match ended {
                    Some(status) => bail!("{} ended with {status} instead of starting: {}", self.name, last.join("\n")),
                    None => bail!("{} did not answer within {START_WITHIN:?}: {}", self.name, last.join("\n")),
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Server {
    /// What it and all it started have used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.running.pid().unsigned_abs())
    }

    /// Lets it run on every core meanwhile, and on the server's alone afterwards, also where `work` failed: what is measured
    /// next on it has one core.
    pub fn on_all_cores<T>(&self, lab: &Lab, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let every: Vec<usize> = (0..lab.cores).collect();
        let own: Vec<usize> = Placement::PINNED.server.into_iter().collect();
        process::keep_on(self.running.pid().unsigned_abs(), &every)?;
        let done = work();
        process::keep_on(self.running.pid().unsigned_abs(), &own)?;
        done
    }

    /// Ends it as an operator would.
    pub fn stop(mut self) -> Result<()> {
        self.running.end(Signal::SIGTERM, GRACE)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers, where it ended without them.
        if let Err(error) = self.running.end_group(Signal::SIGKILL) {
            eprintln!("could not end a server: {error:#}");
        }
    }
}

fn fill(words: &[String], lab: &Lab, home: &Home, port: u16, workers: usize) -> Vec<String> {
    words.iter().map(|word| fill_one(word, lab, home, port, workers)).collect()
}

fn fill_one(word: &str, lab: &Lab, home: &Home, port: u16, workers: usize) -> String {
    if !word.contains('{') {
        return word.to_owned();
    }
    let path = |path: &PathBuf| path.display().to_string();
    [
        ("{root}", path(&lab.root)),
        ("{targets}", path(&lab.targets)),
        ("{build}", path(&lab.build_dir)),
        ("{product}", path(&lab.product)),
        ("{port}", port.to_string()),
        ("{workers}", workers.to_string()),
        ("{secret}", lab.secret.clone()),
        ("{redis_url}", home.redis_url.clone()),
        ("{user_budget}", home.user_budget.unwrap_or(NOBODY_CALLS_SO_OFTEN).to_string()),
        ("{pool}", home.pool.unwrap_or(POOL).to_string()),
        ("{data}", path(&home.data)),
        ("{database_file}", path(&home.database_file)),
        ("{database_url}", home.database_url.clone()),
    ]
    .into_iter()
    .fold(word.to_owned(), |word, (name, value)| word.replace(name, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every manifest can be read, and what it takes part in exists.
    #[test]
    fn the_manifests_are_good() {
        let lab = Lab::open(process::Stop::default()).unwrap();
        let all = all(&lab).unwrap();
        assert!(all.len() > 10);
        for target in all.values() {
            let takes_part = !target.scenarios.is_empty() || target.study.is_some();
            assert!(takes_part, "{}", target.name);
            for scenario in &target.scenarios {
                assert!(crate::rows::is_scenario(scenario), "{}: there is no scenario {scenario}", target.name);
            }
            let readme = lab.targets.join(&target.name).join("README.md");
            assert!(readme.is_file(), "{} says nothing of its choices", target.name);
        }
    }
}
