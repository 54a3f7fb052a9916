//! The plain comparison: the same request to each target in turn, closed loop, round after round.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::contract;
use crate::data::{self, Seeded};
use crate::http::Requests;
use crate::mainstay;
use crate::results::{Figure, Row, Sample};
use crate::stats::Wanted;
use crate::target::{Database, Home, Placement, Server, Target};
use crate::wrk;

/// Before each measurement, not counted.
const WARMUP_S: u64 = 1;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// `/api/health`.
    Health,
    /// One post of SQLite by its id, any of them by chance.
    RowSqlite,
    /// One post of PostgreSQL.
    RowPostgres,
    /// A new post in an empty database.
    Create,
}

/// What our figure is divided by, and what is wanted of the ratio.
pub struct Against {
    name: &'static str,
    placement: Placement,
    measure: &'static str,
    goal: Option<(Wanted, f64)>,
}

impl Against {
    /// Requests for a second of the server's CPU, pinned.
    pub const fn per_cpu(name: &'static str, goal: Option<(Wanted, f64)>) -> Self {
        Self { name, placement: Placement::PINNED, measure: PER_CPU, goal }
    }

    /// Requests in a second, everyone on all cores.
    pub const fn free(name: &'static str, goal: Option<(Wanted, f64)>) -> Self {
        Self { name, placement: Placement::FREE, measure: PER_SECOND, goal }
    }
}

/// Requests for a second of the server's CPU.
pub const PER_CPU: &str = "requests_per_cpu_s";
/// Requests in a second.
pub const PER_SECOND: &str = "requests_per_s";

/// A row of this kind.
pub struct Comparison {
    /// As `--rows` names it, and the targets' scenario.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// Our target.
    pub ours: &'static str,
    /// What is asked.
    pub scene: Scene,
    /// How many ask at once.
    pub connections: usize,
    /// Whether it is measured on all cores too.
    pub is_free_too: bool,
    /// Whom we are compared with.
    pub against: &'static [Against],
    /// What is wanted of ours in a second, on all cores.
    pub least_free: Option<f64>,
}

impl Comparison {
    /// One for each target, round and placement.
    pub fn steps(&self, targets: &BTreeMap<String, Target>, rounds: usize) -> usize {
        let count = targets.values().filter(|one| one.scenarios.iter().any(|scenario| scenario == self.id)).count();
        count * rounds * if self.is_free_too { 2 } else { 1 }
    }

    /// Measures it.
    pub fn run(&self, bench: &Bench<'_>) -> Result<Row> {
        let mut row = Row::new(self.id, self.title, &self.how());
        let (targets, absent) = bench.taking_part(self.id);
        row.missing = absent;
        let placements =
            if self.is_free_too { &[Placement::PINNED, Placement::FREE][..] } else { &[Placement::PINNED] };
        for placement in placements {
            for round in 1..=bench.rounds {
                for target in &targets {
                    bench.progress.step(&format!(
                        "{} · {} · {} · round {round}",
                        self.id,
                        target.name,
                        placement.name()
                    ));
                    let name = named(&target.name, *placement);
                    if round > 1 && row.measured(&name).samples.is_empty() {
                        continue;
                    }
                    match self.turn(bench, target, *placement) {
                        Ok(sample) => {
                            row.measured(&name).contract = "the same answers".to_owned();
                            row.measured(&name).samples.push(sample);
                        }
                        Err(error) => {
                            eprintln!("{name}: {error:#}");
                            row.measured(&name).contract = format!("{error:#}");
                            row.missing.push(format!("{name}: {error:#}"));
                        }
                    }
                }
            }
        }
        self.conclude(&mut row);
        Ok(row)
    }

    fn how(&self) -> String {
        let mut how = format!("wrk, {} connections; pinned: server on core 0, driver on core 1", self.connections);
        if self.scene == Scene::RowPostgres || self.id == "create-postgres" {
            how += ", PostgreSQL beside the driver and not counted, TCP, the same for all";
        }
        if self.is_free_too {
            how += "; free: everyone on all cores";
        }
        how
    }

    fn turn(&self, bench: &Bench<'_>, target: &Target, placement: Placement) -> Result<Sample> {
        let home = self.home(bench, target)?;
        let server = target.start(bench.lab, placement, &home)?;
        let token = if target.signs_in {
            if self.scene == Scene::Create {
                mainstay::register(server.address, 0)?;
            }
            Some(mainstay::log_in(server.address, 0)?)
        } else {
            None
        };
        let requests = match self.scene {
            Scene::Health => Requests::get("/api/health"),
            Scene::RowSqlite | Scene::RowPostgres => by_id(target, self.seeded(bench)?),
            Scene::Create => Requests::post(&target.paths.posts, &contract::created_post()),
        };
        let requests = requests.signed(token.as_deref());
        match self.scene {
            Scene::Health => contract::health(server.address, &requests),
            Scene::RowSqlite | Scene::RowPostgres => {
                contract::row(target, server.address, token.as_deref(), self.seeded(bench)?)
            }
            Scene::Create => contract::create(target, server.address, &requests),
        }
        .context("its answers are not the same")?;
        let sample = load(bench, &server, placement, &requests, self.connections)?;
        server.stop()?;
        Ok(sample)
    }

    fn seeded<'a>(&self, bench: &'a Bench<'_>) -> Result<&'a Seeded> {
        let rows = if self.scene == Scene::RowPostgres {
            bench.postgres()?;
            &bench.postgres_rows
        } else {
            &bench.sqlite_rows
        };
        rows.as_ref().context("the rows were not written")
    }

    fn home(&self, bench: &Bench<'_>, target: &Target) -> Result<Home> {
        if matches!(self.scene, Scene::RowSqlite | Scene::RowPostgres) {
            let seeded = self.seeded(bench)?;
            let is_own = matches!(target.database, Database::Own | Database::OwnPostgres);
            return Ok(if is_own { seeded.own.clone() } else { seeded.others.clone() });
        }
        let data = bench.lab.folder("turn")?;
        let mut home = Home { database_file: data.join("posts.db"), data, ..Home::default() };
        match target.database {
            Database::None | Database::Own => {}
            Database::Sqlite => data::empty_sqlite(&home.data, &home.database_file)?,
            Database::Postgres => home.database_url = data::empty_postgres(bench.lab, bench.postgres()?, "turn")?,
            Database::OwnPostgres => home.database_url = bench.postgres()?.fresh("turn")?,
        }
        Ok(home)
    }

    fn conclude(&self, row: &mut Row) {
        for against in self.against {
            let (ours, theirs) = (named(self.ours, against.placement), named(against.name, against.placement));
            let unit = if against.measure == PER_CPU { "requests per CPU-second" } else { "requests/s on all cores" };
            let what = format!("{} ÷ {}, {unit}", self.ours, against.name);
            row.figures.extend(row.ratio(&ours, &theirs, against.measure, &what).map(|f| f.goal(against.goal)));
        }
        if let Some(least) = self.least_free {
            let ours = named(self.ours, Placement::FREE);
            let figure = row.median(&ours, PER_SECOND, &format!("{} on all cores, driver included", self.ours), "/s");
            row.figures.extend(figure.map(|figure: Figure| figure.goal(Some((Wanted::AtLeast, least)))));
        }
    }
}

/// A target's name in a row that is measured in two placements.
fn named(name: &str, placement: Placement) -> String {
    if placement.server.is_some() { name.to_owned() } else { format!("{name}, all cores") }
}

/// Any published post by chance.
pub fn by_id(target: &Target, seeded: &Seeded) -> Requests {
    let path = |id: &str| format!("{}/{id}", target.paths.posts);
    let paths = seeded.published().filter_map(|post| post["id"].as_str()).map(path);
    Requests::get("").to(paths.collect())
}

/// Warms up, then measures one target's turn.
pub fn load(
    bench: &Bench<'_>,
    server: &Server,
    placement: Placement,
    requests: &Requests,
    connections: usize,
) -> Result<Sample> {
    let run = |seconds| {
        bench.lab.stop.check()?;
        wrk::run(placement.driver, server.address, requests, connections, seconds, &bench.lab.scratch)
    };
    run(WARMUP_S)?;
    let database = || bench.postgres.as_ref().map(|postgres| postgres.usage()).transpose();
    let redis = || bench.redis.as_ref().map(|redis| redis.usage()).transpose();
    let (before, database_before, redis_before) = (server.usage()?, database()?, redis()?);
    let counted = run(bench.seconds)?;
    let (after, database_after, redis_after) = (server.usage()?, database()?, redis()?);
    ensure!(counted.requests > counted.refused, "nothing was answered well: {counted:?}");
    let good = (counted.requests - counted.refused) as f64;
    let cpu_s = after.cpu_s - before.cpu_s;
    let mut sample = Sample::from([
        ("requests".to_owned(), counted.requests as f64),
        ("refused".to_owned(), counted.refused as f64),
        ("broken".to_owned(), counted.broken as f64),
        ("seconds".to_owned(), counted.seconds),
        ("server_cpu_s".to_owned(), cpu_s),
        // Below its share of cores, the server was not the bottleneck.
        ("server_cores_used".to_owned(), cpu_s / counted.seconds),
        (PER_SECOND.to_owned(), good / counted.seconds),
        (PER_CPU.to_owned(), good / cpu_s),
        ("closed_loop_p50_ms".to_owned(), counted.p50_us / 1e3),
        ("closed_loop_p99_ms".to_owned(), counted.p99_us / 1e3),
        ("rss_mib".to_owned(), after.rss_kib as f64 / 1024.0),
    ]);
    for (name, before, after) in
        [("database_cpu_s", database_before, database_after), ("redis_cpu_s", redis_before, redis_after)]
    {
        if let (Some(before), Some(after)) = (before, after) {
            sample.insert(name.to_owned(), after.cpu_s - before.cpu_s);
        }
    }
    Ok(sample)
}
