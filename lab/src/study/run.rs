//! Measures what a plan says, in turns, and writes each finding down at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::contract::created_post;
use crate::http::Requests;
use crate::lab::Lab;
use crate::mainstay;
use crate::process;
use crate::results::Sample;
use crate::setup;
use crate::study::contract::{self, Finding, Subject};
use crate::study::drivers::{self, Load, Scene};
use crate::study::fixtures::{Fixtures, Nginx};
use crate::study::live::Live;
use crate::study::plan::{CacheKind, Cell, DatabaseKind, Endpoint, Factors, Http, Plan, Proxy, Setting, word};
use crate::study::report;
use crate::study::run_log::{Line, RunLog};
use crate::study::token;
use crate::target::{self, Home, Placement, Server, Target};

/// Who makes the rows that everybody has.
const MAKER: &str = "fastserve";
/// Before a scenario's ids are too many to be handed over.
const SCENE_IDS: usize = 1_000;
/// Seconds before a scenario is timed: its users arrive one after the other.
const SCENE_WARMUP_S: u64 = 5;
/// What compiles while it runs is warm once an answer costs more than this share of what it cost at the last look, or after
/// so long.
const NO_CHEAPER: f64 = 0.85;
const WARM_WITHIN: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Args {
    /// The plan: a file, or the name of one in lab/plans.
    #[arg(default_value = "full")]
    plan: PathBuf,
    /// Where the results go, and where a run that was cut off goes on; a folder under lab/results otherwise.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only these targets, separated by commas.
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    /// Measure what is there, without building.
    #[arg(long)]
    no_build: bool,
    /// Open the report when it is written.
    #[arg(long)]
    open: bool,
    /// Tell Prometheus how it goes, on this port of every address: /metrics.
    #[arg(long)]
    metrics_port: Option<u16>,
}

impl Args {
    /// What `lab quick` means.
    pub fn quick(out: Option<PathBuf>) -> Self {
        let plan = PathBuf::from("quick");
        Self { plan, out, targets: Vec::new(), no_build: false, open: true, metrics_port: None }
    }
}

/// The command `study`.
pub fn run(args: &Args, lab: &Lab) -> Result<()> {
    let file = find_plan(lab, &args.plan)?;
    let plan = Plan::read(&file)?;
    let text = fs::read_to_string(&file).context("just read")?;
    let name = file.file_stem().context("a plan has a name")?.to_string_lossy().into_owned();
    lab.needs_drivers()?;
    let folder = match &args.out {
        Some(out) => out.clone(),
        None => lab.root.join("lab/results").join(format!("fastserve-{name}")),
    };
    let mut run_log = RunLog::open(&folder, &text)?;
    if !run_log.lines.is_empty() {
        println!("goes on in {}", folder.display());
    }
    run_log.keep(Line::Began { setup: setup::facts(lab, plan.rounds, plan.seconds)?, plan: text })?;

    let all = target::all(lab)?;
    let mut those = plan.targets(&all)?;
    if let Some(unknown) = args.targets.iter().find(|name| !those.contains_key(name.as_str())) {
        bail!("{unknown} has no part in this plan; there are {}", those.keys().copied().collect::<Vec<_>>().join(", "));
    }
    those.retain(|name, _| args.targets.is_empty() || args.targets.iter().any(|wanted| wanted == name));
    let built = build(args, lab, &those, &mut run_log)?;
    ensure!(!built.is_empty(), "none of the targets could be built");
    let maker = all.get(MAKER).with_context(|| format!("there is no target {MAKER}, which makes the rows"))?;
    if !built.contains(&MAKER.to_owned()) && !args.no_build {
        maker.build(lab).context("it makes the rows that everybody has")?;
    }

    let (cells, seconds) = cells(&plan, &all, &built, lab, &mut run_log)?;
    let mut study = Study {
        lab,
        plan: &plan,
        seconds,
        all: &all,
        fixtures: Fixtures::new(lab, maker),
        done: run_log.done(),
        contracts: run_log.contracts(),
        run_log,
        live: Live::start(args.metrics_port, cells.len() * plan.rounds)?,
        began: Instant::now(),
        spent: 0,
        left: 0,
    };
    study.left = cells.len() * plan.rounds - study.count_done(&cells);
    println!("{} cells, {} rounds: {} measurements to take", cells.len(), plan.rounds, study.left);
    for round in 1..=plan.rounds {
        study.round(round, &cells)?;
    }
    drop(study);
    report::write(&folder)?;
    if args.open {
        open(&folder.join("report.html"));
    }
    Ok(())
}

/// The command `contract`: holds targets to their page on every database and cache they have.
pub fn check(names: &[String], lab: &Lab) -> Result<()> {
    let all = target::all(lab)?;
    let maker = all.get(MAKER).with_context(|| format!("there is no target {MAKER}, which makes the rows"))?;
    maker.build(lab).context("it makes the rows that everybody has")?;
    let mut fixtures = Fixtures::new(lab, maker);
    let mut broken = 0;
    for (name, target) in all.iter().filter(|(_, target)| target.study.is_some()) {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        if let Err(error) = target.build(lab) {
            println!("{name}: cannot be built: {error:#}");
            broken += 1;
            continue;
        }
        for setting in settings(target) {
            let found = check_contract(lab, &mut fixtures, target, &setting);
            lab.stop.check()?;
            println!("{name} · {setting}");
            match found {
                Err(error) => {
                    println!("  does not run: {error:#}");
                    broken += 1;
                }
                Ok(findings) => {
                    for Finding { clause, broken: why } in &findings {
                        match why {
                            None => println!("  ok      {clause}"),
                            Some(why) => println!("  BROKEN  {clause}: {why}"),
                        }
                    }
                    broken += findings.iter().filter(|finding| finding.broken.is_some()).count();
                }
            }
        }
    }
    ensure!(broken == 0, "{broken} clauses are broken");
    Ok(())
}

/// Every database with every cache, and what else it can once.
fn settings(target: &Target) -> Vec<Setting> {
    let Some(study) = &target.study else { return Vec::new() };
    let plain = |database, cache| Setting { database, cache, gzip: false, http: Http::One, pool: 4 };
    let mut all = Vec::new();
    for database in &study.databases {
        for cache in &study.caches {
            all.push(plain(*database, *cache));
        }
    }
    let first = study.databases.first().copied().unwrap_or(DatabaseKind::Sqlite);
    if study.gzip {
        all.push(Setting { gzip: true, ..plain(first, CacheKind::None) });
    }
    if study.http2 {
        all.push(Setting { http: Http::Two, ..plain(first, CacheKind::None) });
    }
    all
}

fn find_plan(lab: &Lab, plan: &PathBuf) -> Result<PathBuf> {
    let known = lab.root.join("lab/plans").join(plan).with_extension("toml");
    let found = [plan.clone(), known].into_iter().find(|path| path.is_file());
    found.with_context(|| format!("there is no plan {}: neither a file nor one of lab/plans", plan.display()))
}

/// Builds who takes part; who cannot be built is written down.
fn build(args: &Args, lab: &Lab, those: &BTreeMap<&str, &Target>, run_log: &mut RunLog) -> Result<Vec<String>> {
    let mut built = Vec::new();
    for (at, (name, target)) in those.iter().enumerate() {
        lab.stop.check()?;
        let outcome = if args.no_build {
            target.lay_out(lab)
        } else {
            eprintln!("building {name} ({} of {})", at + 1, those.len());
            target.build(lab)
        };
        lab.stop.check()?;
        let absent = outcome.err().map(|error| format!("{error:#}"));
        match &absent {
            None => built.push((*name).to_owned()),
            Some(why) => eprintln!("{name} does not take part: {why}"),
        }
        run_log.keep(Line::Target { name: (*name).to_owned(), about: about(target), absent })?;
    }
    Ok(built)
}

fn about(target: &Target) -> Value {
    let Some(study) = &target.study else { return Value::Null };
    json!({
        "title": study.title, "version": study.version, "language": study.language, "waits": study.waits,
        "warmup_s": study.warmup_s, "about": target.about,
    })
}

/// What can be measured, and for how long where that is not the plan's; what cannot be is written down with the reason.
fn cells(
    plan: &Plan,
    all: &BTreeMap<String, Target>,
    built: &[String],
    lab: &Lab,
    run_log: &mut RunLog,
) -> Result<(Vec<Cell>, BTreeMap<String, u64>)> {
    let mut known = BTreeSet::new();
    let mut kept = Vec::new();
    let mut seconds = BTreeMap::new();
    let mut drivers = BTreeMap::new();
    for slice in &plan.slices {
        for cell in plan.cells_of(slice, built)? {
            if !known.insert(cell.id()) {
                continue;
            }
            seconds.extend(slice.seconds.map(|seconds| (cell.id(), seconds)));
            let driver = cell.factors.driver;
            let there = drivers
                .entry(word(&driver))
                .or_insert_with(|| drivers::need(driver, lab).map_err(|error| format!("{error:#}")));
            let target = all.get(&cell.target).context("a target that is there")?;
            let why = there.clone().err().or_else(|| cannot(target, &cell));
            match why {
                None => kept.push(cell),
                Some(why) => run_log.keep(Line::Missing { cell, why, is_final: true })?,
            }
        }
    }
    Ok((kept, seconds))
}

/// What a target has no part in.
fn cannot(target: &Target, cell: &Cell) -> Option<String> {
    let study = target.study.as_ref()?;
    let Factors { database, cache, gzip, http, proxy, .. } = &cell.factors;
    if !study.answers(cell.endpoint.name()) {
        Some("it has no such endpoint".to_owned())
    } else if !study.databases.contains(database) {
        Some(format!("it does not speak {}", word(database)))
    } else if !study.caches.contains(cache) {
        Some(format!("it has no cache of the kind {}", word(cache)))
    } else if *gzip && !study.gzip && *proxy != Proxy::NginxGzip {
        Some("it does not compress by itself".to_owned())
    } else if *http == Http::Two && !study.http2 {
        Some("it does not speak HTTP/2 without TLS".to_owned())
    } else {
        None
    }
}

struct Study<'a> {
    lab: &'a Lab,
    plan: &'a Plan,
    /// Of a cell, where they are not the plan's.
    seconds: BTreeMap<String, u64>,
    all: &'a BTreeMap<String, Target>,
    fixtures: Fixtures<'a>,
    run_log: RunLog,
    done: BTreeSet<(String, usize)>,
    contracts: BTreeMap<(String, Setting), Vec<Finding>>,
    live: Live,
    began: Instant,
    spent: usize,
    left: usize,
}

impl Study<'_> {
    fn count_done(&self, cells: &[Cell]) -> usize {
        let rounds = self.plan.rounds;
        cells.iter().map(|cell| (1..=rounds).filter(|round| self.done.contains(&(cell.id(), *round))).count()).sum()
    }

    /// One turn for everyone: setting by setting, target by target.
    fn round(&mut self, round: usize, cells: &[Cell]) -> Result<()> {
        let mut settings: Vec<Setting> = Vec::new();
        for cell in cells {
            let setting = cell.setting();
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
        for setting in settings {
            let of = |cell: &&Cell| cell.setting() == setting;
            let mut names: Vec<&str> = Vec::new();
            for cell in cells.iter().filter(of) {
                if !names.contains(&cell.target.as_str()) {
                    names.push(&cell.target);
                }
            }
            // Who was first in one round is not first in the next: whatever warms up or fills up hits everybody.
            let shift = round % names.len().max(1);
            names.rotate_left(shift);
            for name in names {
                let mut own: Vec<&Cell> = cells.iter().filter(of).filter(|cell| cell.target == name).collect();
                own.retain(|cell| !self.done.contains(&(cell.id(), round)));
                // What writes comes last, since what is there afterwards is not what others found.
                own.sort_by_key(|cell| matches!(cell.endpoint, Endpoint::Create | Endpoint::Mix));
                if own.is_empty() {
                    continue;
                }
                if let Err(error) = self.turn(round, name, &setting, &own) {
                    self.lab.stop.check()?;
                    eprintln!("{name} · {setting}: {error:#}");
                    for cell in own.iter().filter(|cell| !self.done.contains(&(cell.id(), round))) {
                        let why = format!("{error:#}");
                        self.run_log.keep(Line::Missing { cell: (*cell).clone(), why, is_final: false })?;
                        self.left -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// A target's turn with one setting: its contract, if that was not looked at, then its cells on one server.
    fn turn(&mut self, round: usize, name: &str, setting: &Setting, cells: &[&Cell]) -> Result<()> {
        let target = self.all.get(name).context("a target that is there")?;
        let key = (name.to_owned(), setting.clone());
        if !self.contracts.contains_key(&key) {
            eprintln!("{name} · {setting} · the contract");
            let findings = check_contract(self.lab, &mut self.fixtures, target, setting)?;
            for finding in &findings {
                if let Some(why) = &finding.broken {
                    eprintln!("  {} is broken: {why}", finding.clause);
                }
            }
            let line = Line::Contract { target: name.to_owned(), setting: setting.clone(), findings: findings.clone() };
            self.run_log.keep(line)?;
            self.contracts.insert(key.clone(), findings);
        }
        let findings = self.contracts.get(&key).context("just found")?.clone();

        let home = home(self.lab, &mut self.fixtures, target, setting)?;
        let server = target.start(self.lab, Placement::PINNED, &home)?;
        let started = server.usage()?;
        let token = token_for(self.lab, target, &server)?;
        let start = Sample::from([
            ("started_ms".to_owned(), server.started_in.as_secs_f64() * 1e3),
            ("idle_mib".to_owned(), started.rss_kib as f64 / 1024.0),
        ]);
        let mut warm = BTreeSet::new();
        let slowly = target.study.as_ref().map_or(0, |study| study.warmup_s);
        for cell in cells {
            self.lab.stop.check()?;
            let broken = broken_for(cell, &findings);
            let outcome = match broken {
                Some(why) => Err(anyhow::anyhow!("the contract is broken: {why}")),
                None => {
                    let warmup_s = if warm.insert(cell.endpoint) { slowly } else { 0 };
                    self.measure(target, &server, cell, &token, warmup_s)
                }
            };
            settle(&server)?;
            self.spent += 1;
            self.left -= 1;
            match outcome {
                Ok(mut sample) => {
                    sample.extend(start.clone());
                    self.say(cell, round, &sample);
                    self.live.measured(cell, &sample);
                    self.done.insert((cell.id(), round));
                    self.run_log.keep(Line::Sample { cell: (*cell).clone(), round, sample })?;
                }
                Err(error) => {
                    self.lab.stop.check()?;
                    eprintln!("{}: {error:#}", cell.id());
                    let why = format!("{error:#}");
                    self.run_log.keep(Line::Missing { cell: (*cell).clone(), why, is_final: false })?;
                }
            }
        }
        server.stop()
    }

    fn measure(&mut self, target: &Target, server: &Server, cell: &Cell, token: &str, warmup_s: u64) -> Result<Sample> {
        let factors = &cell.factors;
        let study = target.study.as_ref().context("it takes no part in the study")?;
        let ids: Vec<String> = {
            let posts = self.fixtures.posts(target, factors.database)?;
            posts.iter().filter_map(|post| Some(post["id"].as_str()?.to_owned())).collect()
        };
        let list = study.list.replace("{limit}", "20");
        let scene = Scene { posts: &target.paths.posts, list: &list, token, ids: &ids[..ids.len().min(SCENE_IDS)] };
        let mut requests = match cell.endpoint {
            Endpoint::Health => Requests::get("/api/health"),
            Endpoint::Compute => Requests::get(&format!("/api/compute?n={}", factors.n)),
            Endpoint::Cache => Requests::get("/api/cache"),
            Endpoint::Db => Requests::get("/api/db"),
            Endpoint::Read | Endpoint::Mix => {
                let paths = ids.iter().map(|id| format!("{}/{id}", target.paths.posts)).collect();
                Requests::get("").to(paths).signed(Some(token))
            }
            Endpoint::List => Requests::get(&list).signed(Some(token)),
            Endpoint::Create => Requests::post(&target.paths.posts, &created_post()).signed(Some(token)),
        };
        if factors.gzip {
            requests = requests.header("accept-encoding", "gzip");
        }
        let nginx = match factors.proxy {
            Proxy::None => None,
            proxy => Some(Nginx::start(self.lab, Placement::PINNED.server, proxy, server.address)?),
        };
        let address = nginx.as_ref().map_or(server.address, |nginx| nginx.address);
        let core = Placement::PINNED.driver;
        let load = |seconds| Load { address, requests: &requests, factors, core, seconds, scene };
        if warmup_s > 0 {
            self.warm_up(server, &load(warmup_s))?;
        }
        let least = if cell.endpoint == Endpoint::Mix { SCENE_WARMUP_S } else { 0 };
        if self.plan.warmup_s.max(least) > 0 {
            drivers::run(self.lab, &load(self.plan.warmup_s.max(least)))?;
        }
        let cost = || -> Result<(f64, f64)> {
            let behind = nginx.as_ref().map_or(Ok(0.0), |nginx| nginx.usage().map(|usage| usage.cpu_s))?;
            Ok((server.usage()?.cpu_s + behind, self.fixtures.database_usage(factors.database)?.cpu_s))
        };
        let (before, database_before) = cost()?;
        let begun = Instant::now();
        let mut sample =
            drivers::run(self.lab, &load(self.seconds.get(&cell.id()).copied().unwrap_or(self.plan.seconds)))?;
        let took = begun.elapsed().as_secs_f64();
        let (after, database_after) = cost()?;
        let cpu_s = after - before;
        let requests = sample.get("requests").copied().unwrap_or(0.0);
        let refused = sample.get("refused").copied().unwrap_or(0.0);
        ensure!(requests > 0.0, "nothing was answered");
        ensure!(refused * 100.0 < requests, "{refused:.0} of {requests:.0} requests were refused");
        // Ticks of 10 ms: below some of them a quotient says nothing.
        if cpu_s >= 0.05 {
            sample.insert("requests_per_cpu_s".to_owned(), requests / cpu_s);
            sample.insert("cpu_us_per_request".to_owned(), cpu_s / requests * 1e6);
        }
        sample.insert("busy".to_owned(), cpu_s / took);
        sample.insert("database_cpu_s".to_owned(), database_after - database_before);
        sample.insert("memory_mib".to_owned(), server.usage()?.rss_kib as f64 / 1024.0);
        Ok(sample)
    }

    /// A light load on all cores, again and again until answers get no cheaper: a compiler that shares one core with 64
    /// requests does not finish in a minute.
    fn warm_up(&self, server: &Server, load: &Load<'_>) -> Result<()> {
        let factors = Factors { connections: load.factors.connections.min(4), ..load.factors.clone() };
        let light = Load { factors: &factors, ..*load };
        let warm = || -> Result<()> {
            let begun = Instant::now();
            let mut before = f64::INFINITY;
            while begun.elapsed() < WARM_WITHIN {
                let used = server.usage()?.cpu_s;
                let found = drivers::run(self.lab, &light)?;
                let each = (server.usage()?.cpu_s - used) / found.get("requests").copied().unwrap_or(0.0).max(1.0);
                if each > NO_CHEAPER * before {
                    break;
                }
                before = each;
            }
            Ok(())
        };
        server.on_all_cores(self.lab, warm)
    }

    fn say(&self, cell: &Cell, round: usize, sample: &Sample) {
        let each = self.began.elapsed() / u32::try_from(self.spent.max(1)).unwrap_or(u32::MAX);
        let left = each * u32::try_from(self.left).unwrap_or(u32::MAX);
        let of = |name: &str| sample.get(name).copied().unwrap_or(0.0);
        eprintln!(
            "[{} left, about {}] {} · {} · {} · round {round}: {:.0}/s, {:.1} µs of CPU each, p99 {:.2} ms",
            self.left,
            shown(left),
            cell.target,
            cell.endpoint.name(),
            differs(&cell.factors),
            of("requests_per_s"),
            of("cpu_us_per_request"),
            of("p99_us") / 1e3,
        );
    }
}

/// Waits until a server has done what its driver left behind, which is not the next one's to wait for; a minute at most.
fn settle(server: &Server) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(100);
    let start = Instant::now();
    let mut before = server.usage()?.cpu_s;
    while start.elapsed() < Duration::from_secs(60) {
        thread::sleep(LOOK);
        let now = server.usage()?.cpu_s;
        // Some do a little by themselves.
        if now - before < 0.3 * LOOK.as_secs_f64() {
            break;
        }
        before = now;
    }
    Ok(())
}

/// What of a cell is not as usual.
pub fn differs(factors: &Factors) -> String {
    let as_usual = serde_json::to_value(Factors::default()).unwrap_or_default();
    let these = serde_json::to_value(factors).unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for (name, level) in these.as_object().into_iter().flatten() {
        if as_usual[name] != *level {
            words.push(format!("{name} {}", level.as_str().map_or_else(|| level.to_string(), ToOwned::to_owned)));
        }
    }
    if words.is_empty() { "as usual".to_owned() } else { words.join(", ") }
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5400 => format!("{} min", seconds / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

fn broken_for(cell: &Cell, findings: &[Finding]) -> Option<String> {
    let mut needs = cell.endpoint.clauses().to_vec();
    if cell.setting().gzip {
        needs.push("gzip");
    }
    if cell.factors.http == Http::Two {
        needs.push("http2");
    }
    let mut broken = findings.iter().filter(|finding| needs.contains(&finding.clause.as_str()));
    broken.find_map(|finding| Some(format!("{}: {}", finding.clause, finding.broken.as_ref()?)))
}

/// Everything a server is told.
fn home(lab: &Lab, fixtures: &mut Fixtures<'_>, target: &Target, setting: &Setting) -> Result<Home> {
    let mut home = fixtures.fresh(target, setting.database)?;
    if setting.cache == CacheKind::Redis {
        home.redis_url = fixtures.clear_redis()?;
    }
    home.pool = Some(setting.pool);
    home.http2 = setting.http == Http::Two;
    let gzip = if setting.gzip { "on" } else { "off" };
    home.env = [
        ("HOST", "127.0.0.1".to_owned()),
        ("DATABASE_URL", home.database_url.clone()),
        ("POOL_SIZE", setting.pool.to_string()),
        ("CACHE", word(&setting.cache)),
        ("REDIS_URL", home.redis_url.clone()),
        ("GZIP", gzip.to_owned()),
        ("HTTP", word(&setting.http)),
        ("TOKEN_SECRET", lab.secret.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .filter(|(_, value)| !value.is_empty())
    .collect();
    let levels = [
        format!("database={}", word(&setting.database)),
        format!("cache={}", word(&setting.cache)),
        format!("gzip={gzip}"),
        format!("http={}", word(&setting.http)),
    ];
    home.env.extend(levels.iter().flat_map(|level| target.at(level)));
    Ok(home)
}

fn token_for(lab: &Lab, target: &Target, server: &Server) -> Result<String> {
    let study = target.study.as_ref().context("it takes no part in the study")?;
    match &study.log_in {
        Some(how) => mainstay::log_in_at(server.address, how),
        None => token::good(&lab.secret),
    }
}

/// Holds one to the contract, on a database of its own.
fn check_contract(lab: &Lab, fixtures: &mut Fixtures<'_>, target: &Target, setting: &Setting) -> Result<Vec<Finding>> {
    let home = home(lab, fixtures, target, setting)?;
    let server = target.start(lab, Placement::PINNED, &home)?;
    let token = token_for(lab, target, &server)?;
    let findings = contract::check(&Subject {
        lab,
        target,
        server: &server,
        setting,
        home: &home,
        fixtures,
        posts: fixtures.posts(target, setting.database)?,
        token: &token,
        secret: &lab.secret,
    })?;
    server.stop()?;
    Ok(findings)
}

/// Shows the report to whoever sits in front; it is written either way.
fn open(report: &std::path::Path) {
    for program in ["xdg-open", "open"] {
        if process::is_there(program) && Command::new(program).arg(report).spawn().is_ok() {
            return;
        }
    }
    println!("open {} in a browser", report.display());
}
