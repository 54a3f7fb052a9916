use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process;

use kernel::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::{serve, terminal};
use app::StartError;

type Result<T> = std::result::Result<T, StartError>;

/// More than any password may have.
const LONGEST_LINE: u64 = 64 * 1024;

/// Asks twice for a new password on a terminal, without showing it; or reads one line of standard input when that is no
/// terminal or `is_piped` says so.
pub(super) fn new_password(is_piped: bool) -> Result<Secret<String>> {
    if is_piped || !io::stdin().is_terminal() {
        return line();
    }
    let first = ask("Password for the new account: ")?;
    if first != ask("The same again: ")? {
        return Err(StartError::new("the two passwords differ; nothing was done"));
    }
    Ok(first)
}

fn ask(question: &str) -> Result<Secret<String>> {
    let mut terminal = io::stderr();
    let asked = terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush());
    asked.map_err(|error| StartError::caused("cannot ask for a password", error))?;
    let hidden = Hidden::new().map_err(|error| {
        StartError::caused("cannot hide what is typed; give the password on standard input instead", error)
    })?;
    let password = line();
    drop(hidden);
    // The line end that was typed was hidden too.
    terminal::note("");
    password
}

fn line() -> Result<Secret<String>> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut text);
    read.map_err(|error| StartError::caused("cannot read the password", error))?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if password.is_empty() {
        return Err(StartError::new("there was no password on standard input; write it as one line"));
    }
    Ok(Secret::new(password.to_owned()))
}

/// Does work that may ask for a password. A signal that ends the program meanwhile leaves the terminal as it was:
/// by itself it would go on hiding what is typed into the shell.
///
/// # Errors
/// When signals cannot be heard.
pub(super) async fn interruptible<T>(program: &str, work: impl Future<Output = T>) -> Result<T> {
    // Where standard input is no terminal, there is nothing to restore.
    let before = tcgetattr(io::stdin()).ok();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
    let listen = |kind| signal(kind).map_err(|error| StartError::caused("cannot listen for signals", error));
    let mut hangup = if serve::ignores_hangup() { None } else { Some(listen(kinds[2])?) };
    let [mut interrupt, mut terminate, mut quit] = [listen(kinds[0])?, listen(kinds[1])?, listen(kinds[3])?];
    let kind = tokio::select! {
        done = work => return Ok(done),
        _ = interrupt.recv() => kinds[0],
        _ = terminate.recv() => kinds[1],
        () = serve::heard(hangup.as_mut()) => kinds[2],
        _ = quit.recv() => kinds[3],
    };
    if let Some(before) = before {
        // As below: it may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
        // The question has no line end.
        terminal::note("");
    }
    terminal::complain(program, "interrupted; the same command may be run again");
    // As a shell tells a death by this signal.
    process::exit(128 + kind.as_raw_value());
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal may be gone, and then there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
