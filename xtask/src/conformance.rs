//! `cargo xtask conformance`: Mainstay judged by tools that nobody here wrote. Each step starts the real server with a
//! database of its own and hands its address to the tool; `conformance/README.md` says what each tool is for.

mod browser;
mod clients;
mod installed;
mod lint;
mod schemathesis;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::mainstay::{self, Launch};
use devservers::nodes::{Nodes, NodesPlan};
use devservers::workspace::Workspace;
use devservers::{Durability, Postgres, Process, Scratch, Stop, free_port, machine, shown};
use serde_json::Value;

pub use installed::Installed;

/// Options of `cargo xtask conformance`.
#[derive(clap::Args)]
pub struct Args {
    /// Only these steps (see the list in the output); all when none is named.
    steps: Vec<String>,
    /// What the servers store in: `both` runs each step that needs a server twice.
    #[arg(long, value_enum, default_value_t = Choice::Sqlite)]
    database: Choice,
    /// This many servers instead of one, behind nginx, over one PostgreSQL and one Redis.
    #[arg(long, value_name = "COUNT", conflicts_with = "database", value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: Option<u8>,
    /// `schemathesis`: about how many requests to make on each database.
    #[arg(long, default_value_t = 6000)]
    cases: u64,
    /// `schemathesis`: the same seed makes the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write what was measured to docs/results.
    #[arg(long)]
    record: bool,
    /// `browser`: fill this folder with pictures of the pages.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

/// What `--database` says.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    Sqlite,
    Postgres,
    Both,
}

/// What one server stores in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Database {
    /// A file of its own.
    Sqlite,
    /// A private PostgreSQL of its own.
    Postgres,
}

impl Database {
    /// As it stands in messages and file names.
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

struct Step {
    name: &'static str,
    fix: &'static str,
    run: DatabaseKind,
}

/// What a step needs.
enum DatabaseKind {
    /// Files alone.
    Files(fn(&Room<'_>) -> Result<()>),
    /// A server, once for each that was asked for.
    Server(fn(&Room<'_>, &Served) -> Result<()>),
}

/// The quick ones first.
const STEPS: &[Step] = &[
    Step {
        name: "lint",
        fix: "mend what makes docs/openapi.json, or switch the rule off with its reason in conformance/",
        run: DatabaseKind::Files(lint::run),
    },
    Step {
        name: "browser",
        fix: "mend the page: crates/web/src/docs_ui.rs and crates/web/assets/own; --pictures FOLDER keeps pictures",
        run: DatabaseKind::Server(browser::run),
    },
    Step {
        name: "clients",
        fix: "run `cargo xtask gen`; then mend what the document says, or clients/typescript/src/index.ts",
        run: DatabaseKind::Server(clients::run),
    },
    Step {
        name: "schemathesis",
        fix: "mend the answer or the document; the report shows the request as a curl command",
        run: DatabaseKind::Server(schemathesis::run),
    },
];

/// What every step is handed.
pub struct Room<'a> {
    /// The tools, installed.
    pub installed: Installed,
    /// The repository.
    pub workspace: &'a Workspace,
    /// Whether we were asked to end.
    pub stop: &'a Stop,
    /// About how many requests to make where a tool can be told.
    pub cases: u64,
    /// What generated requests start from.
    pub seed: u64,
    /// Whether what is measured goes to docs/results.
    pub is_recorded: bool,
    /// Where pictures of the pages go, if anywhere.
    pub pictures: Option<PathBuf>,
    /// The machine, and the sources that the server was built from.
    pub facts: Value,
}

/// A running server, or several as one, with nothing in it but an administrator.
pub struct Served {
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub url: String,
    /// What is judged, for messages and file names, such as `postgres`.
    pub name: String,
    servers: Servers,
    scratch: Scratch,
}

/// What runs.
enum Servers {
    One(Box<One>),
    Many(Box<Nodes>),
}

struct One {
    running: Process,
    launch: Launch,
    // Dropped after the server, which would otherwise lose its database under way.
    _postgres: Option<Postgres>,
}

/// What a step that needs a server is run against.
#[derive(Clone, Copy)]
enum Subject {
    One(Database),
    Many(u8),
}

impl Subject {
    fn name(self) -> String {
        match self {
            Self::One(database) => database.name().to_owned(),
            Self::Many(count) => format!("postgres-{count}-nodes"),
        }
    }
}

/// The administrator that every server starts with. It lives as long as the throwaway database does.
pub const ADMIN: (&str, &str) = ("admin@example.org", "an administrator for a while");

impl Served {
    /// Starts what is to be judged, the debug build, on a free port with a fresh database.
    fn start(subject: Subject, binary: PathBuf, stop: &Stop) -> Result<Self> {
        let scratch = Scratch::new("conformance")?;
        let (port, servers) = match subject {
            Subject::One(database) => Self::start_one(database, binary, &scratch, stop)?,
            Subject::Many(count) => {
                let durability = Durability::Throwaway;
                let plan = NodesPlan { binary: &binary, durability, count: usize::from(count), variables: Vec::new() };
                let nodes = Nodes::start(&plan, scratch.path(), stop, |_, shared, _, _| Ok(shared))?;
                (nodes.front(), Servers::Many(Box::new(nodes)))
            }
        };
        let served = Self { url: format!("http://127.0.0.1:{port}"), name: subject.name(), servers, scratch };
        served.make_administrator()?;
        Ok(served)
    }

    fn start_one(database: Database, binary: PathBuf, scratch: &Scratch, stop: &Stop) -> Result<(u16, Servers)> {
        let data = scratch.path().join("data");
        fs::create_dir(&data).context("cannot make the data directory")?;
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start(Durability::Throwaway, stop)?),
        };
        let database_url = postgres.as_ref().map(Postgres::url);
        let log = scratch.path().join("log");
        let launch =
            Launch { binary, data, log, port: free_port()?, database_url, under: Vec::new(), variables: Vec::new() };
        let running = launch.start(stop)?;
        Ok((launch.port, Servers::One(Box::new(One { running, launch, _postgres: postgres }))))
    }

    /// Whether nginx answers for it.
    pub const fn is_behind_nginx(&self) -> bool {
        matches!(self.servers, Servers::Many(_))
    }

    fn launch(&self) -> Result<&Launch> {
        match &self.servers {
            Servers::One(one) => Ok(&one.launch),
            Servers::Many(nodes) => nodes.launch().context("there are no nodes"),
        }
    }

    fn make_administrator(&self) -> Result<()> {
        let launch = self.launch()?;
        let mut command = Command::new(&launch.binary);
        command.args(["admin", "create", ADMIN.0, "--password-stdin", "--data"]).arg(&launch.data);
        launch.set(&mut command);
        command.current_dir(self.scratch.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut admin = command.spawn().context("cannot start `mainstay admin create`")?;
        let mut input = admin.stdin.take().context("`mainstay admin create` has no input")?;
        writeln!(input, "{}", ADMIN.1).context("cannot hand over the administrator's password")?;
        drop(input);
        let status = admin.wait().context("cannot wait for `mainstay admin create`")?;
        if !status.success() {
            bail!("`mainstay admin create` ended with {status}");
        }
        Ok(())
    }

    /// Tells a child where the server is and who its administrator is.
    pub fn introduce(&self, command: &mut Command) {
        command.env("MAINSTAY_URL", &self.url);
        command.env("MAINSTAY_ADMIN_EMAIL", ADMIN.0).env("MAINSTAY_ADMIN_PASSWORD", ADMIN.1);
    }

    /// Stops the server as an operator would. An error in its log fails the step, whatever was answered.
    fn end(mut self, outcome: Result<()>) -> Result<()> {
        let logs = match &self.servers {
            Servers::One(one) => vec![one.launch.log.clone()],
            Servers::Many(nodes) => nodes.logs(),
        };
        let read = |log| fs::read_to_string(log).context("cannot read a server's log");
        let logs = logs.iter().map(read).collect::<Result<Vec<_>>>()?.concat();
        let faults: Vec<&str> = logs.lines().filter(|line| line.contains(" ERROR ")).take(5).collect();
        let outcome = match outcome {
            Ok(()) if !faults.is_empty() => {
                Err(anyhow::anyhow!("the server logged faults of its own:\n{}", faults.join("\n")))
            }
            Err(error) if !faults.is_empty() => {
                Err(error.context(format!("the server also logged faults of its own:\n{}", faults.join("\n"))))
            }
            outcome => outcome,
        };
        if outcome.is_err() {
            self.scratch.keep();
        }
        let stopped = match self.servers {
            Servers::One(one) => {
                // The database ends after the server that is asked to stop.
                let One { running, _postgres, .. } = *one;
                mainstay::stop_gently(running)
            }
            Servers::Many(nodes) => nodes.stop_gently(),
        };
        outcome.and(stopped)
    }
}

/// Runs the steps and sums up; the exit code says whether all passed.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    if let Some(unknown) = args.steps.iter().find(|name| !STEPS.iter().any(|step| step.name == *name)) {
        let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step is called {unknown}; there are {}", known.join(", "));
    }
    let subjects: &[Subject] = match (args.nodes, args.database) {
        (Some(count), _) => &[Subject::Many(count)],
        (None, Choice::Sqlite) => &[Subject::One(Database::Sqlite)],
        (None, Choice::Postgres) => &[Subject::One(Database::Postgres)],
        (None, Choice::Both) => &[Subject::One(Database::Sqlite), Subject::One(Database::Postgres)],
    };
    let wanted = |step: &&Step| args.steps.is_empty() || args.steps.iter().any(|name| name == step.name);
    let binary = frozen(&mainstay::build(false, workspace, stop)?, workspace)?;
    let room = Room {
        installed: Installed::ready(workspace, stop)?,
        workspace,
        stop,
        cases: args.cases,
        seed: args.seed,
        is_recorded: args.record,
        pictures: args.pictures.as_deref().map(std::path::absolute).transpose().context("no such folder can be")?,
        facts: machine::facts(workspace)?,
    };
    let mut summary = Vec::new();
    let mut failed = false;
    let mut record = |name: &str, fix: &str, start: Instant, outcome: Result<()>| {
        let seconds = start.elapsed().as_secs_f32();
        summary.push(match outcome {
            Ok(()) => format!("ok     {name:<34} {seconds:6.1} s"),
            Err(error) => {
                failed = true;
                println!("{error:#}");
                format!("FAILED {name:<34} {seconds:6.1} s\n       fix: {fix}")
            }
        });
    };
    for step in STEPS.iter().filter(wanted) {
        match &step.run {
            DatabaseKind::Files(run) => {
                println!("== {}", step.name);
                let start = Instant::now();
                record(step.name, step.fix, start, run(&room));
                stop.check()?;
            }
            DatabaseKind::Server(run) => {
                for subject in subjects {
                    let name = format!("{} {}", step.name, subject.name());
                    println!("== {name}");
                    let start = Instant::now();
                    let outcome = Served::start(*subject, binary.clone(), stop).and_then(|served| {
                        let outcome = run(&room, &served);
                        served.end(outcome)
                    });
                    stop.check()?;
                    record(&name, step.fix, start, outcome);
                }
            }
        }
    }
    println!("\n{}", summary.join("\n"));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A copy of the server, which stays what it is when somebody builds again meanwhile.
fn frozen(binary: &Path, workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("conformance");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let copy = folder.join("mainstay");
    // Written over, a binary that still runs would refuse; a new file in its place does not disturb it.
    if copy.exists() {
        fs::remove_file(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    fs::copy(binary, &copy).with_context(|| format!("cannot copy the server to {}", copy.display()))?;
    Ok(copy)
}

/// Runs a tool to its end with our own output, within `limit`; an error unless it succeeds.
pub fn judge(command: &mut Command, stop: &Stop, limit: Duration) -> Result<()> {
    let status = Process::start(command.stdin(Stdio::null()))?.wait(stop, limit)?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}
