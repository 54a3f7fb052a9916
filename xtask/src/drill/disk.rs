//! `disk-full`: the database on a small file system of its own, which fills up. Writes answer 507, reads go on, room is
//! made, and writes go on without a restart; nothing that was acknowledged is lost.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::drill::Report;
use crate::drill::bench::{Bench, Target, wait_until};

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    // A mount namespace of the server's own: it goes with the process, and the machine never sees the mount.
    let script = "while [ \"$1\" != --data ]; do set -- \"$@\" \"$1\"; shift; done; data=$2; \
                  mount -t tmpfs -o size=8m,mode=700 tmpfs \"$data\" && head -c 4m /dev/zero > \"$data/ballast\" && \
                  shift 2 && exec \"$0\" \"$@\" --data \"$data\"";
    let under: Vec<OsString> =
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script].into_iter().map(OsString::from).collect();
    let mut target = bench.start_under("disk", under)?;
    let (token, _) = target.sign_up("ada")?;
    let mut kept = Vec::new();
    let fill = |target: &Target, kept: &mut Vec<String>, round: &str| -> Result<(u16, String)> {
        for n in 0..1000 {
            let title = format!("{round} {n}");
            let reply = target.publish(&token, &title, &"x".repeat(40_000))?;
            if reply.status != 201 {
                return Ok((reply.status, reply.code()));
            }
            kept.push(title);
        }
        Ok((201, "it never filled up".to_owned()))
    };

    let refused = fill(&target, &mut kept, "first")?;
    let is_told = refused == (507, "storage_full".to_owned());
    report.judge(is_told, "a write into a full disk", format!("{} {} after {} kept", refused.0, refused.1, kept.len()));
    let again = target.publish(&token, "again", &"x".repeat(40_000))?;
    report.judge(again.status == 507, "the next one", again.shown());
    judge_titles(&target, report, "reads go on, with all that was acknowledged", &kept)?;
    let live = target.ask("GET", "/health/live", "", None)?.status;
    report.judge(live == 200, "the process says it lives", live);

    let inside = PathBuf::from(format!("/proc/{}/root{}", target.pid(), target.data().display()));
    fs::remove_file(inside.join("ballast")).context("cannot make room")?;
    let back = wait_until(Duration::from_secs(30), || {
        target.publish(&token, "with room", &"x".repeat(40_000)).is_ok_and(|reply| {
            let is_kept = reply.status == 201;
            if is_kept {
                kept.push("with room".to_owned());
            }
            is_kept
        })
    });
    let seen = back.map_or("never".to_owned(), |after| format!("after {} ms", after.as_millis()));
    report.judge(back.is_some(), "with room again, writes go on without a restart", seen);
    let refused = fill(&target, &mut kept, "second")?;
    report.judge(refused.0 == 507, "and it fills up again", format!("{} {}", refused.0, refused.1));
    judge_titles(&target, report, "all that was acknowledged is there", &kept)?;
    report.judge(target.is_running(), "the server still runs", "without a restart");
    report.figure("acknowledged", kept.len());
    report.figure("writes_back_after_ms", json!(back.map(|back| back.as_millis() as u64)));
    Ok(())
}

fn judge_titles(target: &Target, report: &mut Report, what: &str, kept: &[String]) -> Result<()> {
    let mut stored = titles(target)?;
    let mut kept = kept.to_vec();
    stored.sort();
    kept.sort();
    report.judge(stored == kept, what, format!("{} stored, {} acknowledged", stored.len(), kept.len()));
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
