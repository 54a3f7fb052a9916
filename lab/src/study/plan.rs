//! A plan: which slices of all that could be measured are measured. A TOML file; `lab/plans` has those that are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::target::Target;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// One line for the report.
    pub title: String,
    /// Rounds; in each, every target has its turn.
    pub rounds: usize,
    /// Seconds of each measurement.
    pub seconds: u64,
    /// Seconds of the same load before it, not counted.
    pub warmup_s: u64,
    /// Where a slice says nothing else.
    #[serde(default)]
    pub base: toml::Table,
    /// Only these take part; all that have a `[study]` where it is left out.
    #[serde(default)]
    pub targets: Vec<String>,
    /// What is measured.
    #[serde(rename = "slice")]
    pub slices: Vec<Slice>,
}

/// One part of a plan: every target on every endpoint at every combination of levels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// What it is called in the report.
    pub name: String,
    /// Those of the plan where it is left out.
    #[serde(default)]
    pub targets: Vec<String>,
    /// What is asked for.
    pub endpoints: Vec<Endpoint>,
    /// Seconds of each measurement, where the plan's are not enough: a scenario's users arrive one after the other.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Factors and their levels; every combination is measured.
    #[serde(default)]
    pub vary: BTreeMap<String, Vec<toml::Value>>,
    /// Combinations that belong together, each on top of those of `vary`.
    #[serde(default)]
    pub levels: Vec<toml::Table>,
}

/// What is asked for. What each does: `lab/targets/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `/api/health`.
    Health,
    /// `/api/compute`.
    Compute,
    /// `/api/cache`.
    Cache,
    /// `/api/db`.
    Db,
    /// One post by its id, with a token.
    Read,
    /// The newest posts, with a token.
    List,
    /// A new post, with a token.
    Create,
    /// Of ten requests six read, three list, one creates: what the scenarios of k6 and Locust do.
    Mix,
}

impl Endpoint {
    /// As plans and results write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Compute => "compute",
            Self::Cache => "cache",
            Self::Db => "db",
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Mix => "mix",
        }
    }

    /// Which clauses of the contract must have been kept by whoever is timed on it.
    pub const fn clauses(self) -> &'static [&'static str] {
        match self {
            Self::Health => &["health"],
            Self::Compute => &["compute"],
            Self::Cache => &["cache"],
            Self::Db => &["db", "crowd"],
            Self::Read => &["token", "read"],
            Self::List => &["token", "list", "crowd"],
            Self::Create => &["token", "create"],
            Self::Mix => &["token", "read", "list", "create", "crowd"],
        }
    }
}

/// The protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Http {
    /// HTTP/1.1.
    #[serde(rename = "1")]
    One,
    /// HTTP/2 without TLS, by prior knowledge.
    #[serde(rename = "2")]
    Two,
}

/// Where `/api/cache` keeps its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Nowhere.
    None,
    /// In the process.
    Memory,
    /// In Redis.
    Redis,
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// A file.
    Sqlite,
    /// A server beside the driver.
    Postgres,
    /// A server beside the driver.
    MariaDb,
}

/// What stands in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proxy {
    /// Nothing.
    None,
    /// nginx with its connections to the server kept.
    Nginx,
    /// nginx as it comes: a new connection to the server for each request, and an access log.
    NginxUntuned,
    /// nginx as tuned, which compresses.
    NginxGzip,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// A closed loop.
    Wrk,
    /// A closed loop that speaks both protocols.
    H2load,
    /// An open loop at `rate`.
    Oha,
    /// A scenario.
    K6,
    /// A scenario.
    Locust,
}

/// One level of every factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Factors {
    /// Whether the server compresses and the driver takes it.
    pub gzip: bool,
    /// Whether a connection is used again.
    pub keep_alive: bool,
    /// The protocol.
    pub http: Http,
    /// Requests under way on one connection; more than one only with HTTP/2.
    pub streams: usize,
    /// Connections.
    pub connections: usize,
    /// Connections of the server to its database.
    pub pool: usize,
    /// Where `/api/cache` keeps its report.
    pub cache: CacheKind,
    /// The database.
    pub database: DatabaseKind,
    /// What stands in front.
    pub proxy: Proxy,
    /// Who asks.
    pub driver: DriverKind,
    /// Requests due in a second; 0: as fast as answers come.
    pub rate: u32,
    /// Which number `/api/compute` is asked for.
    pub n: u32,
}

impl Default for Factors {
    fn default() -> Self {
        Self {
            gzip: false,
            keep_alive: true,
            http: Http::One,
            streams: 1,
            connections: 64,
            pool: 10,
            cache: CacheKind::None,
            database: DatabaseKind::Sqlite,
            proxy: Proxy::None,
            driver: DriverKind::Wrk,
            rate: 0,
            n: 20,
        }
    }
}

impl Factors {
    fn check(&self, endpoint: Endpoint) -> Result<()> {
        ensure!((1..=65_536).contains(&self.connections), "`connections` must be from 1 to 65536");
        ensure!((1..=1_000).contains(&self.pool), "`pool` must be from 1 to 1000");
        ensure!(self.n <= 40, "`n` must be from 0 to 40");
        ensure!((1..=100).contains(&self.streams), "`streams` must be from 1 to 100");
        ensure!(self.streams == 1 || self.http == Http::Two, "`streams` above 1 need `http = \"2\"`");
        ensure!(
            self.http == Http::One || self.driver == DriverKind::H2load,
            "`http = \"2\"` needs `driver = \"h2load\"`"
        );
        ensure!(
            (self.rate > 0) == (self.driver == DriverKind::Oha),
            "`rate` and `driver = \"oha\"` go together: an open loop needs a rate, and the others keep none"
        );
        ensure!(self.keep_alive || self.driver == DriverKind::Wrk, "`keep_alive = false` needs `driver = \"wrk\"`");
        let plays = matches!(self.driver, DriverKind::K6 | DriverKind::Locust);
        ensure!(
            self.cache == CacheKind::None || endpoint == Endpoint::Cache,
            "a `cache` is for the endpoint `cache` alone: the others are to read their rows"
        );
        ensure!(
            plays == (endpoint == Endpoint::Mix),
            "the endpoint `mix` and the drivers `k6` and `locust` go together"
        );
        Ok(())
    }
}

/// What a server is started with. Cells that agree in it share a server within a round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setting {
    /// The database.
    pub database: DatabaseKind,
    /// Where `/api/cache` keeps its report.
    pub cache: CacheKind,
    /// Whether it compresses.
    pub gzip: bool,
    /// The protocol.
    pub http: Http,
    /// Connections to the database.
    pub pool: usize,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (database, cache) = (word(&self.database), word(&self.cache));
        let gzip = if self.gzip { ", gzip" } else { "" };
        write!(f, "{database}, cache {cache}{gzip}, HTTP/{}, pool {}", word(&self.http), self.pool)
    }
}

/// One thing that is measured, `rounds` times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Whose.
    pub target: String,
    /// What is asked for.
    pub endpoint: Endpoint,
    /// How.
    pub factors: Factors,
}

impl Cell {
    /// With what its server is started. What an endpoint has nothing to do with is left at the default, so that more of
    /// them share a server.
    pub fn setting(&self) -> Setting {
        let Factors { database, cache, gzip, http, pool, .. } = self.factors;
        // nginx compresses instead, and speaks HTTP/1.1 to what is behind it.
        let gzip = gzip && self.factors.proxy != Proxy::NginxGzip;
        Setting { database, cache, gzip, http, pool }
    }

    /// Distinguishes it from all others, in the same words today and tomorrow.
    pub fn id(&self) -> String {
        let factors = serde_json::to_value(&self.factors).ok();
        let of = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let levels = factors.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten();
        let levels: Vec<String> = levels.map(|(name, value)| format!("{name}={}", of(value))).collect();
        format!("{} {} {}", self.target, self.endpoint.name(), levels.join(" "))
    }
}

/// A level as plans write it.
pub fn word(level: &impl Serialize) -> String {
    let value = serde_json::to_value(level).unwrap_or_default();
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

impl Plan {
    /// Reads and checks one.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a plan", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        ensure!(plan.rounds > 0 && plan.seconds > 0, "a round or a second less than one measures nothing");
        ensure!(plan.slices.iter().all(|slice| slice.seconds != Some(0)), "a slice of no seconds measures nothing");
        ensure!(!plan.slices.is_empty(), "it has no `[[slice]]`");
        let names: BTreeSet<&str> = plan.slices.iter().map(|slice| slice.name.as_str()).collect();
        ensure!(names.len() == plan.slices.len(), "two slices have the same name");
        // Whatever is wrong with a level is said before the first hour is spent.
        for slice in &plan.slices {
            plan.cells_of(slice, &[String::from("anyone")]).with_context(|| format!("the slice {}", slice.name))?;
        }
        Ok(plan)
    }

    /// Who takes part in any of its slices, by name; an error for a name nobody has.
    pub fn targets<'a>(&self, all: &'a BTreeMap<String, Target>) -> Result<BTreeMap<&'a str, &'a Target>> {
        let study: BTreeMap<&str, &Target> = all
            .iter()
            .filter(|(_, target)| target.study.is_some())
            .map(|(name, target)| (name.as_str(), target))
            .collect();
        let named = self.targets.iter().chain(self.slices.iter().flat_map(|slice| &slice.targets));
        if let Some(unknown) = named.clone().find(|name| !study.contains_key(name.as_str())) {
            let known: Vec<&str> = study.keys().copied().collect();
            bail!("there is no target {unknown} in the study; there are {}", known.join(", "));
        }
        let is_open = self.targets.is_empty() && self.slices.iter().any(|slice| slice.targets.is_empty());
        let wanted: BTreeSet<&str> = named.map(String::as_str).collect();
        Ok(study.into_iter().filter(|(name, _)| is_open || wanted.contains(name)).collect())
    }

    /// The cells of a slice for these targets, those of one combination of levels together, so that targets have
    /// their turns next to each other.
    pub fn cells_of(&self, slice: &Slice, everyone: &[String]) -> Result<Vec<Cell>> {
        let whose = [&slice.targets, &self.targets].into_iter().find(|some| !some.is_empty());
        let whose: Vec<&String> = match whose {
            Some(some) if everyone != [String::from("anyone")] => {
                some.iter().filter(|name| everyone.contains(name)).collect()
            }
            _ => everyone.iter().collect(),
        };
        let mut combinations = vec![self.base.clone()];
        for (factor, levels) in &slice.vary {
            ensure!(!levels.is_empty(), "`{factor}` has no level");
            let with = |table: &toml::Table, level: &toml::Value| {
                let mut table = table.clone();
                table.insert(factor.clone(), level.clone());
                table
            };
            combinations = combinations
                .iter()
                .flat_map(|table| levels.iter().map(|level| with(table, level)).collect::<Vec<_>>())
                .collect();
        }
        if !slice.levels.is_empty() {
            let with = |table: &toml::Table, more: &toml::Table| {
                let mut table = table.clone();
                table.extend(more.clone());
                table
            };
            combinations = combinations
                .iter()
                .flat_map(|table| slice.levels.iter().map(|more| with(table, more)).collect::<Vec<_>>())
                .collect();
        }
        let mut cells = Vec::new();
        for table in combinations {
            let factors: Factors = table.try_into().context("its levels")?;
            for endpoint in &slice.endpoints {
                factors.check(*endpoint).with_context(|| format!("the endpoint {}", endpoint.name()))?;
                cells.extend(whose.iter().map(|name| Cell {
                    target: (*name).clone(),
                    endpoint: *endpoint,
                    factors: factors.clone(),
                }));
            }
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(slice: &str) -> Result<Plan> {
        Plan::parse(&format!(
            "title = \"t\"\nrounds = 1\nseconds = 1\nwarmup_s = 0\n[base]\nconnections = 8\n[[slice]]\nname = \"s\"\n{slice}"
        ))
    }

    #[test]
    fn a_slice_is_every_combination_of_its_levels() {
        let plan = plan("endpoints = [\"health\", \"db\"]\nvary = { gzip = [true, false], pool = [1, 2, 3] }").unwrap();
        let names = ["a".to_owned(), "b".to_owned()];
        let cells = plan.cells_of(&plan.slices[0], &names).unwrap();
        assert_eq!(cells.len(), 2 * 2 * 3 * 2);
        assert!(cells.iter().all(|cell| cell.factors.connections == 8), "the base holds where a slice says nothing");
        let ids: BTreeSet<String> = cells.iter().map(Cell::id).collect();
        assert_eq!(ids.len(), cells.len());
        assert_eq!(cells[0].target, "a");
        assert_eq!((&cells[1].target, cells[1].endpoint), (&"b".to_owned(), cells[0].endpoint));
    }

    #[test]
    fn levels_that_belong_together_stay_together() {
        let plan = plan(
            "endpoints = [\"health\"]\nvary = { driver = [\"h2load\"] }\n\
             levels = [{ http = \"1\" }, { http = \"2\", connections = 4, streams = 8 }]",
        )
        .unwrap();
        let cells = plan.cells_of(&plan.slices[0], &["a".to_owned()]).unwrap();
        let levels: Vec<_> = cells.iter().map(|cell| (cell.factors.connections, cell.factors.streams)).collect();
        assert_eq!(levels, [(8, 1), (4, 8)]);
    }

    #[test]
    fn what_cannot_be_measured_is_said_before_anything_is() {
        for (slice, said) in [
            ("endpoints = [\"health\"]\nvary = { gzipp = [true] }", "gzipp"),
            ("endpoints = [\"health\"]\nvary = { http = [\"2\"] }", "h2load"),
            ("endpoints = [\"health\"]\nvary = { rate = [5] }", "open loop"),
            ("endpoints = [\"mix\"]", "locust"),
            ("endpoints = [\"db\"]\nvary = { cache = [\"memory\"] }", "alone"),
            ("endpoints = [\"compute\"]\nvary = { n = [41] }", "`n`"),
            ("endpoints = [\"nothing\"]", "nothing"),
        ] {
            let error = format!("{:#}", plan(slice).unwrap_err());
            assert!(error.contains(said), "{slice}: {error}");
        }
    }
}
