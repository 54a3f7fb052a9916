//! The same answers and the same work: what a target of the study must show before it is timed. The page it is held to
//! is `lab/targets/README.md`.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{self, Answer, Requests};
use crate::lab::Lab;
use crate::study::drivers::{self, Load, Scene};
use crate::study::fixtures::{Fixtures, QUOTES};
use crate::study::plan::{CacheKind, DatabaseKind, Factors, Http, Setting};
use crate::study::token;
use crate::target::{Home, Placement, Server, Study, Target};

/// What `/api/cache` says.
const ANSWER: i64 = 2_178_309;
/// Long enough that two moments differ, written in whole seconds.
const A_SECOND: Duration = Duration::from_millis(1_100);
/// How long one who says "later" is asked again.
const TIMEOUT: Duration = Duration::from_secs(3);

/// One clause and whether it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub clause: String,
    /// Why not; `None`: it was kept.
    pub broken: Option<String>,
}

/// Everything a clause looks at.
pub struct Subject<'a> {
    /// Where it is looked at.
    pub lab: &'a Lab,
    /// Who.
    pub target: &'a Target,
    /// Running, with nobody else asking.
    pub server: &'a Server,
    /// With what it was started.
    pub setting: &'a Setting,
    /// On what.
    pub home: &'a Home,
    /// Where its rows are.
    pub fixtures: &'a Fixtures<'a>,
    /// Some posts as everybody has them.
    pub posts: Vec<&'a Value>,
    /// A good token.
    pub token: &'a str,
    /// What tokens are signed with.
    pub secret: &'a str,
}

type Clause = (&'static str, fn(&Subject<'_>) -> Result<()>);

/// In this order: later ones change rows that earlier ones read.
const CLAUSES: &[Clause] = &[
    ("health", health),
    ("compute", compute),
    ("cache", cache),
    ("token", tokens),
    ("read", read),
    ("list", list),
    ("create", create),
    ("gzip", gzip),
    ("http2", http2),
    ("db", db),
    ("crowd", crowd),
];

/// Every clause that holds for what this target does.
pub fn check(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let own = study(subject)?;
    let applies = |clause: &str| match clause {
        "http2" => subject.setting.http == Http::Two,
        _ if subject.setting.http == Http::Two => false,
        "gzip" => true,
        // PostgreSQL says how many rows were read.
        "crowd" => {
            let Setting { database, cache, gzip, .. } = subject.setting;
            *database == DatabaseKind::Postgres && *cache == CacheKind::None && !gzip
        }
        "token" => own.answers("read"),
        // With another, rows may be kept as well, as Mainstay keeps them: then only the report is looked at and timed.
        "read" | "list" if subject.setting.cache != CacheKind::None => false,
        other => own.answers(other),
    };
    let find = |(clause, kept): &Clause| Finding {
        clause: (*clause).to_owned(),
        broken: kept(subject).err().map(|error| format!("{error:#}")),
    };
    Ok(CLAUSES.iter().filter(|(clause, _)| applies(clause)).map(find).collect())
}

fn study<'a>(subject: &Subject<'a>) -> Result<&'a Study> {
    subject.target.study.as_ref().context("it takes no part in the study")
}

impl Subject<'_> {
    fn get(&self, path: &str) -> Result<Answer> {
        http::call(self.server.address, &Requests::get(path))
    }

    fn signed(&self, path: &str) -> Result<Answer> {
        http::call(self.server.address, &Requests::get(path).signed(Some(self.token)))
    }

    fn one(&self, id: &str) -> String {
        format!("{}/{id}", self.target.paths.posts)
    }

    fn newest(&self, limit: &str) -> Result<String> {
        Ok(study(self)?.list.replace("{limit}", limit))
    }

    fn posted(&self, body: &Value) -> Result<Answer> {
        let requests = Requests::post(&self.target.paths.posts, body).signed(Some(self.token));
        http::call(self.server.address, &requests)
    }

    fn change(&self, sql: &str) -> Result<()> {
        self.fixtures.change(self.setting.database, self.home, sql)
    }

    fn made(&self, title: &str, published: bool) -> Result<Value> {
        let made = self.posted(&json!({ "title": title, "body": "As it was sent.", "published": published }))?;
        json_of(&made, self.target.create_status)
    }
}

fn json_of(answer: &Answer, status: u16) -> Result<Value> {
    ensure!(answer.status == status, "answered {} instead of {status}: {}", answer.status, answer.text());
    ensure!(answer.content_type == "application/json", "the answer is {:?}", answer.content_type);
    answer.json()
}

fn refused(answer: &Answer, what: &str) -> Result<()> {
    ensure!(matches!(answer.status, 400 | 422), "{what} is answered {}: {}", answer.status, answer.text());
    Ok(())
}

fn health(subject: &Subject<'_>) -> Result<()> {
    let answer = subject.get("/api/health")?;
    ensure!(answer.status == 200 && answer.body == b"ok", "answered {}: {}", answer.status, answer.text());
    ensure!(answer.content_type == "text/plain", "the answer is {:?}", answer.content_type);
    let absent = subject.get("/api/nothing-here")?;
    ensure!(absent.status == 404, "what is not there is answered {}", absent.status);
    Ok(())
}

fn compute(subject: &Subject<'_>) -> Result<()> {
    for (n, fibonacci) in [(0, 0), (1, 1), (2, 1), (10, 55), (20, 6_765), (27, 196_418)] {
        let computed = json_of(&subject.get(&format!("/api/compute?n={n}"))?, 200)?;
        ensure!(computed == json!({ "n": n, "fibonacci": fibonacci }), "n={n} is answered {computed}");
    }
    for n in ["-1", "41", "abc", "1.5", ""] {
        refused(&subject.get(&format!("/api/compute?n={n}"))?, &format!("n={n:?}"))?;
    }
    refused(&subject.get("/api/compute")?, "no n")?;
    // The recursion takes 123 times as long for 32 as for 22, and as long the second time as the first: what is looked up
    // or added up does not. A request itself costs as much as some thousand of its steps, and one of a program that is still
    // being compiled as much as a million.
    warm_up(subject, &["/api/compute?n=32", "/api/compute?n=22"])?;
    let (hard, easy, again) = (cost(subject, 32)?, cost(subject, 22)?, cost(subject, 32)?);
    ensure!(hard > 2.0 * easy, "32 costs {:.0} µs, 22 {:.0} µs: not the recursion's work", hard * 1e6, easy * 1e6);
    ensure!(again > 0.4 * hard, "32 costs {:.0} µs the second time, {:.0} µs the first", again * 1e6, hard * 1e6);
    Ok(())
}

/// What its compiler does while the program runs is no work of an endpoint's.
fn warm_up(subject: &Subject<'_>, paths: &[&str]) -> Result<()> {
    let seconds = subject.target.study.as_ref().map_or(0, |study| study.warmup_s);
    let warm = || -> Result<()> {
        let start = Instant::now();
        while start.elapsed().as_secs() < 2 * seconds {
            for path in paths {
                subject.get(path)?;
            }
        }
        Ok(())
    };
    // A compiler that shares one core with what it compiles takes longer than that.
    subject.server.on_all_cores(subject.lab, warm)
}

/// The server's time for one number, in seconds of a processor.
fn cost(subject: &Subject<'_>, n: u32) -> Result<f64> {
    let (before, start) = (subject.server.usage()?.cpu_s, Instant::now());
    let mut count = 0;
    loop {
        subject.get(&format!("/api/compute?n={n}"))?;
        count += 1;
        // Ten ticks of the clock the system counts processor time in.
        let spent = subject.server.usage()?.cpu_s - before;
        if spent >= 0.1 || start.elapsed() > Duration::from_secs(5) {
            return Ok(spent / f64::from(count));
        }
    }
}

fn cache(subject: &Subject<'_>) -> Result<()> {
    let made_at = || -> Result<String> {
        let report = json_of(&subject.get("/api/cache")?, 200)?;
        ensure!(report["answer"] == ANSWER, "the answer is {}", report["answer"]);
        let at = report["made_at"].as_str().context("no made_at")?.to_owned();
        ensure!(is_time(&at), "made_at is {at:?}");
        Ok(at)
    };
    let first = made_at()?;
    thread::sleep(A_SECOND);
    let second = made_at()?;
    match subject.setting.cache {
        CacheKind::None => ensure!(first != second, "without a cache the report of {first} came again"),
        CacheKind::Memory => ensure!(first == second, "made at {first}, and a second later again"),
        CacheKind::Redis => {
            ensure!(first == second, "made at {first}, and a second later again");
            subject.fixtures.redis()?.clear()?;
            // Whoever counts its callers in Redis too may ask for patience, now that it was emptied.
            let asked = Instant::now();
            while subject.get("/api/cache")?.status == 429 && asked.elapsed() < TIMEOUT {
                thread::sleep(A_SECOND / 10);
            }
            ensure!(made_at()? != first, "Redis had lost it, and it was still there: it is kept elsewhere");
        }
    }
    Ok(())
}

/// RFC 3339 in UTC.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let Some(fraction) = rest.strip_suffix('Z').or_else(|| rest.strip_suffix("+00:00")) else { return false };
    fraction.is_empty() || (fraction.starts_with('.') && fraction.len() > 1 && fraction[1..].chars().all(|c| c == '0'))
}

fn tokens(subject: &Subject<'_>) -> Result<()> {
    let own = study(subject)?;
    let some = subject.posts.first().and_then(|post| post["id"].as_str()).context("there are no posts")?;
    let path = subject.one(some);
    let mut bad = vec![("no token", None), ("not a token", Some("nonsense".to_owned()))];
    if study(subject)?.log_in.is_none() {
        bad.push(("a forged token", Some(token::forged(subject.secret)?)));
        bad.push(("a token that is over", Some(token::expired(subject.secret)?)));
        bad.push(("a token without a signature", Some(token::unsigned()?)));
    }
    for (what, token) in bad {
        let requests = [
            Requests::get(&path),
            Requests::get(&subject.newest("20")?),
            Requests::post(&subject.target.paths.posts, &json!({ "title": "T", "body": "", "published": true })),
        ];
        for requests in requests {
            if own.public && token.is_none() && requests.method == "GET" {
                continue;
            }
            let requests = requests.signed(token.as_deref());
            let answer = http::call(subject.server.address, &requests)?;
            let is_hidden = own.hides && answer.status == 200 && answer.json()?["items"] == json!([]);
            ensure!(
                is_hidden || own.unauthorised.contains(&answer.status),
                "{what} is answered {} to {} {:?}",
                answer.status,
                requests.method,
                requests.paths
            );
        }
    }
    Ok(())
}

fn read(subject: &Subject<'_>) -> Result<()> {
    let own = study(subject)?;
    for wanted in subject.posts.iter().step_by(1 + subject.posts.len() / 5) {
        let post = json_of(&subject.signed(&subject.one(wanted["id"].as_str().context("an id")?))?, 200)?;
        same(&post, wanted)?;
    }
    let made = subject.made("To be read", true)?;
    let path = subject.one(made["id"].as_str().context("a new post has no id")?);
    same(&json_of(&subject.signed(&path)?, 200)?, &made)?;
    let table = &own.table;
    subject.change(&format!("update {table} set title = 'Behind its back' where title = 'To be read'"))?;
    let again = json_of(&subject.signed(&path)?, 200)?;
    ensure!(again["title"] == "Behind its back", "what was changed in the database is answered as it was before");
    for absent in ["0198b6a0-ffff-7000-8000-000000000001", "nothing-here"] {
        let status = subject.signed(&subject.one(absent))?.status;
        ensure!(matches!(status, 404 | 400 | 422), "a post that is not there is answered {status}");
    }
    Ok(())
}

/// The fields of a post.
const FIELDS: [&str; 7] = ["id", "author_id", "title", "body", "published", "created_at", "updated_at"];

fn same(post: &Value, wanted: &Value) -> Result<()> {
    for field in FIELDS {
        let (found, wanted) = (&post[field], &wanted[field]);
        if field.ends_with("_at") {
            ensure!(found.as_str().is_some_and(|text| is_time(&text.replace(' ', "T"))), "{field} is {found}");
        }
        ensure!(found == wanted, "{field} is {found} instead of {wanted}");
    }
    Ok(())
}

fn list(subject: &Subject<'_>) -> Result<()> {
    let own = study(subject)?;
    let mut made = Vec::new();
    for number in 0..4 {
        made.push(subject.made(&format!("To be listed {number}"), number != 2)?);
        thread::sleep(Duration::from_millis(20));
    }
    let items = |limit: &str| -> Result<Vec<Value>> {
        let page = json_of(&subject.signed(&subject.newest(limit)?)?, 200)?;
        Ok(page["items"].as_array().context("a list without items")?.clone())
    };
    let newest = items("5")?;
    ensure!(newest.len() == 5, "{} items instead of 5", newest.len());
    for (item, wanted) in newest.iter().zip([&made[3], &made[1], &made[0]]) {
        same(item, wanted).context("the newest published posts, newest first")?;
    }
    ensure!(newest.iter().all(|item| item["published"] == true), "a draft is in the list");
    let default = items("20")?;
    ensure!(default.len() == 20, "{} items instead of 20", default.len());
    let mut order: Vec<&str> = default.iter().filter_map(|item| item["created_at"].as_str()).collect();
    order.reverse();
    ensure!(order.is_sorted(), "the list is not in its order");
    let table = &own.table;
    subject.change(&format!("update {table} set title = 'Listed behind its back' where title = 'To be listed 3'"))?;
    ensure!(items("1")?[0]["title"] == "Listed behind its back", "what was changed is listed as it was before");
    if !own.lenient {
        for limit in ["0", "101", "abc"] {
            refused(&subject.signed(&subject.newest(limit)?)?, &format!("limit={limit}"))?;
        }
    }
    Ok(())
}

fn create(subject: &Subject<'_>) -> Result<()> {
    let mut ids = BTreeSet::new();
    for (title, published) in [("Ein Titel, 제목, 🦀", true), ("x", false)] {
        let sent = json!({ "title": title, "body": "As it was sent.", "published": published });
        let made = json_of(&subject.posted(&sent)?, subject.target.create_status)?;
        for field in ["title", "body", "published"] {
            ensure!(made[field] == sent[field], "{field} came back as {}", made[field]);
        }
        if study(subject)?.log_in.is_none() {
            ensure!(made["author_id"] == token::SUBJECT, "the author is {}", made["author_id"]);
        }
        for field in ["created_at", "updated_at"] {
            let is_good = made[field].as_str().is_some_and(|text| is_time(&text.replace(' ', "T")));
            ensure!(is_good, "{field} is {}", made[field]);
        }
        let id = made["id"].as_str().context("no id")?.to_owned();
        same(&json_of(&subject.signed(&subject.one(&id))?, 200)?, &made).context("read again")?;
        ids.insert(id);
    }
    ensure!(ids.len() == 2, "two posts have one id");
    let default = json_of(&subject.posted(&json!({ "title": "t", "body": "b" }))?, subject.target.create_status)?;
    ensure!(default["published"] == false, "what is not said to be published is {}", default["published"]);
    for (what, body) in [
        ("an empty title", json!({ "title": "", "body": "b", "published": true })),
        ("no title", json!({ "body": "b", "published": true })),
        ("a title of 201 characters", json!({ "title": "t".repeat(201), "body": "b", "published": true })),
        ("a title that is a number", json!({ "title": 7, "body": "b", "published": true })),
        ("a body of 10,001 characters", json!({ "title": "t", "body": "b".repeat(10_001), "published": true })),
    ] {
        if what.contains("number") && study(subject)?.lenient {
            continue;
        }
        refused(&subject.posted(&body)?, what)?;
    }
    let mut cut = Requests::post(&subject.target.paths.posts, &json!({})).signed(Some(subject.token));
    cut.body = Some("{\"title\": \"t\", ".to_owned());
    refused(&http::call(subject.server.address, &cut)?, "half a body")
}

/// The list, as large as it gets: compressed where it is to be, and not else.
fn gzip(subject: &Subject<'_>) -> Result<()> {
    let own = study(subject)?;
    if !own.answers("list") {
        return Ok(());
    }
    let path = subject.newest("50")?;
    let plain = subject.signed(&path)?;
    ensure!(plain.content_encoding.is_empty(), "nobody asked for {}", plain.content_encoding);
    let requests = Requests::get(&path).signed(Some(subject.token)).header("accept-encoding", "gzip");
    let answer = http::call(subject.server.address, &requests)?;
    if !subject.setting.gzip {
        ensure!(answer.content_encoding.is_empty(), "it is switched off, and the answer is compressed");
        return Ok(());
    }
    ensure!(answer.content_encoding == "gzip", "the answer is not compressed");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut text)
        .context("what is compressed cannot be read")?;
    let unpacked: Value = serde_json::from_str(&text).context("what was compressed is not JSON")?;
    ensure!(unpacked == plain.json()?, "compressed, it says something else");
    ensure!(answer.body.len() * 2 < plain.body.len(), "{} bytes became {}", plain.body.len(), answer.body.len());
    Ok(())
}

/// Some of the same answers over HTTP/2. Who speaks it may speak nothing else then, so that no other clause is looked at:
/// they are with HTTP/1.1.
fn http2(subject: &Subject<'_>) -> Result<()> {
    let ask = |path: &str| http::speaks_http2(subject.server.address, path);
    ensure!(ask("/api/health")? == b"ok", "/api/health says something else");
    let computed: Value = serde_json::from_slice(&ask("/api/compute?n=20")?).context("/api/compute")?;
    ensure!(computed == json!({ "n": 20, "fibonacci": 6_765 }), "n=20 is answered {computed}");
    for _ in 0..5 {
        let quote: Value = serde_json::from_slice(&ask("/api/db")?).context("/api/db")?;
        let written = subject.fixtures.quotes().iter().find(|written| quote["id"] == written.0);
        ensure!(written.is_some_and(|written| quote["words"] == written.1.as_str()), "a quote nobody wrote: {quote}");
    }
    Ok(())
}

/// Any quote, as it was written; and as it is now, when it is changed. The last, since it changes all of them.
fn db(subject: &Subject<'_>) -> Result<()> {
    let mut ids = BTreeSet::new();
    for _ in 0..50 {
        let quote = json_of(&subject.get("/api/db")?, 200)?;
        let id = quote["id"].as_i64().context("no id")?;
        let written =
            subject.fixtures.quotes().iter().find(|written| written.0 == id).context("a quote nobody wrote")?;
        ensure!(quote == json!({ "id": id, "words": written.1, "author": written.2 }), "the quote {id} is {quote}");
        ids.insert(id);
    }
    ensure!(ids.len() >= 30, "only {} different ones of {QUOTES} in 50 calls: not by chance", ids.len());
    subject.change("update quotes set words = 'Changed behind its back.'")?;
    for _ in 0..10 {
        let quote = json_of(&subject.get("/api/db")?, 200)?;
        ensure!(quote["words"] == "Changed behind its back.", "what was changed is answered as it was before: {quote}");
    }
    Ok(())
}

/// How late PostgreSQL may be with what it counts: a connection tells it after ten idle seconds (`PGSTAT_IDLE_INTERVAL`).
const COUNTED_WITHIN: Duration = Duration::from_secs(15);

/// Of many who ask at once, each has its rows read: nobody is answered with what another's question brought. Where that
/// was so a list would cost next to nothing, and only when it is asked for often.
fn crowd(subject: &Subject<'_>) -> Result<()> {
    let list = subject.newest("20")?;
    let of_list = (Requests::get(&list).signed(Some(subject.token)), study(subject)?.table.as_str(), 20.0);
    for (requests, table, rows) in [(Requests::get("/api/db"), "quotes", 1.0), of_list] {
        let load = Load {
            address: subject.server.address,
            requests: &requests,
            factors: &Factors { connections: 64, ..Factors::default() },
            core: Placement::PINNED.driver,
            seconds: 1,
            scene: Scene { posts: "", list: "", token: "", ids: &[] },
        };
        let before = subject.fixtures.rows_read(table)?;
        let answered = drivers::run(subject.lab, &load)?.get("requests").copied().unwrap_or(0.0);
        ensure!(answered > 0.0, "nobody of 64 was answered");
        // What the second brings, the first may have to wait for: connections count when they are used again.
        drivers::run(subject.lab, &load)?;
        let start = Instant::now();
        loop {
            let found = subject.fixtures.rows_read(table)? - before;
            if found > 0.9 * rows * answered {
                break;
            }
            let paths = &requests.paths;
            ensure!(
                start.elapsed() < COUNTED_WITHIN,
                "of 64 who ask for {paths:?} at once some are answered with what others asked for: {answered:.0} answers \
                 of {rows} rows, and {found:.0} rows were read"
            );
            thread::sleep(Duration::from_millis(500));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for good in ["2026-11-29T09:30:00Z", "2026-11-29T09:30:00.123456Z", "2026-11-29T09:30:00+00:00"] {
            assert!(is_time(good), "{good}");
        }
        for bad in ["2026-11-29 09:30:00Z", "2026-11-29T09:30:00", "2026-11-29T09:30:00.Z", "now", ""] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
