//! Processes: started as the leader of a group, perhaps on one core; what they cost, read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
pub use devservers::{Stop, output, succeed_within};

/// The words that run a program on one core, if one is named.
pub fn core_words(core: Option<usize>) -> Vec<String> {
    core.map(|core| vec!["taskset".to_owned(), "-c".to_owned(), core.to_string()]).unwrap_or_default()
}

/// The command, run on one core if one is named.
pub fn on_core(core: Option<usize>, program: &str) -> Command {
    devservers::under(&core_words(core), program)
}

/// Whether `program` is in the search path.
pub fn is_there(program: &str) -> bool {
    devservers::tools::find(program).is_some()
}

/// What a process and all below it have used so far, those below that have ended included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in KiB. Pages that several processes share count for each.
    pub rss_kib: u64,
}

/// Reads the usage of the tree below `root`, itself included.
pub fn usage(root: u32) -> Result<Usage> {
    Ok(sum(&stats(root)?, root))
}

/// Moves the tree below `root`, itself and all threads included, to these cores.
pub fn keep_on(root: u32, cores: &[usize]) -> Result<()> {
    let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
    let stats = stats(root)?;
    for pid in stats.keys().filter(|pid| is_below(&stats, **pid, root)) {
        let moved = output(Command::new("taskset").args(["-a", "-p", "-c", &list.join(","), &pid.to_string()]));
        // One that has ended meanwhile is no fault.
        if let Err(error) = moved
            && Path::new(&format!("/proc/{pid}")).exists()
        {
            return Err(error);
        }
    }
    Ok(())
}

/// All processes; an error if `root` is not among them.
fn stats(root: u32) -> Result<HashMap<u32, Stat>> {
    let mut stats = HashMap::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let name = entry.context("cannot read /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process that ends while we look is no fault.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        stats.insert(pid, Stat::read(&text).with_context(|| format!("cannot understand /proc/{pid}/stat"))?);
    }
    if !stats.contains_key(&root) {
        bail!("the process {root} is gone");
    }
    Ok(stats)
}

fn is_below(stats: &HashMap<u32, Stat>, pid: u32, root: u32) -> bool {
    let mut at = pid;
    // Up to the root or to where the tree ends; a cycle cannot be, but a limit costs nothing.
    for _ in 0..64 {
        if at == root {
            return true;
        }
        let Some(above) = stats.get(&at) else { break };
        at = above.parent;
    }
    false
}

fn sum(stats: &HashMap<u32, Stat>, root: u32) -> Usage {
    let (mut ticks, mut pages) = (0, 0);
    for (pid, stat) in stats {
        if is_below(stats, *pid, root) {
            ticks += stat.ticks;
            pages += stat.pages;
        }
    }
    Usage { cpu_s: ticks as f64 / TICKS_PER_S, rss_kib: pages * 4 }
}

/// `USER_HZ`, which Linux keeps at 100 for `/proc` on every architecture we run on.
const TICKS_PER_S: f64 = 100.0;

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    ticks: u64,
    pages: u64,
}

impl Stat {
    /// One line of `/proc/PID/stat`. The second field is the program's name in parentheses, and may hold anything.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let parent = fields.get(1)?.parse().ok()?;
        // Its own, and that of its children which have ended: a database ends the process of each connection that is closed.
        let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
        Some(Self { parent, ticks, pages: number(21)? })
    }
}

#[cfg(test)]
mod tests {
    use devservers::Process;
    use nix::sys::signal::Signal;

    use super::*;

    const LINE: &str = "4711 (a (odd) name) S 17 4711 4711 0 -1 4194560 900 0 3 0 250 50 7 9 20 0 5 0 12345 \
                        104857600 2500 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0";

    #[test]
    fn reads_a_line_of_stat() {
        assert_eq!(Stat::read(LINE), Some(Stat { parent: 17, ticks: 316, pages: 2500 }));
        assert_eq!(Stat::read("4711 (cut"), None);
        assert_eq!(Stat::read("4711 (short) S 17 4711"), None);
    }

    #[test]
    fn sums_a_tree_and_no_more() {
        let stat = |parent, ticks| Stat { parent, ticks, pages: 10 };
        let stats = HashMap::from([
            (1, stat(0, 1000)),
            (50, stat(1, 100)),
            (51, stat(50, 20)),
            (52, stat(51, 3)),
            (60, stat(1, 500)),
            // Its parent ended between two reads.
            (70, stat(69, 900)),
        ]);
        assert_eq!(sum(&stats, 50), Usage { cpu_s: 1.23, rss_kib: 120 });
    }

    #[test]
    fn reads_our_own_usage() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.rss_kib > 0);
    }

    #[test]
    fn a_tree_is_kept_on_a_core() {
        let mut sleeping = Process::start(Command::new("sh").args(["-c", "sleep 600 & wait"])).unwrap();
        let cores = || {
            let printed =
                output(Command::new("taskset").args(["-p", "-c", &sleeping.pid().unsigned_abs().to_string()])).unwrap();
            printed.trim().rsplit(' ').next().unwrap().to_owned()
        };
        keep_on(sleeping.pid().unsigned_abs(), &[0]).unwrap();
        assert_eq!(cores(), "0");
        assert!(keep_on(sleeping.pid().unsigned_abs(), &[]).is_err());
        sleeping.end_group(Signal::SIGTERM).unwrap();
        assert!(keep_on(sleeping.pid().unsigned_abs(), &[0]).is_err());
    }

    #[test]
    fn an_ended_process_has_no_usage() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(usage(child.id()).is_err());
    }
}
