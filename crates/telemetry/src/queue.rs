use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::Format;

/// Lines that may wait for the writing thread. At some 200 bytes a line this bounds the memory to a few megabytes.
const MOST_WAITING: usize = 16 * 1024;

/// How long the end of the process waits for what was logged.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where lines go in. Held by the subscriber, so for as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: SyncSender<Entry>,
    left_out: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Everything before it is to be written, then this answered.
    Flush(SyncSender<()>),
}

/// Held by `main`. Dropped, it waits until what was logged is written, at most two seconds.
#[derive(Debug)]
#[must_use = "the log's end is lost unless this lives as long as the program"]
pub struct Guard {
    sender: SyncSender<Entry>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        // A full queue means a reader that does not read: it gets two seconds to begin.
        let mut entry = Entry::Flush(done);
        for _ in 0..LAST_WORDS.as_millis() / 10 {
            match self.sender.try_send(entry) {
                Ok(()) => {
                    // That it took too long cannot be told anywhere.
                    let _ = written.recv_timeout(LAST_WORDS);
                    return;
                }
                Err(TrySendError::Full(back)) => {
                    entry = back;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

/// Starts the writing thread. It ends when nobody can log any more.
pub(crate) fn start(format: Format, out: impl Write + Send + 'static) -> io::Result<(Queue, Guard)> {
    let (sender, receiver) = sync_channel(MOST_WAITING);
    let left_out = Arc::new(AtomicU64::new(0));
    let queue = Queue { sender: sender.clone(), left_out: left_out.clone() };
    thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&receiver, &left_out, format, out))?;
    Ok((queue, Guard { sender }))
}

fn write_all(receiver: &Receiver<Entry>, left_out: &AtomicU64, format: Format, mut out: impl Write) {
    // A log that cannot be written (a closed pipe, a full disk) must not take the program with it.
    while let Ok(entry) = receiver.recv() {
        match entry {
            Entry::Line(line) => {
                let _ = out.write_all(&line);
            }
            Entry::Flush(done) => {
                let _ = out.flush();
                let _ = done.send(());
            }
        }
        let count = left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            let message = format!("{count} log lines left out: the log's reader is too slow");
            let _ = match format {
                Format::Text => writeln!(out, "WARN {message}"),
                Format::Json => writeln!(out, "{{\"level\":\"WARN\",\"message\":\"{message}\"}}"),
            };
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Queue {
    /// Takes one event's whole text, as the subscriber hands it over, and makes one line of it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match self.sender.try_send(Entry::Line(one_line(event))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes what would begin a new line or steer a terminal, so that nothing in an event can pass for another event.
fn one_line(event: &[u8]) -> Vec<u8> {
    let text = event.strip_suffix(b"\n").unwrap_or(event);
    let mut line = Vec::with_capacity(text.len() + 1);
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => line.push(b'\t'),
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    line.extend(c.escape_default().collect::<String>().bytes())
                }
                c => line.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend("\u{fffd}".bytes());
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    /// A reader that begins to read when it is told.
    struct Slow {
        told: Receiver<()>,
        seen: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Told once, it hears the sender go, and goes on for ever.
            let _ = self.told.recv();
            self.seen.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_holds_nobody_up_and_is_told_what_it_missed() {
        let (tell, told) = std::sync::mpsc::channel();
        let (seen, lines) = std::sync::mpsc::channel();
        let (mut queue, guard) = start(Format::Text, Slow { told, seen }).unwrap();
        for number in 0..MOST_WAITING + 100 {
            queue.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        drop(tell);
        drop(guard);
        let text: String = lines.try_iter().collect();
        let kept = text.lines().filter(|line| line.starts_with("line ")).count();
        assert!((MOST_WAITING..=MOST_WAITING + 1).contains(&kept), "{kept}");
        assert!(text.contains(&format!("{} log lines left out", MOST_WAITING + 100 - kept)), "{kept}");
    }

    #[test]
    fn a_reader_that_is_gone_harms_nobody() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let (mut queue, guard) = start(Format::Json, Gone).unwrap();
        queue.write_all(b"lost\n").unwrap();
        drop(guard);
    }
}
