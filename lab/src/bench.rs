//! The command `bench`: builds who takes part, measures row by row, keeps what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::data::Seeded;
use crate::lab::Lab;
use crate::postgres::Postgres;
use crate::process;
use crate::progress::Progress;
use crate::redis::Redis;
use crate::report;
use crate::results::{Row, Run};
use crate::rows::{self, Need};
use crate::setup;
use crate::target::{self, Database, Target};

/// Posts in the databases where one is read by its id.
pub const ROWS: usize = 10_000;

#[derive(clap::Args)]
pub struct Args {
    /// Rounds; in each, every target has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only these rows, separated by commas; `lab list` names them.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these targets, separated by commas.
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    /// The end of the results' folder name, after the date.
    #[arg(long, default_value = "bench")]
    what: String,
    /// Where the results go with a table of their own, instead of a folder under lab/results; the whole table is then left
    /// as it is.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Measure the binaries that are there, without building.
    #[arg(long)]
    no_build: bool,
}

/// What every row is handed.
pub struct Bench<'a> {
    /// Where everything is.
    pub lab: &'a Lab,
    /// Those that take part and could be built.
    pub targets: BTreeMap<String, Target>,
    /// Those that should take part and could not, and why.
    pub absent: BTreeMap<String, Absent>,
    /// How often each has its turn.
    pub rounds: usize,
    /// For how long.
    pub seconds: u64,
    /// What is going on.
    pub progress: Progress,
    /// Beside the driver, if a row wants it.
    pub postgres: Option<Postgres>,
    /// Why there is none.
    pub without_postgres: String,
    /// Posts in SQLite.
    pub sqlite_rows: Option<Seeded>,
    /// Posts in PostgreSQL.
    pub postgres_rows: Option<Seeded>,
    /// The notes of `fastserve` in PostgreSQL, and the same for whoever serves them too.
    pub notes: Option<Seeded>,
    /// Beside the driver, if a row wants it.
    pub redis: Option<Redis>,
}

/// One that could not be built.
pub struct Absent {
    scenarios: Vec<String>,
    why: String,
}

impl Bench<'_> {
    /// Those of a scenario, in the order in which they have their turns, and why others are not there.
    pub fn taking_part(&self, scenario: &str) -> (Vec<&Target>, Vec<String>) {
        let is_of = |scenarios: &[String]| scenarios.iter().any(|one| one == scenario);
        let there = self.targets.values().filter(|target| is_of(&target.scenarios));
        let absent = self.absent.iter().filter(|(_, absent)| is_of(&absent.scenarios));
        let absent = absent.map(|(name, absent)| format!("{name}: {}", absent.why));
        (there.collect(), absent.collect())
    }

    /// One by its name; the error says why it is not there.
    pub fn target(&self, name: &str) -> Result<&Target> {
        self.targets.get(name).with_context(|| match self.absent.get(name) {
            Some(absent) => format!("{name}: {}", absent.why),
            None => format!("{name} does not take part, and this cannot do without it"),
        })
    }

    /// The running PostgreSQL; the error says why there is none.
    pub fn postgres(&self) -> Result<&Postgres> {
        self.postgres.as_ref().with_context(|| format!("no PostgreSQL: {}", self.without_postgres))
    }

    /// The running Redis.
    pub fn redis(&self) -> Result<&Redis> {
        self.redis.as_ref().context("no Redis was started: nobody takes part who needs it")
    }

    fn start_postgres(&mut self, with_posts: bool, with_notes: bool) -> Result<()> {
        // Beside the driver: the server under test has its core for itself.
        let postgres = Postgres::start(self.lab, target::Placement::PINNED.driver)?;
        if with_posts {
            let mainstay = self.target("mainstay-postgres")?;
            self.postgres_rows = Some(Seeded::postgres(self.lab, mainstay, &postgres, "posts", ROWS)?);
        }
        if with_notes {
            let fastserve = self.target("fastserve-memory")?;
            self.notes = Some(Seeded::postgres(self.lab, fastserve, &postgres, "notes", ROWS)?);
        }
        self.postgres = Some(postgres);
        Ok(())
    }
}

/// The command `list`.
pub fn list(lab: &Lab) -> Result<()> {
    println!("Rows:");
    for row in rows::ALL {
        println!("  {:<18}{}", row.id, row.title);
    }
    println!("\nTargets:");
    for target in target::all(lab)?.values() {
        println!("  {}\n      {}\n      {}", target.name, target.about, target.scenarios.join(", "));
    }
    Ok(())
}

/// The command `bench`.
pub fn run(args: &Args, lab: &Lab) -> Result<()> {
    ensure!(args.rounds > 0 && args.seconds > 0, "a round or a second less than one measures nothing");
    lab.needs_drivers()?;
    let chosen = chosen(&args.rows)?;
    let setup = setup::facts(lab, args.rounds, args.seconds)?;
    let (targets, absent) = build(args, lab, &chosen)?;

    let steps = chosen.iter().map(|row| (row.steps)(&targets, args.rounds)).sum::<usize>() + 2;
    let needs_postgres =
        targets.values().any(|target| matches!(target.database, Database::Postgres | Database::OwnPostgres));
    let mut bench = Bench {
        lab,
        targets,
        absent,
        rounds: args.rounds,
        seconds: args.seconds,
        progress: Progress::new(steps),
        postgres: None,
        without_postgres: "nobody takes part who needs PostgreSQL".to_owned(),
        sqlite_rows: None,
        postgres_rows: None,
        notes: None,
        redis: None,
    };
    let wants = |kind: Need| chosen.iter().any(|row| row.wants.contains(&kind));
    if wants(Need::SqliteRows) {
        bench.progress.step(&format!("writing {ROWS} posts into SQLite"));
        bench.sqlite_rows = Some(Seeded::sqlite(lab, bench.target("mainstay")?, "seed", ROWS)?);
    }
    if wants(Need::Postgres) && needs_postgres {
        bench.progress.step(&format!("starting PostgreSQL, writing {ROWS} posts"));
        if let Err(error) = bench.start_postgres(wants(Need::PostgresRows), wants(Need::Notes)) {
            lab.stop.check()?;
            eprintln!("without PostgreSQL: {error:#}");
            bench.without_postgres = format!("{error:#}");
        }
    }

    if wants(Need::Redis) && bench.targets.values().any(Target::shares) {
        bench.redis = Some(Redis::start(target::Placement::PINNED.driver)?);
    }

    let mut results = Vec::new();
    for row in chosen {
        let measured = (row.run)(&bench).unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", row.id);
            Row { missing: vec![format!("{error:#}")], ..Row::new(row.id, row.title, "") }
        });
        lab.stop.check()?;
        report::print(&measured);
        results.push(measured);
    }
    let run = Run { setup, rows: results };
    let folder = match &args.out {
        Some(out) => out.clone(),
        None => lab.root.join("lab/results").join(format!("{}-{}", today()?, args.what)),
    };
    run.write(&folder)?;
    println!("\nkept in {}", folder.display());
    if args.out.is_none() { report::write(lab, &folder) } else { report::write_beside(lab, &folder) }
}

fn chosen(names: &[String]) -> Result<Vec<&'static rows::Known>> {
    if let Some(unknown) = names.iter().find(|name| rows::ALL.iter().all(|row| row.id != **name)) {
        let known: Vec<&str> = rows::ALL.iter().map(|row| row.id).collect();
        bail!("there is no row {unknown}; there are {}", known.join(", "));
    }
    Ok(rows::ALL.iter().filter(|row| names.is_empty() || names.iter().any(|name| name == row.id)).collect())
}

type Built = (BTreeMap<String, Target>, BTreeMap<String, Absent>);

/// Builds who takes part in these rows. One that cannot be built is not left out in silence.
fn build(args: &Args, lab: &Lab, chosen: &[&rows::Known]) -> Result<Built> {
    let wanted: BTreeSet<&str> = chosen.iter().flat_map(|row| row.scenarios).copied().collect();
    let takes_part = |target: &Target| {
        target.scenarios.iter().any(|scenario| wanted.contains(scenario.as_str()))
            && (args.targets.is_empty() || args.targets.contains(&target.name))
    };
    let (mut built, mut absent) = (BTreeMap::new(), BTreeMap::new());
    for (name, target) in target::all(lab)?.into_iter().filter(|(_, target)| takes_part(target)) {
        lab.stop.check()?;
        let outcome = if args.no_build {
            target.lay_out(lab)
        } else {
            eprintln!("building {name}");
            target.build(lab)
        };
        match outcome {
            Ok(()) => drop(built.insert(name, target)),
            Err(error) => {
                eprintln!("{name} does not take part: {error:#}");
                absent.insert(name, Absent { scenarios: target.scenarios, why: format!("{error:#}") });
            }
        }
    }
    Ok((built, absent))
}

fn today() -> Result<String> {
    Ok(process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned())
}
