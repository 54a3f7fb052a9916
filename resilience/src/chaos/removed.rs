//! `database-removed`: the database's files are moved away or replaced under the running server while others write. The
//! strict rule: nothing is acknowledged that was asked for after the file had gone, for it would be written where nobody
//! finds it; readiness says no; and with the files back, or after a restart, all that was acknowledged is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, Target, wait_until};
use crate::chaos::disk::titles;

const WRITERS: usize = 8;
/// How long writers go on after the files have gone.
const AFTER: Duration = Duration::from_secs(2);

/// What is done to the files.
struct Accident {
    name: &'static str,
    files: &'static [&'static str],
    /// A fresh copy is put where the database was.
    is_replaced: bool,
}

const ACCIDENTS: [Accident; 4] = [
    Accident {
        name: "all three moved away",
        files: &["mainstay.db", "mainstay.db-wal", "mainstay.db-shm"],
        is_replaced: false,
    },
    Accident { name: "the file alone moved away", files: &["mainstay.db"], is_replaced: false },
    Accident { name: "the log alone moved away", files: &["mainstay.db-wal"], is_replaced: false },
    Accident { name: "replaced by a copy", files: &["mainstay.db"], is_replaced: true },
];

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("removed", &[])?;
    let (token, _) = target.sign_up("ada")?;
    let mut kept = BTreeSet::new();
    for Accident { name, files, is_replaced } in ACCIDENTS {
        bench.stop.check()?;
        let away = target.side("away");
        fs::create_dir(&away).context("cannot make a folder")?;
        let outcome = write_through(&target, &token, name, || {
            move_all(files, target.data(), &away)?;
            if is_replaced {
                fs::copy(away.join(files[0]), target.data().join(files[0])).context("cannot copy")?;
            }
            Ok(())
        })?;
        let late = outcome.late;
        kept.extend(outcome.kept);
        report.judge(
            late == 0,
            &format!("{name}: nothing asked for afterwards is acknowledged"),
            format!("{late} were"),
        );
        let seen = outcome.refused_after.map_or("never".to_owned(), |after| format!("after {} ms", after.as_millis()));
        report.judge(outcome.refused_after.is_some(), &format!("{name}: writes are refused"), seen);
        let refused = target.publish(&token, &format!("{name}, refused"), "x")?;
        let is_told =
            refused.status == 503 && refused.code() == "store_unavailable" && refused.has_header("retry-after");
        report.judge(
            is_told,
            &format!("{name}: what a writer is told"),
            format!("{} {}", refused.status, refused.code()),
        );
        let ready = target.ask("GET", "/health/ready", "", None)?;
        let is_told = ready.status == 503 && ready.code() == "not_ready";
        report.judge(is_told, &format!("{name}: readiness"), format!("{} {}", ready.status, ready.code()));
        let is_logged = target.log().contains("was removed or replaced");
        report.judge(is_logged, &format!("{name}: the log says what happened, and what to do"), is_logged);
        report.figure(
            name,
            json!({ "late": late, "refused_after_ms": outcome.refused_after.map(|after| after.as_millis() as u64) }),
        );

        move_all(files, &away, target.data())?;
        fs::remove_dir(&away).context("cannot remove a folder")?;
        let back = wait_until(Duration::from_secs(10), || {
            let title = format!("{name}, back");
            let is_kept = target.publish(&token, &title, "x").is_ok_and(|response| response.status == 201);
            if is_kept {
                kept.insert(title);
            }
            is_kept
        });
        let seen = back.map_or("never".to_owned(), |after| format!("after {} ms", after.as_millis()));
        report.judge(back.is_some(), &format!("{name}: with the same files back, writes go on"), seen);
        let ready = target.ask("GET", "/health/ready", "", None)?.status;
        report.judge(ready == 200, &format!("{name}: ready again"), ready);
        target.restart().with_context(|| format!("{name}: the restart"))?;
        judge_kept(&target, report, &format!("{name}: after a restart, all that was acknowledged is there"), &kept)?;
    }
    restored(&mut target, report, &token)
}

/// A backup is put in place under the running server: its files must survive that server's end.
fn restored(target: &mut Target, report: &mut Report, token: &str) -> Result<()> {
    let backup = target.side("backup");
    fs::create_dir(&backup).context("cannot make a folder")?;
    target.stop_gently()?;
    for name in ["mainstay.db", "mainstay.db-wal"] {
        let from = target.data().join(name);
        if from.exists() {
            fs::copy(&from, backup.join(name)).context("cannot copy")?;
        }
    }
    target.restart()?;
    let before: BTreeSet<String> = titles(target)?.into_iter().collect();
    target.publish(token, "after the backup", "x")?.must_be(201)?;
    for name in ["mainstay.db", "mainstay.db-wal", "mainstay.db-shm"] {
        fs::remove_file(target.data().join(name)).with_context(|| format!("cannot remove {name}"))?;
    }
    fs::copy(backup.join("mainstay.db"), target.data().join("mainstay.db")).context("cannot copy")?;
    // A log that belongs to the backup, of which the running server must not think that it is its own.
    let log = target.data().join("mainstay.db-wal");
    fs::write(&log, []).context("cannot write")?;
    let refused = target.publish(token, "into nothing", "x")?;
    report.judge(refused.status == 503, "a backup put in its place: writes are refused", refused.status);
    target.stop_gently()?;
    report.judge(log.exists(), "a server that ends leaves the backup's log alone", log.exists());
    target.restart()?;
    let now: BTreeSet<String> = titles(target)?.into_iter().collect();
    report.judge(
        now == before,
        "started again it serves the backup",
        format!("{} of {} posts", now.len(), before.len()),
    );
    Ok(())
}

fn move_all(files: &[&str], from: &Path, to: &Path) -> Result<()> {
    for name in files {
        let (from, to): (PathBuf, PathBuf) = (from.join(name), to.join(name));
        fs::rename(&from, &to).with_context(|| format!("cannot move {}", from.display()))?;
    }
    Ok(())
}

fn judge_kept(target: &Target, report: &mut Report, what: &str, kept: &BTreeSet<String>) -> Result<()> {
    let stored: BTreeSet<String> = titles(target)?.into_iter().collect();
    let lost = kept.difference(&stored).count();
    report.judge(lost == 0, what, format!("{} acknowledged, {lost} lost", kept.len()));
    Ok(())
}

/// What writers met.
struct Outcome {
    kept: Vec<String>,
    /// Acknowledged, and asked for after the accident.
    late: usize,
    refused_after: Option<Duration>,
}

fn write_through(target: &Target, token: &str, name: &str, accident: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let (is_over, happened) = (&AtomicBool::new(false), &Mutex::new(None::<Instant>));
    let at = || happened.lock().ok().and_then(|at| *at);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let (mut kept, mut late, mut refused) = (Vec::new(), 0, None::<Instant>);
                    for n in 0.. {
                        if is_over.load(Ordering::SeqCst) {
                            break;
                        }
                        let title = format!("{name} {writer} {n}");
                        let was_gone = at().is_some();
                        match target.publish(token, &title, "x") {
                            Ok(response) if response.status == 201 => {
                                kept.push(title);
                                late += usize::from(was_gone);
                            }
                            _ if was_gone => {
                                refused = refused.or(Some(Instant::now()));
                                thread::sleep(Duration::from_millis(20));
                            }
                            _ => {}
                        }
                    }
                    (kept, late, refused)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(700));
        let done = accident();
        if let Ok(mut at) = happened.lock() {
            *at = Some(Instant::now());
        }
        thread::sleep(AFTER);
        is_over.store(true, Ordering::SeqCst);
        let mut outcome = Outcome { kept: Vec::new(), late: 0, refused_after: None };
        for writer in writers {
            let (kept, late, refused) = writer.join().ok().context("a writer panicked")?;
            outcome.kept.extend(kept);
            outcome.late += late;
            let after = refused.zip(at()).map(|(refused, at)| refused.saturating_duration_since(at));
            outcome.refused_after = match (outcome.refused_after, after) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            };
        }
        done.map(|()| outcome)
    })
}
