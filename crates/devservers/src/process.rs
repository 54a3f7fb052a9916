//! Processes this tool starts: each leads a group of its own, so that it and all it started can be ended together.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

const POLL: Duration = Duration::from_millis(50);
const GRACE: Duration = Duration::from_secs(5);

/// Whether the person (or CI) asked us to end. Waiting code looks at it, so that guards are dropped on the way out.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Becomes true on SIGINT, SIGTERM and SIGHUP.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        let asked = stop.0.clone();
        ctrlc::set_handler(move || asked.store(true, Ordering::SeqCst)).context("cannot watch for signals")?;
        Ok(stop)
    }

    /// Whether we were asked to end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error once we were asked to end; for use between steps.
    pub fn check(&self) -> Result<()> {
        if self.is_asked() { bail!("interrupted") } else { Ok(()) }
    }
}

/// A running process and its group. Dropped, it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    has_group: bool,
}

impl Process {
    /// Starts `command` as the leader of a new process group.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::spawn(command.process_group(0), true)
    }

    /// Starts `command` in our own group: what ends us at a terminal ends it too. It must not start others.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_in_our_group(command: &mut Command) -> Result<Self> {
        Self::spawn(command, false)
    }

    fn spawn(command: &mut Command, has_group: bool) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {}", shown(command)))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("a process id beyond i32")?);
        Ok(Self { child, pid, has_group })
    }

    fn signal_all(&self, signal: Signal) {
        // It may end between the question and the signal: that is what we want.
        let _ = if self.has_group { killpg(self.pid, signal) } else { kill(self.pid, signal) };
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for a process's end")
    }

    /// Sends `signal` to the process alone, not to what it started.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_none() { self.send(signal) } else { Ok(()) }
    }

    /// The same where it is known that it was not waited for yet: its number is nobody else's.
    pub(crate) fn send(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("cannot send {signal} to {}", self.pid))
    }

    /// Waits until it ends, we are asked to stop, or `limit` has passed; in the last two cases ends the group.
    pub fn wait(&mut self, stop: &Stop, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if stop.is_asked() || start.elapsed() > limit {
                self.end_group(Signal::SIGTERM)?;
                stop.check()?;
                bail!("stopped: it ran longer than {} s", limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    /// Sends `signal` to the process alone, as an operator would. It may end what it started until `grace` has passed; then what
    /// is left of the group is killed.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn end(&mut self, signal: Signal, grace: Duration) -> Result<()> {
        self.signal(signal)?;
        self.kill_after(grace)
    }

    /// Sends `signal` to the group, waits a while, then kills what is left.
    pub fn end_group(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_none() {
            self.signal_all(signal);
        }
        self.kill_after(GRACE)
    }

    fn kill_after(&mut self, grace: Duration) -> Result<()> {
        let start = Instant::now();
        while self.ended()?.is_none() && start.elapsed() < grace {
            thread::sleep(POLL);
        }
        // Others of a group may outlive the first; one alone that was waited for is nobody's number any more.
        if self.has_group || self.ended()?.is_none() {
            self.signal_all(Signal::SIGKILL);
        }
        self.child.wait().context("cannot wait for a process's end")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal_all(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// An hour: longer than anything here should take.
pub const LONG: Duration = Duration::from_secs(3600);

/// Runs to the end with our own output; an error unless it succeeds.
pub fn succeed(command: &mut Command, stop: &Stop) -> Result<()> {
    succeed_within(command, stop, LONG)
}

/// The same where it may not take longer than `limit`.
///
/// # Errors
/// When it fails, takes longer, or a person asked us to end.
pub fn succeed_within(command: &mut Command, stop: &Stop, limit: Duration) -> Result<()> {
    let status = Process::start(command.stdin(Stdio::null()))?.wait(stop, limit)?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and returns what it printed; an error, with its complaint, unless it succeeds.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !out.status.success() {
        let complaint = String::from_utf8_lossy(&out.stderr);
        bail!("{} ended with {}: {}", shown(command), out.status, complaint.trim());
    }
    String::from_utf8(out.stdout).with_context(|| format!("{} printed something that is not UTF-8", shown(command)))
}

/// A command of `program`, with words before it, such as those of `taskset`.
pub fn under(words: &[impl AsRef<OsStr>], program: impl AsRef<OsStr>) -> Command {
    match words.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that were killed are gone once whoever inherits them has waited for them.
    fn is_gone(leader: &Process) {
        let start = Instant::now();
        while killpg(leader.pid, None).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(30), "something of the group is left");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_group_goes_with_its_leader() {
        let mut leader = Process::start(Command::new("sh").args(["-c", "sleep 600 & wait"])).unwrap();
        assert!(leader.ended().unwrap().is_none());
        leader.end_group(Signal::SIGTERM).unwrap();
        assert!(leader.ended().unwrap().is_some());
        is_gone(&leader);
    }

    #[test]
    fn a_leader_is_asked_alone_and_the_rest_goes_all_the_same() {
        let script = "trap 'exit 3' TERM; sh -c 'trap \"\" TERM; sleep 600' & while :; do sleep 0.01; done";
        let mut leader = Process::start(Command::new("sh").args(["-c", script])).unwrap();
        // It has to have set its trap.
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        leader.end(Signal::SIGTERM, Duration::from_secs(60)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(leader.ended().unwrap().unwrap().code(), Some(3));
        is_gone(&leader);
    }
}
