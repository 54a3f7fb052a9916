//! `cargo resilience trace`: `kill -9` cannot show a missing flush, for the kernel keeps what was written. The system calls
//! can: between reading a request and writing its 201, the write-ahead log was written and a flush of it returned.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::mainstay::{self, Answer, Caller, Launch};
use devservers::workspace::Workspace;
use devservers::{Scratch, Stop, free_port, tools};
use nix::sys::signal::Signal;
use regex::Regex;

const CALLS: &str = "trace=fsync,fdatasync,write,writev,pwrite64,pwritev,sendto,sendmsg,read,readv,recvfrom,recvmsg";
const REQUEST: &str = "\"POST /api/v1/posts";
const ANSWER: &str = "HTTP/1.1 201";

/// Options of `cargo resilience trace`.
#[derive(clap::Args)]
pub struct Args {
    /// Trace this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Builds the release server, traces one write and prints what was seen.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let binary = match &args.binary {
        Some(binary) => binary.canonicalize().context("there is no such binary")?,
        None => mainstay::build(true, workspace, stop)?,
    };
    let proof = prove(&binary, stop)?;
    for line in &proof.excerpt {
        println!("{line}");
    }
    Ok(match proof.fault {
        None => {
            println!("DURABLE: the log was flushed before the 201 left");
            ExitCode::SUCCESS
        }
        Some(fault) => {
            println!("NOT DURABLE: {fault}");
            ExitCode::FAILURE
        }
    })
}

/// What the trace of one write shows.
#[derive(Debug)]
pub struct Proof {
    /// The lines that matter, in order.
    pub excerpt: Vec<String>,
    /// What is missing, if anything is.
    pub fault: Option<String>,
}

/// Starts `binary` under strace with an empty SQLite database, publishes one post and judges the trace.
pub fn prove(binary: &Path, stop: &Stop) -> Result<Proof> {
    let strace = tools::system_tool("strace", "strace", stop)?;
    let scratch = Scratch::new("trace")?;
    let trace = scratch.path().join("trace");
    let mut under: Vec<OsString> = vec![strace.into()];
    under.extend(["-f", "-tt", "-y", "-s", "48", "-e", CALLS, "-o"].map(OsString::from));
    under.extend([trace.clone().into(), "--".into()]);
    let launch = Launch {
        binary: binary.to_owned(),
        data: scratch.path().join("data"),
        log: scratch.path().join("log"),
        port: free_port()?,
        database_url: None,
        under,
        variables: Vec::new(),
    };
    fs::create_dir(&launch.data).context("cannot make the data directory")?;
    let mut server = launch.start(stop)?;
    let mut caller = Caller::new(launch.port, 1);
    caller.register()?;
    match caller.publish("traced") {
        Answer::Said(201, _) => {}
        Answer::Said(status, body) => bail!("the traced write was answered {status}: {body}"),
        Answer::Nothing => bail!("the traced write was not answered: {}", launch.last_words()),
    }
    // We have the answer; strace may still be writing down that it was sent.
    let start = Instant::now();
    let mut proof = judge(&fs::read_to_string(&trace).context("cannot read the trace")?)?;
    while proof.fault.is_some() && start.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(50));
        proof = judge(&fs::read_to_string(&trace).context("cannot read the trace")?)?;
    }
    server.end_group(Signal::SIGTERM)?;
    Ok(proof)
}

/// One system call: where in the trace it began and returned.
struct Call {
    name: String,
    /// The first argument with strace's annotation, such as `12</data/mainstay.db-wal>`.
    target: String,
    text: String,
    result: i64,
    began: usize,
    returned: usize,
}

/// Finds the last traced write and looks for a flush of the log inside it.
fn judge(trace: &str) -> Result<Proof> {
    let calls = parse(trace)?;
    let lines: Vec<&str> = trace.lines().collect();
    let mut shown = Vec::new();
    let mut verdict = || -> Option<String> {
        let is_read = |call: &&Call| call.name.starts_with("re") && call.text.contains(REQUEST);
        let Some(request) = calls.iter().filter(is_read).max_by_key(|call| call.returned) else {
            return Some("the request was never read".to_owned());
        };
        shown.extend([request.began, request.returned]);
        let is_answer = |call: &&Call| {
            is_write(call)
                && call.began > request.returned
                && call.target == request.target
                && call.text.contains(ANSWER)
        };
        let Some(answer) = calls.iter().filter(is_answer).min_by_key(|call| call.began) else {
            return Some("the 201 was never written".to_owned());
        };
        shown.extend([answer.began, answer.returned]);
        let within = |call: &&Call| call.began > request.returned && call.returned < answer.began;
        let of_log = |call: &&Call| call.target.ends_with("-wal>") && call.result >= 0;
        let writes: Vec<_> = calls.iter().filter(within).filter(of_log).filter(|call| is_write(call)).collect();
        let Some(last_write) = writes.iter().map(|call| call.returned).max() else {
            return Some("nothing was written to the log between the request and the 201".to_owned());
        };
        shown.extend(writes.iter().flat_map(|call| [call.began, call.returned]));
        let is_flush = |call: &&Call| ["fsync", "fdatasync"].contains(&call.name.as_str()) && call.began > last_write;
        let Some(flush) = calls.iter().filter(within).filter(of_log).find(is_flush) else {
            return Some("no flush of the log returned between its last write and the 201".to_owned());
        };
        shown.extend([flush.began, flush.returned]);
        None
    };
    let fault = verdict();
    shown.sort_unstable();
    shown.dedup();
    Ok(Proof { excerpt: shown.into_iter().map(|at| lines[at].to_owned()).collect(), fault })
}

fn is_write(call: &Call) -> bool {
    ["write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"].contains(&call.name.as_str())
}

/// Reads strace's lines; a call interrupted by another thread's line is put together again.
fn parse(trace: &str) -> Result<Vec<Call>> {
    let whole = Regex::new(r"^(\d+) +\S+ (\w+)\((.*)\) += (-?\d+)").context("the pattern of a call")?;
    let begun = Regex::new(r"^(\d+) +\S+ (\w+)\((.*) <unfinished \.\.\.>$").context("the pattern of a beginning")?;
    let resumed =
        Regex::new(r"^(\d+) +\S+ <\.\.\. (\w+) resumed>(.*)\) += (-?\d+)").context("the pattern of an end")?;
    let mut calls = Vec::new();
    let mut open: Vec<(String, String, String, usize)> = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        if let Some(parts) = begun.captures(line) {
            open.push((parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned(), at));
        } else if let Some(parts) = resumed.captures(line) {
            let Some(found) = open.iter().rposition(|(thread, name, ..)| *thread == parts[1] && *name == parts[2])
            else {
                continue;
            };
            let (_, name, text, began) = open.swap_remove(found);
            calls.push(call(name, text + &parts[3], &parts[4], began, at)?);
        } else if let Some(parts) = whole.captures(line) {
            calls.push(call(parts[2].to_owned(), parts[3].to_owned(), &parts[4], at, at)?);
        }
    }
    Ok(calls)
}

fn call(name: String, text: String, result: &str, began: usize, returned: usize) -> Result<Call> {
    // A socket's annotation holds no comma with plain `-y`; a path with one would only shorten the target.
    let target = text.split([',', ')']).next().unwrap_or_default().trim().to_owned();
    let result = result.parse().with_context(|| format!("a result that is no number: {result}"))?;
    Ok(Call { name, target, text, result, began, returned })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"100   10:00:00.000000 recvfrom(9<socket:[77]>, "POST /api/v1/auth/login HTTP/1.1\r\n"..., 8192, 0, NULL, NULL) = 300
101   10:00:00.000500 recvfrom(9<socket:[77]>,  <unfinished ...>
102   10:00:00.000600 fdatasync(5</d/mainstay.db-wal>) = 0
101   10:00:00.001000 <... recvfrom resumed>"POST /api/v1/posts HTTP/1.1\r\n"..., 8192, 0, NULL, NULL) = 420
102   10:00:00.001100 pwrite64(5</d/mainstay.db-wal>, "\0\0"..., 24, 32) = 24
102   10:00:00.001200 fdatasync(5</d/mainstay.db-wal> <unfinished ...>
100   10:00:00.001300 write(2<pipe:[1]>, "a log line", 10) = 10
102   10:00:00.002000 <... fdatasync resumed>) = 0
101   10:00:00.002100 sendto(9<socket:[77]>, "HTTP/1.1 201 Created\r\n"..., 500, MSG_NOSIGNAL, NULL, 0) = 500"#;

    fn fault_of(trace: &str) -> String {
        judge(trace).unwrap().fault.unwrap_or_default()
    }

    #[test]
    fn a_flush_inside_the_write_is_seen() {
        let proof = judge(GOOD).unwrap();
        assert_eq!(proof.fault, None);
        assert_eq!(proof.excerpt.len(), 6);
        assert!(proof.excerpt[0].contains("unfinished") && proof.excerpt[5].contains("201 Created"));
    }

    #[test]
    fn a_flush_missing_late_or_failed_is_told() {
        let without = |word: &str| GOOD.lines().filter(|line| !line.contains(word)).collect::<Vec<_>>().join("\n");
        assert!(fault_of(&without("<... fdatasync resumed>")).starts_with("no flush"));
        assert!(fault_of(&without("pwrite64")).starts_with("nothing was written"));
        assert!(fault_of(&without("201 Created")).starts_with("the 201 was never"));
        assert!(fault_of(&without("recvfrom resumed")).starts_with("the request was never"));
        assert!(fault_of(&GOOD.replace("resumed>) = 0", "resumed>) = -1 EIO")).starts_with("no flush"));
        assert!(
            fault_of(&GOOD.replace("1200 fdatasync(5</d/mainstay.db-wal>", "1200 fdatasync(6</d/other>"))
                .starts_with("no flush")
        );
        let mut late: Vec<&str> = GOOD.lines().collect();
        late.swap(7, 8);
        assert!(fault_of(&late.join("\n")).starts_with("no flush"));
    }

    /// Contract 18 where `kill -9` cannot see: the real server, one write.
    #[test]
    fn an_acknowledged_write_was_flushed() {
        let (workspace, stop) = (Workspace::load().unwrap(), Stop::default());
        let proof = prove(&mainstay::build(false, &workspace, &stop).unwrap(), &stop).unwrap();
        assert!(proof.fault.is_none(), "{proof:#?}");
    }
}
