//! Where lines go: each thread appends to a buffer that is its own in practice, and one thread writes all buffers out,
//! many lines at a time. A line costs its thread no system call and no wait.

use std::cell::Cell;
use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use tracing::Event;

use crate::Format;
use crate::line::{self, Stamp};

/// Threads that write to buffers of their own; more of them share.
const BUFFERS: usize = 16;

/// Bytes that may wait in each buffer. With the two halves of each this bounds the log's memory.
const MOST_WAITING: usize = 1 << 20;

/// How long lines gather before they are written together. A lone line after a silence is written at once.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end of the process waits for what was logged.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a buffer keeps of its memory when it is quiet again.
const KEPT: usize = 256 << 10;

thread_local! {
    /// Whether this thread is writing a line, and holds a buffer.
    static IS_WRITING: Cell<bool> = const { Cell::new(false) };
}

/// Takes events. Held by the subscriber, so for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Sink {
    format: Format,
    shared: Arc<SinkState>,
    writer: Thread,
}

/// Held by the sink and by the writing thread.
#[derive(Debug, Default)]
struct SinkState {
    buffers: [Mutex<Buffer>; BUFFERS],
    left_out: AtomicU64,
    /// The writing thread found nothing to write and waits to be woken.
    is_asleep: AtomicBool,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    stamp: Stamp,
}

/// Held by `main`. Dropped, it waits until what was logged is written, at most two seconds.
#[derive(Debug)]
#[must_use = "the log's end is lost unless this lives as long as the program"]
pub struct Guard {
    flush: Sender<SyncSender<()>>,
    writer: Thread,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        if self.flush.send(done).is_ok() {
            self.writer.unpark();
            // That it took too long cannot be told anywhere.
            let _ = written.recv_timeout(LAST_WORDS);
        }
    }
}

/// Starts the writing thread. It ends when nobody can log any more.
pub(crate) fn start(format: Format, out: impl Write + Send + 'static) -> io::Result<(Sink, Guard)> {
    let shared = Arc::new(SinkState::default());
    let (flush, flushes) = channel();
    let writing = shared.clone();
    let handle =
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&writing, &flushes, format, out))?;
    let writer = handle.thread().clone();
    Ok((Sink { format, shared, writer: writer.clone() }, Guard { flush, writer }))
}

impl SinkState {
    /// This thread's buffer. Others hold it only as long as it takes to write a line, or to take the lines out.
    fn own(&self) -> MutexGuard<'_, Buffer> {
        // A value's `fmt` panicked: what it wrote until then was taken back.
        self.buffers[kernel::thread::number() % BUFFERS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Adds a line to this thread's buffer.
    pub(crate) fn write(&self, event: &Event<'_>) {
        /// Takes an unfinished line back, should the value's `fmt` panic.
        struct Whole<'a>(MutexGuard<'a, Buffer>, usize);
        impl Drop for Whole<'_> {
            fn drop(&mut self) {
                self.0.lines.truncate(self.1);
                IS_WRITING.set(false);
            }
        }
        // A value whose `fmt` logs in turn: its line would stand in the middle of this one.
        if IS_WRITING.get() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let buffer = self.shared.own();
        let length = buffer.lines.len();
        if length >= MOST_WAITING {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        IS_WRITING.set(true);
        let mut whole = Whole(buffer, length);
        let Buffer { lines, stamp } = &mut *whole.0;
        #[expect(clippy::disallowed_methods, reason = "a line tells when it was written; nothing is decided by it")]
        let now = std::time::SystemTime::now();
        line::write(event, self.format, now, stamp, lines);
        whole.1 = lines.len();
        drop(whole);
        // The writer says that it sleeps before it looks at the buffers once more, each under its lock. So a thread
        // that appended after that look sees it asleep.
        if self.shared.is_asleep.load(Ordering::Relaxed) && self.shared.is_asleep.swap(false, Ordering::Relaxed) {
            self.writer.unpark();
        }
    }
}

fn write_all(shared: &Arc<SinkState>, flushes: &Receiver<SyncSender<()>>, format: Format, mut out: impl Write) {
    let mut lines = Vec::new();
    loop {
        // Before the buffers are looked at, so that everything logged before the question is written.
        let asked = flushes.try_recv();
        let mut found = false;
        for buffer in &shared.buffers {
            let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut buffer.lines, &mut lines);
            drop(buffer);
            if !lines.is_empty() {
                found = true;
                // A log that cannot be written (a closed pipe, a full disk) must not take the program with it.
                let _ = out.write_all(&lines);
                lines.clear();
            }
            lines.shrink_to(KEPT);
        }
        let count = shared.left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            let message = format!("{count} log lines left out: the log's reader is too slow");
            let _ = match format {
                Format::Text => writeln!(out, "WARN {message}"),
                Format::Json => writeln!(out, "{{\"level\":\"WARN\",\"message\":\"{message}\"}}"),
            };
        }
        if let Ok(done) = asked {
            let _ = out.flush();
            let _ = done.send(());
        } else if found {
            shared.is_asleep.store(false, Ordering::Relaxed);
            thread::park_timeout(GATHER);
        } else if Arc::strong_count(shared) == 1 {
            return;
        } else if shared.is_asleep.swap(true, Ordering::Relaxed) {
            // The buffers were looked at since it was said, and nothing was there. Woken by a line, by the guard, and
            // now and then to see whether anybody can log still.
            thread::park_timeout(Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender};

    use super::*;

    fn all(sink: Sink) -> crate::Log {
        crate::Log { filter: crate::filter::parse("trace").unwrap(), sink }
    }

    /// A writer that begins to write when it is signalled.
    struct SlowWriter {
        told: Receiver<()>,
        seen: Sender<String>,
    }

    impl Write for SlowWriter {
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
        let (tell, told) = channel();
        let (seen, read) = channel();
        let (sink, guard) = start(Format::Text, SlowWriter { told, seen }).unwrap();
        let long = "x".repeat(1000);
        // More than both halves of this thread's buffer hold.
        let logged = 2 * MOST_WAITING / long.len() + 100;
        tracing::subscriber::with_default(all(sink), || {
            for number in 0..logged {
                tracing::info!(number, long, "line");
            }
        });
        drop(tell);
        drop(guard);
        let text: String = read.try_iter().collect();
        let kept = text.lines().filter(|line| line.contains(" line number=")).count();
        assert!(kept > MOST_WAITING / 2 / long.len() && kept < logged, "{kept} of {logged}");
        assert!(text.contains(&format!("WARN {} log lines left out", logged - kept)), "{kept} of {logged}");
    }

    #[test]
    fn lines_of_many_threads_all_arrive_whole_and_each_threads_in_order() {
        let (tell, told) = channel();
        let (seen, read) = channel();
        drop(tell);
        let (sink, guard) = start(Format::Text, SlowWriter { told, seen }).unwrap();
        let dispatch = tracing::Dispatch::new(all(sink));
        thread::scope(|scope| {
            for who in 0..2 * BUFFERS {
                let dispatch = dispatch.clone();
                scope.spawn(move || {
                    tracing::dispatcher::with_default(&dispatch, || {
                        (0..200).for_each(|n| tracing::info!(who, n, "said"))
                    });
                });
            }
        });
        drop(guard);
        let text: String = read.try_iter().collect();
        for who in 0..2 * BUFFERS {
            let said: Vec<usize> = text
                .lines()
                .filter_map(|line| line.split_once(&format!(" INFO said who={who} n="))?.1.parse().ok())
                .collect();
            assert_eq!(said, (0..200).collect::<Vec<_>>(), "thread {who}");
        }
    }

    #[test]
    fn a_line_after_a_silence_is_written_by_itself() {
        let (tell, told) = channel();
        let (seen, read) = channel();
        drop(tell);
        let (sink, _guard) = start(Format::Text, SlowWriter { told, seen }).unwrap();
        tracing::subscriber::with_default(all(sink), || {
            for number in 0..3 {
                tracing::info!(number, "line");
                assert!(read.recv_timeout(Duration::from_secs(30)).unwrap().contains(&format!("number={number}")));
            }
        });
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
        let (sink, guard) = start(Format::Json, Gone).unwrap();
        tracing::subscriber::with_default(all(sink), || tracing::info!("lost"));
        drop(guard);
    }
}
