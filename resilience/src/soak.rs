//! `cargo resilience soak`: many callers write while the server, or its database, is killed again and again. What was
//! acknowledged must be there exactly once; what was never sent must not. The judge is outside: this process remembers
//! what it sent, and `sqlite3` or `psql` says what is stored.
//!
//! What it does not show: a power cut, for the kernel outlives every kill. `cargo resilience trace` shows the flush.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::mainstay::{self, Answer, Caller, Launch};
use devservers::workspace::Workspace;
use devservers::{Durability, Postgres, Process, Scratch, Stop, free_port, machine, output, tools};
use nix::sys::signal::Signal;
use serde_json::json;

/// Options of `cargo resilience soak`.
#[derive(clap::Args)]
pub struct Args {
    /// Which database to soak.
    #[arg(long, value_enum)]
    database: CrashKind,
    /// How many crashes.
    #[arg(long, default_value_t = 200)]
    cycles: u64,
    /// Callers writing at once.
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// Acknowledged writes before a crash; the moment is drawn between this and twice as many.
    #[arg(long, default_value_t = 100)]
    min_acks: u64,
    /// Draws the moments; a random one is taken, and shown, when none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Soak this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The result, as JSON [default: docs/results/soak-DATABASE.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CrashKind {
    Sqlite,
    Postgres,
}

/// What a cycle kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Server,
    /// By its immediate shutdown, the signal PostgreSQL itself uses after a crash.
    DatabaseQuit,
    DatabaseKill,
}

impl Victim {
    /// SQLite lives in the server. PostgreSQL takes turns with it.
    fn of(kind: CrashKind, cycle: u64) -> Self {
        match (kind, cycle % 4) {
            (CrashKind::Postgres, 1) => Self::DatabaseQuit,
            (CrashKind::Postgres, 3) => Self::DatabaseKill,
            _ => Self::Server,
        }
    }
}

/// No cycle should take longer to its acknowledged writes; recovery is part of it.
const CYCLE_WITHIN: Duration = Duration::from_secs(120);
const DATABASE: &str = "soak";

/// Runs the cycles, judges after each, and writes the result down whatever it is.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    if args.database == CrashKind::Sqlite {
        tools::system_tool("sqlite3", "sqlite3", stop)?;
    }
    let binary = match &args.binary {
        Some(binary) => binary.canonicalize().context("there is no such binary")?,
        None => mainstay::build(true, workspace, stop)?,
    };
    let mut scratch = Scratch::new("soak")?;
    let seed = args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("seed {seed}");
    let start = Instant::now();

    let mut ledger = AcknowledgedWrites::default();
    let mut progress = Progress::default();
    let outcome = drill(args, binary, &scratch, &mut Draw(seed), &mut ledger, &mut progress, stop);
    // A drill broken off says nothing, so nothing is written down.
    stop.check()?;
    if let Err(error) = &outcome {
        println!("{error:#}");
        scratch.keep();
    }
    let findings = &progress.findings;
    let is_clean = outcome.is_ok() && findings.is_clean();
    let verdict = if is_clean { "nothing lost, nothing twice, nothing invented" } else { "FAILED" };
    let name = if args.database == CrashKind::Sqlite { "sqlite" } else { "postgres" };
    println!(
        "{verdict}: {} crashes, {} acknowledged, {} sent, {} lost, {} twice, {} invented",
        progress.cycles,
        ledger.acknowledged(),
        ledger.sent.len(),
        findings.lost.len(),
        findings.doubled.len(),
        findings.invented.len()
    );
    let result = json!({
        "database": name,
        "verdict": verdict,
        "error": outcome.as_ref().err().map(|error| format!("{error:#}")),
        "cycles": progress.cycles,
        "cycles_asked": args.cycles,
        "killed": progress.killed,
        "writers": args.writers,
        "min_acks": args.min_acks,
        "seed": seed,
        "acknowledged": ledger.acknowledged(),
        "sent": ledger.sent.len(),
        "stored": progress.stored,
        "lost": findings.lost,
        "doubled": findings.doubled,
        "invented": findings.invented,
        "answers": ledger.answers,
        "slowest_recovery_ms": progress.slowest_recovery_ms,
        "seconds": start.elapsed().as_secs(),
    });
    let out = args.out.clone().unwrap_or_else(|| workspace.root.join(format!("docs/results/soak-{name}.json")));
    machine::write_result(&out, result, workspace)?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How far the drill came.
#[derive(Default)]
struct Progress {
    cycles: u64,
    killed: BTreeMap<String, u64>,
    stored: usize,
    slowest_recovery_ms: u128,
    findings: Findings,
}

fn drill(
    args: &Args,
    binary: PathBuf,
    scratch: &Scratch,
    draw: &mut Draw,
    ledger: &mut AcknowledgedWrites,
    progress: &mut Progress,
    stop: &Stop,
) -> Result<()> {
    let data = scratch.path().join("data");
    std::fs::create_dir(&data).context("cannot make the data directory")?;
    let mut database = match args.database {
        CrashKind::Sqlite => Database::Sqlite(data.join("mainstay.db")),
        CrashKind::Postgres => {
            let postgres = Postgres::start(Durability::Full, stop)?;
            postgres.psql("postgres", &format!("create database {DATABASE}"))?;
            Database::Postgres(Box::new(postgres))
        }
    };
    let database_url = match &database {
        Database::Sqlite(_) => None,
        Database::Postgres(postgres) => Some(postgres.url_of(DATABASE)),
    };
    let log = scratch.path().join("log");
    let launch =
        Launch { binary, data, log, port: free_port()?, database_url, under: Vec::new(), variables: Vec::new() };

    let mut server = launch.start(stop)?;
    println!("registering {} writers", args.writers);
    let mut writers: Vec<Caller> = (0..args.writers).map(|number| Caller::new(launch.port, number)).collect();
    for writer in &mut writers {
        stop.check()?;
        writer.register()?;
    }

    let mut restart = Duration::ZERO;
    for cycle in 0..args.cycles {
        let victim = Victim::of(args.database, cycle);
        let acks = args.min_acks + draw.below(args.min_acks.max(1));
        let pause = Duration::from_micros(draw.below(20_000));
        let plan = SoakPlan { cycle, acks, pause };
        let first_ack = write_until_crash(&plan, &mut writers, ledger, stop, || match (victim, &mut database) {
            (Victim::DatabaseQuit, Database::Postgres(postgres)) => postgres.crash(Signal::SIGQUIT),
            (Victim::DatabaseKill, Database::Postgres(postgres)) => postgres.crash(Signal::SIGKILL),
            _ => kill(&mut server),
        })
        .with_context(|| format!("cycle {cycle}: {}", launch.last_words()))?;
        progress.slowest_recovery_ms = progress.slowest_recovery_ms.max((restart + first_ack).as_millis());
        *progress.killed.entry(format!("{victim:?}")).or_default() += 1;
        if victim != Victim::Server
            && let Database::Postgres(postgres) = &mut database
        {
            postgres.restart(stop)?;
        }

        judge(&database, ledger, progress)?;
        progress.cycles = cycle + 1;
        if cycle % 10 == 0 || cycle + 1 == args.cycles || !progress.findings.is_clean() {
            println!(
                "cycle {:>4} of {}: killed {victim:?}; {} acknowledged, {} stored, {} lost, {} twice, {} invented",
                cycle + 1,
                args.cycles,
                ledger.acknowledged(),
                progress.stored,
                progress.findings.lost.len(),
                progress.findings.doubled.len(),
                progress.findings.invented.len()
            );
        }
        if !progress.findings.is_clean() {
            bail!("cycle {cycle}: the stored titles are not those acknowledged");
        }
        let begun = Instant::now();
        match server.ended()? {
            Some(_) if victim == Victim::Server => server = launch.start(stop)?,
            Some(status) => bail!("cycle {cycle}: the server ended with {status} when its database did"),
            None => {}
        }
        restart = begun.elapsed();
    }

    // The last recovery counts too: a server that starts and stops in good order must have kept everything.
    mainstay::stop_gently(server)?;
    judge(&database, ledger, progress)?;
    if let Database::Postgres(postgres) = &database {
        println!("pg_amcheck");
        postgres.amcheck(DATABASE)?;
    }
    Ok(())
}

fn kill(server: &mut Process) -> Result<()> {
    server.signal(Signal::SIGKILL)?;
    server.wait(&Stop::default(), CYCLE_WITHIN).map(|_| ())
}

/// When a cycle ends.
struct SoakPlan {
    cycle: u64,
    acks: u64,
    pause: Duration,
}

/// Lets every writer write until `crash` has happened, and enters what they sent and heard. Returns how long the first
/// acknowledgement took: with the restart before it, the recovery.
fn write_until_crash(
    plan: &SoakPlan,
    writers: &mut [Caller],
    ledger: &mut AcknowledgedWrites,
    stop: &Stop,
    crash: impl FnOnce() -> Result<()>,
) -> Result<Duration> {
    let (acks, is_over) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(number, writer)| scope.spawn(move || write(writer, plan.cycle, number, acks, is_over)))
            .collect();
        let mut first_ack = None;
        let waited = loop {
            let so_far = acks.load(Ordering::SeqCst);
            if so_far > 0 && first_ack.is_none() {
                first_ack = Some(start.elapsed());
            }
            if so_far >= plan.acks {
                break Ok(first_ack.unwrap_or_default());
            }
            if stop.is_asked() || start.elapsed() > CYCLE_WITHIN {
                let seconds = start.elapsed().as_secs();
                break Err(anyhow::anyhow!("{so_far} of {} writes acknowledged after {seconds} s", plan.acks));
            }
            thread::sleep(Duration::from_micros(200));
        };
        thread::sleep(plan.pause);
        // The crash comes first: writers must meet it in the middle of a request.
        let crashed = if waited.is_ok() { crash() } else { Ok(()) };
        is_over.store(true, Ordering::SeqCst);
        for writer in running {
            match writer.join() {
                Ok(sent) => ledger.enter(sent),
                Err(_) => bail!("a writer panicked"),
            }
        }
        crashed.and(waited)
    })
}

/// A title, and what its one request was answered: `None` for nothing.
struct Sent {
    title: String,
    status: Option<u16>,
}

fn write(writer: &mut Caller, cycle: u64, number: usize, acks: &AtomicU64, is_over: &AtomicBool) -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 0_u64.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let title = format!("soak-{cycle}-{number}-{n}");
        let status = match writer.publish(&title) {
            Answer::Said(status, _) => Some(status),
            Answer::Nothing => None,
        };
        sent.push(Sent { title, status });
        match status {
            Some(201) => {
                acks.fetch_add(1, Ordering::SeqCst);
            }
            // The access token ended its quarter of an hour. If this fails too, the next 401 tries again.
            Some(401) if !is_over.load(Ordering::SeqCst) => {
                let _ = writer.log_in();
            }
            // Gone, full or limiting us: not a busy loop.
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
    sent
}

/// Every title ever sent, and whether its 201 was seen. It lives in this process, which nobody kills.
#[derive(Default)]
struct AcknowledgedWrites {
    sent: HashMap<String, bool>,
    answers: BTreeMap<String, u64>,
}

impl AcknowledgedWrites {
    fn enter(&mut self, sent: Vec<Sent>) {
        for Sent { title, status } in sent {
            let answer = status.map_or("none".to_owned(), |status| status.to_string());
            *self.answers.entry(answer).or_default() += 1;
            self.sent.insert(title, status == Some(201));
        }
    }

    fn acknowledged(&self) -> usize {
        self.sent.values().filter(|is_acknowledged| **is_acknowledged).count()
    }

    /// Compares with what is stored.
    fn compare<'a>(&self, stored: impl Iterator<Item = &'a str>) -> Findings {
        let mut times = HashMap::<&str, u32>::new();
        for title in stored {
            *times.entry(title).or_default() += 1;
        }
        let lost =
            self.sent.iter().filter(|(title, acknowledged)| **acknowledged && !times.contains_key(title.as_str()));
        let mut findings = Findings {
            lost: lost.map(|(title, _)| title.clone()).collect(),
            doubled: times.iter().filter(|(_, times)| **times > 1).map(|(title, _)| (*title).to_owned()).collect(),
            invented: times
                .keys()
                .filter(|title| !self.sent.contains_key(**title))
                .map(|title| (*title).to_owned())
                .collect(),
        };
        findings.lost.sort_unstable();
        findings.doubled.sort_unstable();
        findings.invented.sort_unstable();
        findings
    }
}

/// Titles that should or should not be there.
#[derive(Default, Debug, PartialEq, Eq)]
struct Findings {
    lost: Vec<String>,
    doubled: Vec<String>,
    invented: Vec<String>,
}

impl Findings {
    fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

enum Database {
    Sqlite(PathBuf),
    Postgres(Box<Postgres>),
}

impl Database {
    /// The stored titles, a line each, after a check of the database's own structure.
    fn titles(&self) -> Result<String> {
        match self {
            Self::Sqlite(file) => {
                // Read-only: a writing connection would checkpoint the log when it closes, and so do the recovery
                // that the server has to do by itself.
                let ask = |sql: &str| output(Command::new("sqlite3").args(["-readonly", "-bail"]).arg(file).arg(sql));
                let integrity = ask("PRAGMA integrity_check; PRAGMA foreign_key_check;")?;
                if integrity.trim() != "ok" {
                    bail!("integrity_check: {}", integrity.trim());
                }
                ask("SELECT title FROM posts")
            }
            Self::Postgres(postgres) => postgres.psql(DATABASE, "SELECT title FROM posts.posts"),
        }
    }
}

fn judge(database: &Database, ledger: &AcknowledgedWrites, progress: &mut Progress) -> Result<()> {
    let titles = database.titles().context("cannot read what is stored")?;
    progress.stored = titles.lines().count();
    progress.findings = ledger.compare(titles.lines());
    Ok(())
}

/// SplitMix64: the same seed draws the same moments.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_finds_what_is_wrong() {
        let mut ledger = AcknowledgedWrites::default();
        let sent = |title: &str, status| Sent { title: title.to_owned(), status };
        ledger.enter(vec![sent("a", Some(201)), sent("b", Some(201)), sent("c", None), sent("d", Some(503))]);
        assert_eq!(ledger.acknowledged(), 2);
        assert!(ledger.compare(["a", "b"].into_iter()).is_clean());
        // Unanswered writes may have taken effect, once.
        assert!(ledger.compare(["a", "b", "c", "d"].into_iter()).is_clean());
        let findings = ledger.compare(["a", "c", "c", "e"].into_iter());
        assert_eq!((findings.lost, findings.doubled), (vec!["b".to_owned()], vec!["c".to_owned()]));
        assert_eq!(findings.invented, ["e"]);
    }

    #[test]
    fn postgres_takes_turns_with_its_server() {
        let victims: Vec<_> = (0..4).map(|cycle| Victim::of(CrashKind::Postgres, cycle)).collect();
        assert_eq!(victims, [Victim::Server, Victim::DatabaseQuit, Victim::Server, Victim::DatabaseKill]);
        assert!((0..4).all(|cycle| Victim::of(CrashKind::Sqlite, cycle) == Victim::Server));
    }
}
