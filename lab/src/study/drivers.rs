//! Who asks: wrk and h2load in a closed loop, oha in an open one, k6 and Locust play a scenario. None is ours, so that nobody
//! has to believe our own.

use std::fmt::Write as _;
use std::fs;
use std::iter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::Requests;
use crate::lab::Lab;
use crate::process;
use crate::results::Sample;
use crate::stats;
use crate::study::plan::{DriverKind, Factors, Http};
use crate::wrk;

/// Versions of what the lab installs for itself below `target/lab/tools`.
const OHA: &str = "1.16.0";
const LOCUST: &str = "2.47.0";

/// Percentiles that are kept, and how a sample calls them, in microseconds.
pub const PERCENTILES: [(f64, &str); 5] =
    [(0.5, "p50_us"), (0.75, "p75_us"), (0.9, "p90_us"), (0.99, "p99_us"), (0.999, "p999_us")];

/// What is asked, of whom.
pub struct Load<'a> {
    /// Where.
    pub address: SocketAddr,
    /// What.
    pub requests: &'a Requests,
    /// How.
    pub factors: &'a Factors,
    /// The driver's core.
    pub core: Option<usize>,
    /// For how long.
    pub seconds: u64,
    /// For scenarios: where posts are, how the newest are listed, the token.
    pub scene: Scene<'a>,
}

/// What a scenario needs to know.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The collection of posts.
    pub posts: &'a str,
    /// The list of the newest 20.
    pub list: &'a str,
    /// The token.
    pub token: &'a str,
    /// Some posts that are there.
    pub ids: &'a [String],
}

/// Whether a driver is there; the error says what to do.
pub fn need(kind: DriverKind, lab: &Lab) -> Result<()> {
    let install = |program: &str, package: &str| -> Result<()> {
        ensure!(
            process::is_there(program),
            "{program} is not installed (on Debian or Ubuntu: sudo apt-get install {package})"
        );
        Ok(())
    };
    match kind {
        DriverKind::Wrk => install("wrk", "wrk"),
        DriverKind::H2load => install("h2load", "nghttp2-client"),
        DriverKind::Oha => oha(lab).map(drop),
        DriverKind::Locust => locust(lab).map(drop),
        DriverKind::K6 => {
            ensure!(
                process::is_there("k6"),
                "k6 is not installed, and the lab does not fetch it: install it as its documentation says, and run this \
                 again with the scenario in lab/scenarios/k6.js"
            );
            Ok(())
        }
    }
}

/// Puts the load on; returns what was counted: `requests_per_s`, `requests`, `refused`, `broken` and percentiles.
pub fn run(lab: &Lab, load: &Load<'_>) -> Result<Sample> {
    match load.factors.driver {
        DriverKind::Wrk => with_wrk(lab, load),
        DriverKind::H2load => with_h2load(lab, load),
        DriverKind::Oha => with_oha(lab, load),
        DriverKind::Locust => with_locust(lab, load),
        DriverKind::K6 => with_k6(lab, load),
    }
}

fn with_wrk(lab: &Lab, load: &Load<'_>) -> Result<Sample> {
    let mut requests = load.requests.clone();
    if !load.factors.keep_alive {
        requests = requests.header("connection", "close");
    }
    let counted = wrk::run(load.core, load.address, &requests, load.factors.connections, load.seconds, &lab.scratch)?;
    let mut sample = Sample::from([
        ("requests".to_owned(), counted.requests as f64),
        ("requests_per_s".to_owned(), counted.requests as f64 / counted.seconds),
        ("refused".to_owned(), counted.refused as f64),
        ("broken".to_owned(), counted.broken as f64),
    ]);
    let found = [counted.p50_us, counted.p75_us, counted.p90_us, counted.p99_us, counted.p999_us];
    sample.extend(PERCENTILES.iter().zip(found).map(|((_, name), value)| ((*name).to_owned(), value)));
    Ok(sample)
}

fn with_h2load(lab: &Lab, load: &Load<'_>) -> Result<Sample> {
    let (uris, log) = (lab.scratch.join("h2load.uris"), lab.scratch.join("h2load.log"));
    let all: String = load.requests.paths.iter().map(|path| format!("http://{}{path}\n", load.address)).collect();
    fs::write(&uris, all).context("cannot write the addresses")?;
    // It appends.
    let _ = fs::remove_file(&log);
    let mut command = process::on_core(load.core, "h2load");
    command.args(["-t", "1", "-c", &load.factors.connections.to_string(), "-D", &load.seconds.to_string()]);
    if load.factors.http == Http::One {
        command.arg("--h1");
    } else {
        command.args(["-m", &load.factors.streams.to_string(), "-p", "h2c"]);
    }
    command.arg("-i").arg(&uris).arg(format!("--log-file={}", log.display()));
    for (name, value) in &load.requests.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    if let Some(body) = &load.requests.body {
        let file = lab.scratch.join("h2load.body");
        fs::write(&file, body).context("cannot write the body")?;
        command.arg("-d").arg(file);
    }
    let printed = process::output(&mut command)?;
    let mut sample = h2load_counted(&printed, load.seconds)?;
    let text = fs::read_to_string(&log).context("cannot read what h2load wrote")?;
    // A line each: when it was sent, the status, how long it took in microseconds.
    let mut took: Vec<u64> = text.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    took.sort_unstable();
    for (share, name) in PERCENTILES {
        sample.insert(name.to_owned(), stats::percentile(&took, share).unwrap_or(0) as f64);
    }
    Ok(sample)
}

/// Out of what h2load prints: `requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout`.
fn h2load_counted(printed: &str, seconds: u64) -> Result<Sample> {
    let line = printed.lines().find(|line| line.starts_with("requests:"));
    let line = line.with_context(|| format!("h2load did not say what it counted: {printed}"))?;
    let of = |word: &str| -> Option<f64> {
        let part = line.trim_start_matches("requests:").split(',').find(|part| part.trim().ends_with(word))?;
        part.trim().split(' ').next()?.parse().ok()
    };
    let (done, succeeded) = (of("done").unwrap_or(0.0), of("succeeded").unwrap_or(0.0));
    let broken = of("errored").unwrap_or(0.0) + of("timeout").unwrap_or(0.0);
    let statuses = printed.lines().find_map(|line| line.strip_prefix("status codes:"));
    let known =
        statuses.is_none_or(|line| line.split([',', ' ']).any(|word| word.parse().is_ok_and(|count: u64| count > 0)));
    ensure!(
        done == 0.0 || known,
        "h2load understood the status of none of {done} answers: over HTTP/1.1 it wants a reason phrase, which a server may \
         leave out (RFC 9112, section 4)"
    );
    Ok(Sample::from([
        ("requests".to_owned(), done),
        ("requests_per_s".to_owned(), succeeded / seconds as f64),
        ("refused".to_owned(), (done - succeeded).max(0.0)),
        ("broken".to_owned(), broken),
    ]))
}

fn with_oha(lab: &Lab, load: &Load<'_>) -> Result<Sample> {
    let oha = oha(lab)?;
    let urls = lab.scratch.join("oha.urls");
    let all: String = load.requests.paths.iter().map(|path| format!("http://{}{path}\n", load.address)).collect();
    fs::write(&urls, all).context("cannot write the addresses")?;
    let mut command = process::on_core(load.core, &oha.to_string_lossy());
    command.args(["--no-tui", "--output-format", "json", "--latency-correction", "--disable-compression"]);
    command.args(["-z", &format!("{}s", load.seconds), "-q", &load.factors.rate.to_string()]);
    command.args(["-c", &load.factors.connections.to_string(), "-m", &load.requests.method]);
    for (name, value) in &load.requests.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    if let Some(body) = &load.requests.body {
        command.args(["-d", body]);
    }
    command.arg("--urls-from-file").arg(&urls);
    oha_counted(&process::output(&mut command)?, load)
}

fn oha_counted(printed: &str, load: &Load<'_>) -> Result<Sample> {
    let said: Value = serde_json::from_str(printed).context("cannot read what oha counted")?;
    let statuses = said["statusCodeDistribution"].as_object().into_iter().flatten();
    let (mut well, mut refused) = (0.0, 0.0);
    for (status, count) in statuses {
        let count = count.as_f64().unwrap_or(0.0);
        if status.starts_with('2') { well += count } else { refused += count }
    }
    // What was still under way when the time was over is no error.
    let errors = said["errorDistribution"].as_object().into_iter().flatten();
    let broken = errors.filter(|(why, _)| !why.contains("deadline")).filter_map(|(_, count)| count.as_f64()).sum();
    let mut sample = Sample::from([
        ("offered_per_s".to_owned(), f64::from(load.factors.rate)),
        ("requests".to_owned(), well + refused),
        ("requests_per_s".to_owned(), well / load.seconds as f64),
        ("refused".to_owned(), refused),
        ("broken".to_owned(), broken),
    ]);
    for (share, name) in PERCENTILES {
        let key = match (share * 1000.0).round() {
            999.0 => "p99.9".to_owned(),
            thousandths => format!("p{}", thousandths / 10.0),
        };
        let at = said["latencyPercentiles"][&key].as_f64();
        sample.extend(at.map(|seconds| (name.to_owned(), seconds * 1e6)));
    }
    ensure!(sample.contains_key("p50_us"), "oha answered nothing: {printed}");
    Ok(sample)
}

/// The program, installed below the target folder the first time.
fn oha(lab: &Lab) -> Result<PathBuf> {
    let root = lab.build_dir.join("tools").join(format!("oha-{OHA}"));
    let program = root.join("bin/oha");
    if !program.exists() {
        eprintln!("installing oha {OHA}, once");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "oha", "--version", OHA, "--locked", "--root"]).arg(&root);
        process::succeed_within(&mut cargo, &lab.stop, std::time::Duration::from_secs(1800))
            .context("oha could not be installed")?;
    }
    Ok(program)
}

/// Python with Locust in it, installed below the target folder the first time.
fn locust(lab: &Lab) -> Result<PathBuf> {
    let root = lab.build_dir.join("tools").join(format!("locust-{LOCUST}"));
    let program = root.join("bin/locust");
    if !program.exists() {
        eprintln!("installing Locust {LOCUST}, once");
        let limit = std::time::Duration::from_secs(600);
        let mut venv = Command::new("python3");
        process::succeed_within(venv.args(["-m", "venv"]).arg(&root), &lab.stop, limit)?;
        let mut pip = Command::new(root.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", &format!("locust=={LOCUST}")]);
        process::succeed_within(&mut pip, &lab.stop, limit).context("Locust could not be installed")?;
    }
    Ok(program)
}

/// What scenarios are told in their environment.
fn told(load: &Load<'_>, ids: &Path) -> Result<Vec<(&'static str, String)>> {
    let mut text = String::new();
    for id in load.scene.ids {
        writeln!(text, "{id}")?;
    }
    fs::write(ids, text).context("cannot write the ids")?;
    Ok(vec![
        ("LAB_URL", format!("http://{}", load.address)),
        ("LAB_POSTS", load.scene.posts.to_owned()),
        ("LAB_LIST", load.scene.list.to_owned()),
        ("LAB_TOKEN", load.scene.token.to_owned()),
        ("LAB_IDS", ids.display().to_string()),
        ("LAB_USERS", load.factors.connections.to_string()),
        ("LAB_SECONDS", load.seconds.to_string()),
    ])
}

fn with_locust(lab: &Lab, load: &Load<'_>) -> Result<Sample> {
    let (program, scratch) = (locust(lab)?, lab.folder("locust")?);
    let mut command = process::on_core(load.core, &program.to_string_lossy());
    command.arg("-f").arg(lab.root.join("lab/scenarios/locustfile.py"));
    command.args([
        "--headless",
        "--only-summary",
        "--loglevel",
        "WARNING",
        "--host",
        &format!("http://{}", load.address),
    ]);
    let users = load.factors.connections.to_string();
    command.args(["-u", &users, "-r", &users, "-t", &format!("{}s", load.seconds), "--exit-code-on-error", "0"]);
    // Its CSV is of the last whole second before the end.
    command.arg("--json-file").arg(scratch.join("out")).envs(told(load, &scratch.join("ids"))?);
    process::output(&mut command)?;
    let text = fs::read_to_string(scratch.join("out.json")).context("Locust wrote no figures")?;
    locust_counted(&serde_json::from_str(&text).context("cannot read Locust's figures")?)
}

/// Out of Locust's list of everything that was asked, each with how many were answered in how many whole milliseconds.
fn locust_counted(said: &Value) -> Result<Sample> {
    let (mut requests, mut failures, mut began, mut ended) = (0.0, 0.0, f64::INFINITY, 0.0_f64);
    let mut took: Vec<u64> = Vec::new();
    for one in said.as_array().context("Locust's figures are no list")? {
        let of = |name: &str| one[name].as_f64().with_context(|| format!("Locust says no {name}"));
        requests += of("num_requests")?;
        failures += of("num_failures")?;
        began = began.min(of("start_time")?);
        ended = ended.max(of("last_request_timestamp")?);
        for (ms, count) in one["response_times"].as_object().into_iter().flatten() {
            // Above a second it writes `1000.0`.
            let ms: f64 = ms.parse().with_context(|| format!("{ms} is no time"))?;
            took.extend(iter::repeat_n(ms.round() as u64, count.as_u64().unwrap_or(0) as usize));
        }
    }
    ensure!(requests > 0.0 && ended > began, "Locust counted nothing");
    let mut sample = Sample::from([
        ("requests".to_owned(), requests),
        ("requests_per_s".to_owned(), requests / (ended - began)),
        ("refused".to_owned(), failures),
        ("broken".to_owned(), 0.0),
    ]);
    took.sort_unstable();
    for (share, name) in PERCENTILES {
        sample.insert(name.to_owned(), stats::percentile(&took, share).unwrap_or(0) as f64 * 1e3);
    }
    Ok(sample)
}

fn with_k6(lab: &Lab, load: &Load<'_>) -> Result<Sample> {
    let scratch = lab.folder("k6")?;
    let summary = scratch.join("summary.json");
    let mut command = process::on_core(load.core, "k6");
    command.args(["run", "--quiet", "--no-usage-report", "--summary-trend-stats", "p(50),p(75),p(90),p(99),p(99.9)"]);
    command.arg("--summary-export").arg(&summary).arg(lab.root.join("lab/scenarios/k6.js"));
    process::output(command.envs(told(load, &scratch.join("ids"))?))?;
    let text = fs::read_to_string(&summary).context("k6 wrote no figures")?;
    k6_counted(&serde_json::from_str(&text).context("cannot read k6's figures")?)
}

fn k6_counted(summary: &Value) -> Result<Sample> {
    let metric = |name: &str, field: &str| summary["metrics"][name][field].as_f64();
    let Some(requests) = metric("http_reqs", "count") else { bail!("k6 counted nothing") };
    let mut sample = Sample::from([
        ("requests".to_owned(), requests),
        ("requests_per_s".to_owned(), metric("http_reqs", "rate").unwrap_or(0.0)),
        ("refused".to_owned(), metric("http_req_failed", "passes").unwrap_or(0.0)),
        ("broken".to_owned(), 0.0),
    ]);
    for (field, (_, name)) in ["p(50)", "p(75)", "p(90)", "p(99)", "p(99.9)"].into_iter().zip(PERCENTILES) {
        let took = metric("http_req_duration", field).with_context(|| format!("k6 says no {field}"))?;
        sample.insert(name.to_owned(), took * 1e3);
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_h2load_prints() {
        let printed = "finished in 2.00s, 5.00 req/s, 1KB/s\n\
                       requests: 12 total, 12 started, 11 done, 9 succeeded, 2 failed, 1 errored, 0 timeout\n\
                       status codes: 9 2xx, 0 3xx, 2 4xx, 0 5xx\n";
        let sample = h2load_counted(printed, 3).unwrap();
        assert_eq!(
            (sample["requests"], sample["requests_per_s"], sample["refused"], sample["broken"]),
            (11.0, 3.0, 2.0, 1.0)
        );
        assert!(h2load_counted("nothing", 3).is_err());
        let blind = "requests: 7 total, 7 started, 7 done, 0 succeeded, 7 failed, 0 errored, 0 timeout\n\
                     status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        assert!(h2load_counted(blind, 3).unwrap_err().to_string().contains("reason phrase"));
    }

    #[test]
    fn reads_locusts_list() {
        let read = serde_json::json!({ "num_requests": 60, "num_failures": 0, "start_time": 10.5,
            "last_request_timestamp": 19.0, "response_times": { "2": 30, "4": 29, "1000.0": 1 } });
        let list = serde_json::json!({ "num_requests": 40, "num_failures": 1, "start_time": 10.0,
            "last_request_timestamp": 20.0, "response_times": { "2": 20, "3": 20 } });
        let sample = locust_counted(&serde_json::json!([read, list])).unwrap();
        assert_eq!((sample["requests_per_s"], sample["refused"]), (10.0, 1.0));
        assert_eq!((sample["p50_us"], sample["p75_us"], sample["p99_us"], sample["p999_us"]), (2e3, 4e3, 4e3, 1e6));
        assert!(locust_counted(&serde_json::json!([])).is_err());
    }

    #[test]
    fn reads_k6s_summary() {
        let trend = serde_json::json!({ "p(50)": 1.0, "p(75)": 2.0, "p(90)": 3.0, "p(99)": 4.0, "p(99.9)": 5.0 });
        let summary = serde_json::json!({ "metrics": {
            "http_reqs": { "count": 10, "rate": 5.0 }, "http_req_failed": { "passes": 1 }, "http_req_duration": trend } });
        let sample = k6_counted(&summary).unwrap();
        assert_eq!((sample["requests"], sample["refused"], sample["p99_us"]), (10.0, 1.0, 4000.0));
    }
}
