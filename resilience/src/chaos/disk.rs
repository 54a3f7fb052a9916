//! `disk-full`: the database on a small file system of its own, which fills up: SQLite's file, PostgreSQL's tables, and
//! PostgreSQL's log. Writes are refused in time, reads go on where there is anybody to ask, room is made, and writes go on
//! without a restart of ours; nothing that was acknowledged is lost.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::{Part, Postgres};

use crate::chaos::Report;
use crate::chaos::bench::{Bench, Target, wait_until};
use crate::chaos::raw_http::Response;

/// The longest that any answer may take while there is no room.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How large each post is, and the most that are tried before a disk counts as one that never fills up.
const POST: usize = 40_000;
const MOST: usize = 3000;

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    sqlite(bench, report)?;
    for part in [Part::Tables, Part::Log] {
        bench.stop.check()?;
        postgres(bench, report, part)?;
    }
    Ok(())
}

fn sqlite(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    // A mount namespace of the server's own: it goes with the process, and the machine never sees the mount.
    let script = "while [ \"$1\" != --data ]; do set -- \"$@\" \"$1\"; shift; done; data=$2; \
                  mount -t tmpfs -o size=8m,mode=700 tmpfs \"$data\" && head -c 4m /dev/zero > \"$data/ballast\" && \
                  shift 2 && exec \"$0\" \"$@\" --data \"$data\"";
    let under: Vec<OsString> =
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script].into_iter().map(OsString::from).collect();
    let mut target = bench.start_under("disk", under)?;
    let inside = PathBuf::from(format!("/proc/{}/root{}", target.pid(), target.data().display()));
    let mut writer = Writer::new(&target)?;

    let refused = writer.fill(&target, "first")?;
    let is_told = refused.status == 507 && refused.code() == "storage_full";
    let seen = format!("{} {} after {} kept", refused.status, refused.code(), writer.kept.len());
    report.judge(is_told, "SQLite: a write into a full disk", seen);
    let again = writer.publish(&target, "again")?;
    report.judge(again.status == 507, "SQLite: the next one", again.shown());
    judge_reads(&target, report, "SQLite", &writer)?;

    fs::remove_file(inside.join("ballast")).context("cannot make room")?;
    judge_recovery(&target, report, "SQLite", &mut writer);
    let refused = writer.fill(&target, "second")?;
    report.judge(
        refused.status == 507,
        "SQLite: and it fills up again",
        format!("{} {}", refused.status, refused.code()),
    );
    judge_end(&mut target, report, "SQLite", &writer)
}

/// The tables alone on a small disk: an insert fails, and the transaction with it. The log alone: PostgreSQL stops by
/// itself, may not even come back, and is started again by its operator once there is room; Mainstay is not.
fn postgres(bench: &Bench<'_>, report: &mut Report, part: Part) -> Result<()> {
    let (name, mebibytes, ballast) = match part {
        Part::Tables => ("PostgreSQL's tables", 48, 8),
        Part::Log => ("PostgreSQL's log", 24, 12),
    };
    let mut database = Postgres::start_on_small_disk(part, mebibytes, bench.stop)?;
    let ballast_path = database.on_small_disk("ballast").context("no small disk")?;
    fs::write(&ballast_path, vec![0; ballast << 20]).context("cannot fill a part of it")?;
    let mut target = bench.start_on("disk-postgres", database.url(), &[])?;
    let mut writer = Writer::new(&target)?;
    writer.is_in_doubt = part == Part::Log;

    let refused = writer.fill(&target, "first")?;
    let expected: &[(u16, &str)] = match part {
        Part::Tables => &[(507, "storage_full")],
        // Its last words depend on who met the end of the disk.
        Part::Log => &[(507, "storage_full"), (503, "store_unavailable")],
    };
    let is_told = expected.contains(&(refused.status, refused.code().as_str()));
    let seen = format!("{} {} after {} kept", refused.status, refused.code(), writer.kept.len());
    report.judge(is_told, &format!("{name}: a write into a full disk"), seen);
    let again = writer.publish(&target, "again")?;
    let is_told = expected.contains(&(again.status, again.code().as_str())) || again.status == 201;
    // The log may have room for a small write after a recovery: then it is kept as any other.
    let is_refused = again.status != 201 || part == Part::Log;
    report.judge(is_told && is_refused, &format!("{name}: the next one"), again.shown());
    match part {
        Part::Tables => judge_reads(&target, report, name, &writer)?,
        Part::Log => {
            let live = target.ask("GET", "/health/live", "", None)?.status;
            report.judge(live == 200, &format!("{name}: the process says it lives"), live);
            // It is written to until PostgreSQL has given up, or for a while.
            let gone = wait_until(Duration::from_secs(20), || {
                // What it answers counts in `slowest`, and what it keeps in `kept`.
                let _ = writer.publish(&target, "meanwhile");
                !database.is_running()
            });
            report.figure("postgres_gave_up_after_ms", gone.map(|after| after.as_millis() as u64));
        }
    }

    fs::remove_file(&ballast_path).context("cannot make room")?;
    if !database.is_running() {
        database.restart(bench.stop)?;
    }
    judge_recovery(&target, report, name, &mut writer);
    judge_end(&mut target, report, name, &writer)
}

/// Writes posts, and remembers what was acknowledged.
struct Writer {
    token: String,
    kept: Vec<String>,
    slowest: Duration,
    /// Whether PostgreSQL may have stopped between a commit and its answer.
    is_in_doubt: bool,
    seed: u64,
}

impl Writer {
    fn new(target: &Target) -> Result<Self> {
        let (token, _) = target.sign_up("ada")?;
        Ok(Self { token, kept: Vec::new(), slowest: Duration::ZERO, is_in_doubt: false, seed: 1 })
    }

    fn publish(&mut self, target: &Target, title: &str) -> Result<Response> {
        let text = self.text();
        let start = Instant::now();
        let response = target.publish(&self.token, title, &text);
        self.slowest = self.slowest.max(start.elapsed());
        let response = response?;
        if response.status == 201 {
            self.kept.push(title.to_owned());
        }
        Ok(response)
    }

    /// Until one is refused; that one.
    fn fill(&mut self, target: &Target, round: &str) -> Result<Response> {
        for n in 0..MOST {
            let response = self.publish(target, &format!("{round} {n}"))?;
            if response.status != 201 {
                return Ok(response);
            }
        }
        bail!("the disk never filled up")
    }

    /// What no database can compress.
    fn text(&mut self) -> String {
        let mut next = || {
            // Xorshift: enough for that.
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            char::from(b'0' + (self.seed % 75) as u8)
        };
        (0..POST).map(|_| next()).map(|c| if c == '\\' { 'x' } else { c }).collect()
    }
}

fn judge_reads(target: &Target, report: &mut Report, name: &str, writer: &Writer) -> Result<()> {
    judge_titles(target, report, &format!("{name}: reads go on, with all that was acknowledged"), writer)?;
    let live = target.ask("GET", "/health/live", "", None)?.status;
    report.judge(live == 200, &format!("{name}: the process says it lives"), live);
    Ok(())
}

fn judge_recovery(target: &Target, report: &mut Report, name: &str, writer: &mut Writer) {
    let back = wait_until(Duration::from_secs(30), || {
        writer.publish(target, "with room").is_ok_and(|response| response.status == 201)
    });
    let seen = back.map_or("never".to_owned(), |after| format!("after {} ms", after.as_millis()));
    report.judge(back.is_some(), &format!("{name}: with room again, writes go on without a restart"), seen);
}

fn judge_end(target: &mut Target, report: &mut Report, name: &str, writer: &Writer) -> Result<()> {
    judge_titles(target, report, &format!("{name}: nothing acknowledged is lost"), writer)?;
    let slowest = writer.slowest;
    let seen = format!("{} ms", slowest.as_millis());
    report.judge(slowest <= ANSWERED_WITHIN, &format!("{name}: every write was answered in time, the slowest"), seen);
    report.judge(target.is_running(), &format!("{name}: the server still runs"), "after all of it");
    report.figure(&format!("{name}: posts"), writer.kept.len());
    Ok(())
}

fn judge_titles(target: &Target, report: &mut Report, what: &str, writer: &Writer) -> Result<()> {
    let mut stored = titles(target)?;
    let mut kept = writer.kept.clone();
    stored.sort();
    kept.sort();
    // What was acknowledged is there; what was refused is not, unless its answer was lost with the database.
    let lost = kept.iter().filter(|title| stored.binary_search(title).is_err()).count();
    report.judge(
        lost == 0 && (stored == kept || writer.is_in_doubt),
        what,
        format!("{} stored, {} acknowledged", stored.len(), kept.len()),
    );
    Ok(())
}

/// Every title there is, page by page.
pub fn titles(target: &Target) -> Result<Vec<String>> {
    let mut titles = Vec::new();
    let mut after = String::new();
    loop {
        let page = target.ask("GET", &format!("/api/v1/posts?limit=100&fields=title{after}"), "", None)?;
        let page = page.must_be(200)?.json()?;
        let items = page["items"].as_array().context("a page without items")?;
        titles.extend(items.iter().filter_map(|item| item["title"].as_str().map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(cursor) => after = format!("&cursor={cursor}"),
            None => return Ok(titles),
        }
    }
}
