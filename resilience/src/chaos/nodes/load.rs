//! A minute of work through nginx, in the middle of which a node, Redis and PostgreSQL die, one after another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{Person, Stage, allowances, refused_everywhere};
use crate::chaos::Report;
use crate::chaos::bench::PASSWORD;
use crate::chaos::raw_http::{self, Response};

/// The longest that any answer may take: `server.request_timeout_ms`, and what a busy machine adds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How long after the last accident all must be well again.
const WELL_WITHIN: Duration = Duration::from_secs(10);
/// For how long after Redis, or what it held, was lost a caller who is far from their limit may be refused: nodes notice it
/// within two time-outs, and are back within two seconds.
const LOST_FOR: Duration = Duration::from_secs(2);
/// As in `hammer`.
const HAMMER: u64 = 300;
const HAMMER_WINDOW: Duration = Duration::from_secs(60);

const WRITERS: usize = 6;
const READERS: usize = 3;
const HAMMERS: usize = 3;
/// People who sign in, one after another.
const COMERS: usize = 60;
const COMES_EVERY: Duration = Duration::from_secs(1);
/// Between two requests of one client: there is to be room to spare, so that what fails fails for another reason.
const PAUSE: Duration = Duration::from_millis(15);
/// How long a write is sent again.
const INSISTS_FOR: Duration = Duration::from_secs(30);

pub fn run(stage: &mut Stage<'_>, report: &mut Report) -> Result<()> {
    let (front, stop) = (stage.nodes.front(), stage.bench.stop.clone());
    let comers = (0..COMERS).map(|n| Person::new(front, front, &format!("comer-{n}"))).collect::<Result<_>>()?;
    let work = Load::new(front, Person::new(front, front, "load")?, comers);
    let scripts_before = stage.nodes.redis.scripts_run()?;
    let mut accidents: Vec<(&str, Duration)> = Vec::new();
    thread::scope(|scope| {
        work.begin(scope);
        let outcome = (|| {
            let wait = |span| {
                thread::sleep(span);
                stop.check()
            };
            let mut note = |name| accidents.push((name, work.start.elapsed()));
            wait(Duration::from_secs(6))?;
            note("a node is killed");
            stage.nodes.kill(1)?;
            wait(Duration::from_secs(4))?;
            note("it is started again");
            stage.nodes.restart(1, &stop)?;
            wait(Duration::from_secs(6))?;
            note("Redis is killed");
            stage.nodes.redis.kill()?;
            wait(Duration::from_secs(5))?;
            note("it is started again, empty");
            stage.nodes.redis.restart()?;
            wait(Duration::from_secs(8))?;
            note("Redis is frozen");
            stage.nodes.redis.freeze()?;
            wait(Duration::from_secs(5))?;
            note("it is thawed");
            stage.nodes.redis.thaw()?;
            wait(Duration::from_secs(8))?;
            note("PostgreSQL is stopped at once");
            stage.nodes.postgres.crash(Signal::SIGQUIT)?;
            stage.nodes.postgres.restart(&stop)?;
            note("it is there again");
            wait(Duration::from_secs(18))
        })();
        work.is_over.store(true, Ordering::SeqCst);
        outcome
    })?;
    let last = accidents.last().map_or(Duration::ZERO, |(_, at)| *at);
    report.figure(
        "accidents_at_s",
        json!(accidents.iter().map(|(name, at)| json!([name, seconds(*at)])).collect::<Vec<_>>()),
    );
    let is_loss = |name: &str| name.starts_with("Redis") || name.ends_with("empty") || name.ends_with("thawed");
    let losses: Vec<Duration> = accidents.iter().filter(|(name, _)| is_loss(name)).map(|(_, at)| *at).collect();
    work.judge(report, last, &losses);
    work.judge_stored(stage, report)?;
    judge_shared(stage, report, scripts_before)
}

/// What all clients do, and what they met.
struct Load {
    front: u16,
    person: Person,
    comers: Vec<Person>,
    start: Instant,
    is_over: AtomicBool,
    /// Posts that were acknowledged: id and title.
    rows: Mutex<Vec<(String, String)>>,
    /// Titles that were sent and not acknowledged in the end.
    open: Mutex<HashSet<String>>,
    /// How often a write was sent more than once.
    repeated: Mutex<u64>,
    met: Mutex<Vec<Met>>,
}

struct Met {
    at: Duration,
    kind: RequestKind,
    word: String,
    took: Duration,
}

impl Met {
    /// Answered as when nothing is amiss.
    fn is_well(&self) -> bool {
        match self.kind {
            RequestKind::Write => self.word == "201",
            RequestKind::Row | RequestKind::List | RequestKind::LogIn => self.word == "200",
            RequestKind::Hammer => self.word == "200" || self.word == "429 rate_limited",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum RequestKind {
    Write,
    Row,
    List,
    Hammer,
    LogIn,
}

impl Load {
    fn new(front: u16, person: Person, comers: Vec<Person>) -> Self {
        Self {
            front,
            person,
            comers,
            start: Instant::now(),
            is_over: AtomicBool::new(false),
            rows: Mutex::default(),
            open: Mutex::default(),
            repeated: Mutex::default(),
            met: Mutex::default(),
        }
    }

    fn begin<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>) {
        for number in 0..WRITERS {
            scope.spawn(move || self.write(number));
        }
        for number in 0..READERS {
            scope.spawn(move || self.read_rows(number));
            scope.spawn(move || self.read_lists());
        }
        scope.spawn(move || self.log_in());
        for _ in 0..HAMMERS {
            scope.spawn(move || self.hammer());
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    /// Each post with a key of its own, sent until it is acknowledged.
    fn write(&self, number: usize) {
        let mut line = Line::new(self.front);
        for n in 0.. {
            if !self.goes_on() {
                break;
            }
            let title = format!("load-{number}-{n}");
            let body = json!({ "title": title, "body": "Written under load.", "published": true }).to_string();
            let header = format!("idempotency-key: {title}\r\n");
            let request = raw_http::request("POST", "/api/v1/posts", &self.person.access, &header, body.as_bytes());
            lock(&self.open).insert(title.clone());
            let begun = Instant::now();
            let mut times: u64 = 0;
            while begun.elapsed() < INSISTS_FOR {
                times += 1;
                let response = self.ask(RequestKind::Write, &mut line, &request);
                if let Some(response) = response.filter(|response| response.status == 201) {
                    let id = response.json().ok().and_then(|post| post["id"].as_str().map(str::to_owned));
                    lock(&self.rows).push((id.unwrap_or_default(), title.clone()));
                    lock(&self.open).remove(&title);
                    break;
                }
                thread::sleep(PAUSE * 4);
            }
            *lock(&self.repeated) += u64::from(times > 1);
            thread::sleep(PAUSE);
        }
    }

    /// What was acknowledged is there, whichever node is asked.
    fn read_rows(&self, number: usize) {
        let mut line = Line::new(self.front);
        for n in number.. {
            if !self.goes_on() {
                break;
            }
            let row = {
                let rows = lock(&self.rows);
                // The newest, and older ones in turn.
                let at = if n % 2 == 0 { rows.len().checked_sub(1) } else { Some(n * 7 % rows.len().max(1)) };
                at.and_then(|at| rows.get(at)).map(|(id, _)| id.clone())
            };
            if let Some(id) = row {
                let path = format!("/api/v1/posts/{id}");
                self.ask(RequestKind::Row, &mut line, &raw_http::request("GET", &path, &self.person.access, "", b""));
            }
            thread::sleep(PAUSE);
        }
    }

    fn read_lists(&self) {
        let mut line = Line::new(self.front);
        let request = raw_http::request("GET", "/api/v1/posts?limit=20&sort=-created_at", "", "", b"");
        while self.goes_on() {
            self.ask(RequestKind::List, &mut line, &request);
            thread::sleep(PAUSE);
        }
    }

    /// Each is another person, who has signed in once before.
    fn log_in(&self) {
        let mut line = Line::new(self.front);
        for person in &self.comers {
            let due = Instant::now() + COMES_EVERY;
            let body = json!({ "email": person.email, "password": PASSWORD }).to_string();
            let request = raw_http::request("POST", "/api/v1/auth/login", "", "", body.as_bytes());
            self.ask(RequestKind::LogIn, &mut line, &request);
            while self.goes_on() && Instant::now() < due {
                thread::sleep(PAUSE);
            }
            if !self.goes_on() {
                break;
            }
        }
    }

    /// More often than it is allowed.
    fn hammer(&self) {
        let mut line = Line::new(self.front);
        let path = format!("/api/v1/users/{}", self.person.id);
        let request = raw_http::request("GET", &path, "", "", b"");
        while self.goes_on() {
            self.ask(RequestKind::Hammer, &mut line, &request);
            thread::sleep(PAUSE);
        }
    }

    fn ask(&self, kind: RequestKind, line: &mut Line, request: &[u8]) -> Option<Response> {
        let begun = Instant::now();
        let response = line.ask(request);
        let took = begun.elapsed();
        let word = match &response {
            None => "none".to_owned(),
            Some(response) if response.status < 300 => response.status.to_string(),
            Some(response) => format!("{} {}", response.status, response.code()).trim_end().to_owned(),
        };
        lock(&self.met).push(Met { at: self.start.elapsed(), kind, word, took });
        response
    }

    /// `last` is when the last accident was over, `losses` are when Redis was lost.
    fn judge(&self, report: &mut Report, last: Duration, losses: &[Duration]) {
        let met = lock(&self.met);
        let mut counts = BTreeMap::<(RequestKind, &str), u64>::new();
        for one in met.iter() {
            *counts.entry((one.kind, &one.word)).or_default() += 1;
        }
        let is_expected = |one: &Met| {
            // A request with a key that another node holds at the moment gets this answer.
            let is_in_use = one.kind == RequestKind::Write && one.word == "409 idempotency_key_in_use";
            // As Redis is lost every allowance begins at nothing: large ones have the first again in a moment, an account's
            // log-ins later.
            let is_lost = losses.iter().any(|lost| one.at > *lost && one.at < *lost + LOST_FOR);
            let is_limited = one.word == "429 rate_limited" && (is_lost || one.kind == RequestKind::LogIn);
            one.is_well() || is_in_use || is_limited || one.word.starts_with("503 ")
        };
        let strange = met.iter().filter(|one| !is_expected(one)).count();
        let shown: Vec<_> = counts.iter().map(|((kind, word), count)| format!("{count} × {kind:?} {word}")).collect();
        report.judge(strange == 0, "under load: every answer is a good one, or 503", shown.join(", "));

        let slowest = met.iter().map(|one| one.took).max().unwrap_or_default();
        let seen = format!("{} ms", slowest.as_millis());
        report.judge(slowest <= ANSWERED_WITHIN, "under load: answered in time, the slowest", seen);

        let later: Vec<&Met> = met.iter().filter(|one| one.at > last + WELL_WITHIN).collect();
        let bad = later.iter().filter(|one| !one.is_well()).count();
        let seen = format!("{bad} of {} in the time after", later.len());
        report.judge(bad == 0 && later.len() > 100, "ten seconds after the last accident nothing fails any more", seen);

        // From before the first was sent until after the last was answered.
        let hammered = met.iter().filter(|one| one.kind == RequestKind::Hammer);
        let admitted = hammered.clone().filter(|one| one.word == "200").count() as u64;
        let until = hammered.map(|one| one.at).max().unwrap_or_default();
        let regained = until.as_micros() * u128::from(HAMMER) / HAMMER_WINDOW.as_micros();
        let most = HAMMER + u64::try_from(regained).unwrap_or(u64::MAX);
        let what =
            format!("{HAMMER} a minute, also while Redis and nodes die: no more than that and what was regained");
        report.judge(admitted <= most && admitted > HAMMER, &what, format!("{admitted} of at most {most}"));
        let mut by_second = vec![[0_u64; 3]; usize::try_from(until.as_secs() + 1).unwrap_or(0)];
        for one in met.iter() {
            let Some(second) = by_second.get_mut(usize::try_from(one.at.as_secs()).unwrap_or(usize::MAX)) else {
                continue;
            };
            second[0] += 1;
            second[1] += u64::from(!one.is_well());
            second[2] += u64::from(one.kind == RequestKind::Hammer && one.word == "200");
        }
        report.figure("answered_failed_admitted_in_each_second", json!(by_second));
        let strangers = met.iter().filter(|one| one.word == "429 rate_limited" && one.kind < RequestKind::Hammer);
        let strangers: Vec<_> = strangers.map(|one| json!([one.at.as_secs_f64(), format!("{:?}", one.kind)])).collect();
        report.figure("far_from_their_limit_and_refused_at_s", json!(strangers));
        let log_ins = met.iter().filter(|one| one.kind == RequestKind::LogIn);
        report.figure("log_ins_at_s", json!(log_ins.map(|one| json!([seconds(one.at), one.word])).collect::<Vec<_>>()));
        report.figure("writes_sent_again", *lock(&self.repeated));
        report.figure("slowest_ms", json!(slowest.as_millis() as u64));
    }

    /// Each acknowledged write once, none twice.
    fn judge_stored(&self, stage: &Stage<'_>, report: &mut Report) -> Result<()> {
        let stored =
            stage.nodes.postgres.psql("postgres", "SELECT title FROM posts.posts WHERE title LIKE 'load-%'")?;
        let mut times = HashMap::<&str, u64>::new();
        stored.lines().for_each(|title| *times.entry(title).or_default() += 1);
        let (rows, open) = (lock(&self.rows), lock(&self.open));
        let lost = rows.iter().filter(|(_, title)| !times.contains_key(title.as_str())).count();
        let twice = times.values().filter(|times| **times > 1).count();
        let known: HashSet<&str> =
            rows.iter().map(|(_, title)| title.as_str()).chain(open.iter().map(String::as_str)).collect();
        let invented = times.keys().filter(|title| !known.contains(**title)).count();
        let seen = format!("{} acknowledged, {lost} lost, {twice} twice, {invented} that nobody sent", rows.len());
        let is_good = lost + twice + invented == 0 && rows.len() > 100;
        report.judge(is_good, "each acknowledged write is there once, however often it was sent", seen);
        let seen = format!("{} in the end were not", open.len());
        report.judge(open.is_empty(), "each write was acknowledged, some after they were sent again", seen);
        Ok(())
    }
}

/// All that Redis does is done again.
fn judge_shared(stage: &Stage<'_>, report: &mut Report, before: u64) -> Result<()> {
    let redis = &stage.nodes.redis;
    let now = redis.scripts_run()?;
    allowances::exactly_again(stage, report)?;
    let after = redis.scripts_run()?;
    let seen = format!("{before} calls before it died, {now} since, {after} a moment later");
    report.judge(after > now, "Redis is asked again", seen);
    let (front, ports) = (stage.nodes.front(), stage.nodes.ports());
    let person = Person::new(front, front, "after-load-ending")?;
    for port in &ports {
        raw_http::ask(*port, "GET", super::WHO, &person.access, None)?.must_be(200)?;
    }
    person.log_out(front)?;
    let refused = refused_everywhere(&ports, &person, Duration::from_secs(2));
    let seen = refused.map_or("not".to_owned(), |after| format!("within {} ms", after.as_millis()));
    report.judge(
        refused.is_some(),
        "after all that, a session that was ended is refused by every node within 2 s",
        seen,
    );
    Ok(())
}

/// A connection to nginx that is kept, and opened again when it broke.
struct Line {
    port: u16,
    stream: Option<TcpStream>,
}

impl Line {
    const fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// One request, sent once.
    fn ask(&mut self, request: &[u8]) -> Option<Response> {
        let mut stream = self.stream.take().map_or_else(|| raw_http::connect(self.port), Ok).ok()?;
        stream.write_all(request).ok()?;
        let response = raw_http::receive(&mut stream).ok()?;
        let is_kept = !response.head.to_ascii_lowercase().contains("\r\nconnection: close");
        self.stream = is_kept.then_some(stream);
        Some(response)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}
