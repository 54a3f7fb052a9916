//! `clock-back`: the machine's clock is set back by an hour under the running server (libfaketime, with the monotonic
//! clock left alone). The rule: a process's time never goes back. It goes on from the latest moment it has seen, a tenth
//! more slowly, until the machine's clock has caught up; so what had expired stays expired, ids go on rising, and what
//! is issued lives at most a tenth longer than it should. A new process goes on from the latest use of a session.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::tools;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, PASSWORD, Target, wait_until};
use crate::chaos::raw_http::Response;

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// The least that an access token can live, in seconds.
const LIFE: i64 = 30;

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let library = match find() {
        Some(library) => library,
        None => {
            tools::apt_install(&["libfaketime"], bench.stop).context("libfaketime is missing")?;
            find().context("libfaketime was installed, and its library is nowhere to be found")?
        }
    };
    let file = std::env::temp_dir().join(format!("mainstay-dial-{}", std::process::id()));
    let dial = Dial(file);
    dial.set(3600)?;
    let mut target = bench.start(
        "clock",
        &[
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", dial.0.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("MAINSTAY_AUTH__ACCESS_TOKEN_S", LIFE.to_string()),
        ],
    )?;
    let who = |target: &Target, token: &str| target.ask("GET", "/api/v1/users/me", token, None);
    let (shown, _) = target.sign_up("ada")?;
    let (kept_back, refresh) = target.sign_in("ada")?;
    who(&target, &shown)?.must_be(200).context("before anything")?;
    let mut ids = vec![publish(&target, &shown, "before")?];
    for n in 0..4 {
        ids.push(publish(&target, &shown, &format!("before {n}"))?);
    }
    let first = target.ask("GET", "/api/v1/posts?limit=2", "", None)?.must_be(200)?.json()?;
    let cursor = first["next_cursor"].as_str().context("no cursor")?.to_owned();

    // Forward, so that both tokens expire; one of them is shown then, the other is not.
    dial.set(3600 + LIFE + 10)?;
    let expired = who(&target, &shown)?;
    report.judge(expired.status == 401, "a token whose time is up", expired.shown());
    let lines = target.log().lines().count();

    dial.set(LIFE + 10)?;
    let again = who(&target, &shown)?;
    report.judge(again.status == 401, "set back an hour: the token that was seen to have expired", again.shown());
    let unseen = who(&target, &kept_back)?;
    report.judge(unseen.status == 401, "and the one that nobody showed meanwhile", unseen.shown());
    let refreshed =
        target.ask("POST", "/api/v1/auth/refresh", "", Some(&serde_json::json!({ "refresh_token": refresh })))?;
    report.judge(refreshed.status == 200, "a session is refreshed", format!("{}", refreshed.status));
    let (fresh, _) = target.sign_in("ada")?;
    let issued = Instant::now();
    let known = who(&target, &fresh)?;
    report.judge(known.status == 200, "a new sign-in is believed", format!("{}", known.status));
    for n in 0..5 {
        ids.push(publish(&target, &fresh, &format!("after {n}"))?);
    }
    report.judge(ids.windows(2).all(|two| two[0] < two[1]), "ids go on rising", format!("{} posts", ids.len()));
    let page = target.ask("GET", &format!("/api/v1/posts?limit=2&cursor={cursor}"), "", None)?;
    report.judge(page.status == 200, "a cursor of before still works", format!("{}", page.status));
    let newest = target.ask("GET", "/api/v1/posts?limit=1&fields=id", "", None)?.must_be(200)?.json()?;
    let is_newest = newest["items"][0]["id"].as_str() == ids.last().map(String::as_str);
    report.judge(is_newest, "the newest post is first", newest["items"][0]["id"].to_string());

    // What is issued now ends by the clock that counts, however the other was set.
    let ended =
        wait_until(Duration::from_secs(60), || who(&target, &fresh).is_ok_and(|response| response.status == 401));
    let most = LIFE as f64 * 1.12 + 1.0;
    let seen = ended.map_or("never".to_owned(), |after| format!("{:.1} s", after.as_secs_f64()));
    report.judge(
        ended.is_some_and(|after| after.as_secs_f64() <= most),
        &format!("a token for {LIFE} s that was issued after the jump ends within {most:.0} s"),
        seen,
    );
    // A new process knows nothing of the jump but what stands in the database, which is from later than now.
    let (_, refresh) = target.sign_in("ada")?;
    let ago = i64::try_from(issued.elapsed().as_secs()).unwrap_or(i64::MAX);
    // It was issued at about an hour, a token's life and ten seconds ahead: now it would be ten seconds old.
    dial.set(3600 + LIFE + 20 - ago)?;
    target.restart().context("the restart with the clock set back to when a token was good")?;
    let revived = who(&target, &fresh)?;
    report.judge(revived.status == 401, "started again when it would be good: what had expired", revived.shown());
    dial.set(-3600)?;
    target.restart().context("the restart with the clock set back once more")?;
    let body = serde_json::json!({ "refresh_token": refresh });
    let refreshed = target.ask("POST", "/api/v1/auth/refresh", "", Some(&body))?;
    report.judge(refreshed.status == 200, "started again hours earlier: a session is refreshed", refreshed.status);
    let login = serde_json::json!({ "email": "ada@example.org", "password": PASSWORD });
    let login = target.ask("POST", "/api/v1/auth/login", "", Some(&login))?;
    report.judge(login.status == 200, "started again hours earlier: a new sign-in", login.status);
    let log = target.log();
    report.judge(log.lines().count() > lines, "the log goes on", format!("{} lines more", log.lines().count() - lines));
    report.judge(!log.contains("panicked"), "nothing panicked", "by the log");
    let ready = target.ask("GET", "/health/ready", "", None)?.status;
    report.judge(ready == 200 && target.is_running(), "the server is ready", ready);
    Ok(())
}

fn find() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    folders.iter().map(|folder| Path::new(folder).join(LIBRARY)).find(|library| library.exists())
}

fn publish(target: &Target, token: &str, title: &str) -> Result<String> {
    let response: Response = target.publish(token, title, "x")?.must_be(201)?;
    match response.json()?["id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => bail!("a post without an id"),
    }
}

/// The file that says how far ahead the server's wall clock is. Dropped, it goes.
struct Dial(PathBuf);

impl Dial {
    fn set(&self, seconds: i64) -> Result<()> {
        // Replaced, never half written: it is read at every look at the clock.
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).context("cannot write the clock's file")?;
        fs::rename(&new, &self.0).context("cannot set the clock")
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        // Under the system's temporary folder: what stays is small.
        let _ = fs::remove_file(&self.0);
    }
}
