//! wrk, the closed loop: each of so many connections sends its next request when the answer to the last one is there.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::http::Requests;
use crate::process;

const SCRIPT: &str = include_str!("wrk.lua");
/// Before the script's own line among what wrk prints.
const MARK: &str = "LAB ";

/// What wrk counted.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Counted {
    /// Answers.
    pub requests: u64,
    /// Over how long, in seconds.
    pub seconds: f64,
    /// Answers with a status above 399.
    pub refused: u64,
    /// Connections that broke and answers that came too late.
    pub broken: u64,
    /// The median latency, in microseconds.
    pub p50_us: f64,
    /// 75 of 100 are not above it.
    pub p75_us: f64,
    /// 90 of 100 are not above it.
    pub p90_us: f64,
    /// 99 of 100 are not above it. A closed loop's: a stall holds back the requests that would have suffered from it.
    pub p99_us: f64,
    /// 999 of 1000 are not above it.
    pub p999_us: f64,
}

/// Runs wrk on `core` with one thread for each core it may use.
pub fn run(
    core: Option<usize>,
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    seconds: u64,
    scratch: &Path,
) -> Result<Counted> {
    let (script, texts) = (scratch.join("wrk.lua"), scratch.join("wrk.requests"));
    fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    let mut all = Vec::new();
    for path in &requests.paths {
        let text = requests.bytes(path);
        all.extend_from_slice(format!("{}\n", text.len()).as_bytes());
        all.extend_from_slice(&text);
    }
    fs::write(&texts, all).with_context(|| format!("cannot write {}", texts.display()))?;

    let threads = if core.is_some() { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let mut command = process::on_core(core, "wrk");
    command.args(["--latency", "--timeout", "10s", "-t", &threads.to_string(), "-c", &connections.to_string()]);
    command.args(["-d", &format!("{seconds}s")]).arg("-s").arg(&script).arg(format!("http://{address}/"));
    command.arg("--").arg(&texts);
    read(&process::output(&mut command)?)
}

fn read(printed: &str) -> Result<Counted> {
    let Some(line) = printed.lines().find_map(|line| line.strip_prefix(MARK)) else {
        bail!("wrk did not say what it counted: {printed}");
    };
    serde_json::from_str(line).with_context(|| format!("cannot read what wrk counted: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_script_prints() {
        let printed = "Running 1s test\n  2 threads\nLAB {\"requests\":10,\"seconds\":1.5,\"refused\":1,\"broken\":0,\
                       \"p50_us\":12,\"p75_us\":20,\"p90_us\":40,\"p99_us\":80.5,\"p999_us\":90}\n";
        let counted = read(printed).unwrap();
        assert_eq!((counted.requests, counted.seconds, counted.p99_us), (10, 1.5, 80.5));
        assert!(read("Running").is_err());
    }
}
