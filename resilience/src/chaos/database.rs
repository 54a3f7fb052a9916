//! `postgres-faults`: failures of a PostgreSQL server in use. It is restarted, killed, frozen, out of connections,
//! crowded out, and failed over to its standby. Every request is answered in time, work goes on without a restart of
//! ours, and nothing that was acknowledged is lost.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use devservers::{Durability, Postgres, Stop};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, Target, wait_until};
use crate::chaos::disk::titles;
use crate::chaos::raw_http;

/// The longest that any answer may take, whatever the database does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How long after the database is itself again the first write may be kept.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// How many write and read at once while something happens.
const WRITERS: usize = 8;
const READERS: usize = 4;

/// How many ask at once in the crowd, and the size of the pool.
const CROWD: usize = 5000;
const POOL: usize = 5;
/// Threads that hold the crowd's connections.
const HANDS: usize = 50;

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    crowd(bench, report)?;
    accidents(bench, report)?;
    bench.stop.check()?;
    failover(bench, report)
}

/// What happens to the server, one after another, each under load and each until all is well again.
fn accidents(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut database = Postgres::start(Durability::Full, bench.stop)?;
    database.psql("postgres", "CREATE ROLE worker LOGIN")?;
    database.psql("postgres", "CREATE DATABASE work OWNER worker")?;
    let url = database.url_of("work").replace("//postgres@", "//worker@");
    let mut target = bench.start_on("postgres", url, &[])?;
    let (token, _) = target.sign_up("ada")?;
    let mut kept = Vec::new();

    for (name, accident) in [
        ("restarted", restart as fn(&mut Postgres, &Stop) -> Result<()>),
        ("killed", kill),
        ("frozen for fifteen seconds", freeze),
        ("out of connections for five seconds", exhaust),
    ] {
        bench.stop.check()?;
        let (load, back) = under_load(&target, &token, name, || accident(&mut database, bench.stop))?;
        load.judge(report, name, back);
        kept.extend(load.into_kept());
        judge_kept(&target, report, name, &kept)?;
    }
    report.judge(target.is_running(), "the server still runs", "after all of it");
    Ok(())
}

/// Work goes on while something happens, and until all is well again; how long after it the first write was kept.
fn under_load(
    target: &Target,
    token: &str,
    name: &str,
    accident: impl FnOnce() -> Result<()>,
) -> Result<(Load, Option<Duration>)> {
    let load = Load::default();
    let back = thread::scope(|scope| {
        let work = scope.spawn(|| load.work(target, token, name));
        thread::sleep(Duration::from_secs(1));
        let outcome = accident();
        let before = load.acknowledged.load(Ordering::SeqCst);
        let back = wait_until(BACK_WITHIN, || load.acknowledged.load(Ordering::SeqCst) > before);
        thread::sleep(Duration::from_secs(1));
        load.is_over.store(true, Ordering::SeqCst);
        let _ = work.join();
        outcome.map(|()| back)
    })?;
    Ok((load, back))
}

fn restart(database: &mut Postgres, stop: &Stop) -> Result<()> {
    database.crash(Signal::SIGINT)?;
    database.restart(stop)
}

fn kill(database: &mut Postgres, stop: &Stop) -> Result<()> {
    database.crash(Signal::SIGKILL)?;
    database.restart(stop)
}

fn freeze(database: &mut Postgres, _: &Stop) -> Result<()> {
    let all = database.processes()?;
    all.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
    thread::sleep(Duration::from_secs(15));
    all.iter().for_each(|pid| signal(*pid, Signal::SIGCONT));
    Ok(())
}

/// Nobody but a superuser gets in, and those who are in are thrown out.
fn exhaust(database: &mut Postgres, _: &Stop) -> Result<()> {
    database.psql("postgres", "ALTER ROLE worker CONNECTION LIMIT 0")?;
    let out = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'worker'";
    database.psql("postgres", out)?;
    thread::sleep(Duration::from_secs(5));
    database.psql("postgres", "ALTER ROLE worker CONNECTION LIMIT -1").map(drop)
}

fn signal(pid: i32, signal: Signal) {
    // One that has ended meanwhile needs none.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// The standby takes over. It was written to before anything was acknowledged, so nothing may be missing there.
fn failover(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let name = "failed over to its standby";
    let mut primary = Postgres::start(Durability::Full, bench.stop)?;
    let standby = primary.standby(bench.stop)?;
    primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")?;
    primary.psql("postgres", "SELECT pg_reload_conf()")?;
    let (first, second) = (primary.port(), standby.port());
    let url =
        format!("postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/postgres?target_session_attrs=read-write");
    let target = bench.start_on("failover", url, &[])?;
    let (token, _) = target.sign_up("ada")?;
    let (load, back) = under_load(&target, &token, name, || {
        primary.crash(Signal::SIGKILL)?;
        standby.psql("postgres", "SELECT pg_promote()").map(drop)
    })?;
    load.judge(report, name, back);
    judge_kept(&target, report, name, &load.into_kept())
}

/// People who write and read, and what they met.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    acknowledged: AtomicUsize,
    kept: Mutex<Vec<String>>,
    met: Mutex<Met>,
}

#[derive(Default)]
struct Met {
    statuses: BTreeMap<String, usize>,
    slowest: Duration,
    bare: usize,
}

impl Load {
    /// Until it is over.
    fn work(&self, target: &Target, token: &str, name: &str) {
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                scope.spawn(move || {
                    for n in 0.. {
                        if self.is_over.load(Ordering::SeqCst) {
                            break;
                        }
                        let title = format!("{name}: {writer}, {n}");
                        let post = json!({ "title": title, "body": "Written meanwhile.", "published": true });
                        if self.ask(target, "POST", "/api/v1/posts", token, Some(&post)) == Some(201) {
                            lock(&self.kept).push(title);
                            self.acknowledged.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
            for _ in 0..READERS {
                scope.spawn(move || {
                    while !self.is_over.load(Ordering::SeqCst) {
                        self.ask(target, "GET", "/api/v1/posts?limit=5", "", None);
                        self.ask(target, "GET", "/api/v1/users/me", token, None);
                    }
                });
            }
        });
    }

    fn ask(
        &self,
        target: &Target,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<u16> {
        let start = Instant::now();
        let response = target.ask(method, path, token, body);
        let mut met = lock(&self.met);
        met.slowest = met.slowest.max(start.elapsed());
        let word = response.as_ref().map_or("none".to_owned(), |response| match response.status {
            200 | 201 => response.status.to_string(),
            status => format!("{status} {}", response.code()),
        });
        *met.statuses.entry(word).or_default() += 1;
        let response = response.ok()?;
        met.bare += usize::from(response.status == 503 && !response.has_header("retry-after"));
        drop(met);
        if response.status >= 500 {
            // As a client that gets `retry-after` would do, though sooner.
            thread::sleep(Duration::from_millis(50));
        }
        Some(response.status)
    }

    fn judge(&self, report: &mut Report, name: &str, back: Option<Duration>) {
        let met = lock(&self.met);
        let shown: Vec<_> = met.statuses.iter().map(|(word, count)| format!("{count} × {word}")).collect();
        let is_good = met.statuses.keys().all(|word| word == "200" || word == "201" || word.starts_with("503 "));
        report.judge(is_good, &format!("{name}: every answer is a good one, or 503"), shown.join(", "));
        report.judge(
            met.bare == 0,
            &format!("{name}: each 503 says when to come back"),
            format!("{} do not", met.bare),
        );
        let slowest = format!("{} ms", met.slowest.as_millis());
        report.judge(met.slowest <= ANSWERED_WITHIN, &format!("{name}: answered in time, the slowest"), slowest);
        let seen = back.map_or("never".to_owned(), |after| format!("after {} ms", after.as_millis()));
        report.judge(back.is_some(), &format!("{name}: once it is over, writes go on without a restart"), seen);
    }

    fn into_kept(self) -> Vec<String> {
        self.kept.into_inner().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn judge_kept(target: &Target, report: &mut Report, name: &str, kept: &[String]) -> Result<()> {
    let mut stored = titles(target)?;
    stored.sort();
    let count = stored.len();
    stored.dedup();
    let lost = kept.iter().filter(|title| stored.binary_search(title).is_err()).count();
    let seen = format!("{} acknowledged, {lost} lost, {} twice", kept.len(), count - stored.len());
    report.judge(lost == 0 && count == stored.len(), &format!("{name}: nothing acknowledged is lost"), seen);
    Ok(())
}

/// Five thousand at once, on five connections: lists and writes alike. Then as many again, every second of whom hangs up
/// at once.
fn crowd(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let database = Postgres::start(Durability::Full, bench.stop)?;
    let pool = [("MAINSTAY_DATABASE__POOL_SIZE", POOL.to_string())];
    let target = bench.start_on("crowd", database.url(), &pool)?;
    let (token, _) = target.sign_up("ada")?;
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mainstay'";
    let count = || anyhow::Ok(database.psql("postgres", connections)?.trim().parse::<usize>()?);
    for (name, leave) in [("a crowd", false), ("a crowd of whom half hang up", true)] {
        bench.stop.check()?;
        let start = Instant::now();
        let (met, left) = ask_all(&target, &token, leave)?;
        report.figure(&format!("{name}: seconds"), start.elapsed().as_secs_f64());
        let shown: Vec<_> = met.statuses.iter().map(|(word, count)| format!("{count} × {word}")).collect();
        let answered: usize = met.statuses.values().sum();
        let is_good = met.statuses.keys().all(|word| ["200", "201", "503"].contains(&word.as_str()));
        report.judge(
            is_good && answered + left == CROWD,
            &format!("{name}: all who wait are answered, well or with 503"),
            format!("{}; {left} left", shown.join(", ")),
        );
        report.judge(
            met.bare == 0,
            &format!("{name}: each 503 says when to come back"),
            format!("{} do not", met.bare),
        );
        let slowest = format!("{} ms", met.slowest.as_millis());
        report.judge(met.slowest <= ANSWERED_WITHIN, &format!("{name}: answered in time, the slowest"), slowest);
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mainstay' AND state <> 'idle'";
        let rest = wait_until(BACK_WITHIN, || database.psql("postgres", busy).is_ok_and(|count| count.trim() == "0"));
        let seen = rest.map_or("never".to_owned(), |after| format!("after {} ms", after.as_millis()));
        report.judge(rest.is_some(), &format!("{name}: no connection is left in the middle of something"), seen);
        // One more for each core, for reads by key.
        let most = POOL + thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let open = count()?;
        report.judge(open <= most, &format!("{name}: no more connections than allowed"), format!("{open} of {most}"));
        let all: Vec<_> = (0..2 * POOL).map(|n| target.publish(&token, &format!("after {n}"), "Still here.")).collect();
        let are_kept = all.iter().all(|response| response.as_ref().is_ok_and(|response| response.status == 201));
        report.judge(are_kept, &format!("{name}: and every connection works"), format!("{} writes", all.len()));
    }
    Ok(())
}

/// What they met, and how many left without waiting.
fn ask_all(target: &Target, token: &str, leave: bool) -> Result<(Met, usize)> {
    let port = target.port();
    let list = raw_http::request("GET", "/api/v1/posts?limit=20", "", "", b"");
    let post = json!({ "title": "One of many", "body": "Written in a crowd.", "published": true }).to_string();
    let post = raw_http::request("POST", "/api/v1/posts", token, "", post.as_bytes());
    let (met, left) = (Mutex::new(Met::default()), AtomicUsize::new(0));
    thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|_| {
                scope.spawn(|| {
                    let lines: Vec<TcpStream> = (0..CROWD / HANDS)
                        .map(|_| raw_http::connect(port).context("cannot connect"))
                        .collect::<Result<_>>()?;
                    let start = Instant::now();
                    let mut waiting = Vec::new();
                    for (n, mut line) in lines.into_iter().enumerate() {
                        // One that is refused while it writes has its answer all the same.
                        let _ = line.write_all(if n % 3 == 0 { &post } else { &list });
                        if leave && n % 2 == 0 {
                            left.fetch_add(1, Ordering::SeqCst);
                        } else {
                            waiting.push(line);
                        }
                    }
                    for mut line in waiting {
                        let response = raw_http::receive(&mut line);
                        let mut met = lock(&met);
                        met.slowest = met.slowest.max(start.elapsed());
                        let word = response.as_ref().map_or("none".to_owned(), |response| response.status.to_string());
                        *met.statuses.entry(word).or_default() += 1;
                        met.bare += usize::from(
                            response
                                .is_ok_and(|response| response.status == 503 && !response.has_header("retry-after")),
                        );
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        hands.into_iter().try_for_each(|hand| hand.join().ok().context("a client panicked")?)
    })?;
    Ok((met.into_inner().unwrap_or_default(), left.into_inner()))
}
