//! The one thread that writes. Transactions run strictly one after another, a savepoint each; those that wait are taken
//! into one group with one commit and one fsync, and are acknowledged only after it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::connection::{self, Role};
use super::failure::map;
use super::file_identity::FileIdentity;
use super::queued_tx::{Parker, QueuedTx, Ran};
use super::{ffi, interrupt, writer_connection};
use crate::fair_queue::{Caller, FairChannel};
use crate::health::Health;
use crate::{StoreError, Violation, ViolationKind};

/// The most transactions that share a commit.
const MOST: usize = 512;
/// How long a group takes in transactions; the first of them waits for as long.
const LONGEST: Duration = Duration::from_millis(10);

/// What the writer is asked to do.
pub(crate) enum WriterJob {
    /// A transaction.
    QueuedTx(Box<dyn QueuedTx>),
    /// Something that needs the connection for itself: migrations.
    Alone(Box<dyn FnOnce(&mut Connection) + Send>),
}

impl fmt::Debug for WriterJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriterJob")
    }
}

/// The way to the writer's thread. The thread ends when this is dropped or closed, after everything queued is done.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<FairChannel<WriterJob>>,
    alive: Arc<AtomicBool>,
    ended: watch::Receiver<bool>,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        files: Arc<FileIdentity>,
        health: Arc<Health>,
        wait: Duration,
        queue: usize,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(FairChannel::new(1, queue));
        let (end, ended) = watch::channel(false);
        let alive = Arc::new(AtomicBool::new(true));
        let (is_alive, runtime, receiver) = (alive.clone(), Handle::current(), queue.clone());
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            // Closures may ask for the time, or create a timer; without a runtime that would panic.
            let _runtime = runtime.enter();
            let thread = WriterThread {
                queue: receiver,
                served: Cell::new(None),
                parker: Parker::new(),
                kept_back: Cell::new(None),
                files,
                health,
                wait,
            };
            writer_connection::put(Some(connection));
            // A panic in there is a bug in the server: waiting callers get an error, and a new connection goes on.
            while catch_unwind(AssertUnwindSafe(|| thread.serve())).is_err() {
                tracing::error!("the writer panicked and begins anew");
                writer_connection::put(None);
            }
            is_alive.store(false, Ordering::Release);
            if thread.files.check().is_err() {
                // Closed in good order it would remove the log that stands there now, which may be that of a database
                // somebody has put back.
                std::mem::forget(writer_connection::clear());
                let _ = end.send(true);
                return;
            }
            // Moves the log into the database. Readers may hold it back; nothing is lost then, only left in the log.
            let _ = writer_connection::with(|connection| {
                Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
            });
            writer_connection::put(None);
            let _ = end.send(true);
        })?;
        Ok(Self { queue, alive, ended })
    }

    /// Hands work over, unless there is no room for it or the store is closed.
    pub(crate) fn submit(&self, caller: Caller, work: WriterJob) -> Result<(), StoreError> {
        self.queue.send(caller, work, |refused| {
            if let WriterJob::QueuedTx(mut queued_tx) = refused {
                queued_tx.fail(StoreError::Busy);
                queued_tx.settle();
            }
        })
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Takes nothing more.
    pub(crate) fn shut(&self) {
        self.queue.close();
    }

    /// Waits until everything that was queued is done and the connection is closed.
    pub(crate) async fn ended(&self) {
        // The sender is dropped only when the thread is gone.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shut();
    }
}

struct WriterThread {
    queue: Arc<FairChannel<WriterJob>>,
    /// Whose work was taken last.
    served: Cell<Option<Caller>>,
    parker: Arc<Parker>,
    /// Work that came while a group was open and does not belong into one.
    kept_back: Cell<Option<WriterJob>>,
    files: Arc<FileIdentity>,
    health: Arc<Health>,
    wait: Duration,
}

/// Whether a group takes in members that come while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    More,
    NoMore,
}

/// What became of a member's place in the group.
enum QueuePosition {
    /// It has one: done, kept or undone.
    In,
    /// SQLite rolled the whole group back.
    Lost,
}

/// A member that has had its turn.
struct Done {
    queued_tx: Box<dyn QueuedTx>,
    ran: Ran,
}

impl WriterThread {
    fn serve(&self) {
        while let Some(work) = self.kept_back.take().or_else(|| self.next()) {
            self.reopen();
            match work {
                WriterJob::Alone(work) => {
                    let ran = writer_connection::with(|connection| {
                        work(connection);
                        Ok(())
                    });
                    if let Err(error) = ran {
                        tracing::error!(error = &error as &dyn std::error::Error, "the writer is away");
                    }
                }
                WriterJob::QueuedTx(first) => self.group(VecDeque::from([first]), Take::More),
            }
        }
    }

    fn next(&self) -> Option<WriterJob> {
        let (caller, work) = self.queue.receive(self.served.take())?;
        self.served.set(Some(caller));
        Some(work)
    }

    /// Opens a connection again after an error took it away.
    fn reopen(&self) {
        if writer_connection::is_empty() {
            let opened = self.files.check().and_then(|()| {
                connection::open(self.files.path(), Role::Writer, self.wait).map_err(|error| map(error, None))
            });
            match opened {
                Ok(connection) => writer_connection::put(Some(connection)),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the writer cannot open the database");
                }
            }
        }
    }

    /// Runs these members, and if told so those that come while they run, and commits them together.
    fn group(&self, mut waiting: VecDeque<Box<dyn QueuedTx>>, mut take: Take) {
        loop {
            let Some(first) = waiting.front() else { return };
            let begun =
                self.files.check().and_then(|()| interrupt::during(first.limit(), || command("BEGIN IMMEDIATE")));
            let Err(error) = begun else { break };
            self.health.failed(&error);
            // The next one tries again: the cause may have been the first one's own deadline.
            if let Some(mut first) = waiting.pop_front() {
                first.fail(error);
                first.settle();
            }
        }
        let began = Instant::now();
        let mut done: Vec<Done> = Vec::new();
        while let Some(mut queued_tx) = waiting.pop_front() {
            if queued_tx.is_gone() {
                // Nobody waits for it: not even begun.
            } else if queued_tx.limit().is_up() {
                queued_tx.fail(StoreError::Timeout);
                queued_tx.settle();
            } else {
                let (ran, place) = self.turn(&mut *queued_tx);
                done.push(Done { queued_tx, ran });
                if let QueuePosition::Lost = place {
                    return self.lost(done, waiting);
                }
            }
            if take == Take::More && waiting.is_empty() && done.len() < MOST && began.elapsed() < LONGEST {
                match self.queue.try_receive(&self.served) {
                    Some(WriterJob::QueuedTx(queued_tx)) => waiting.push_back(queued_tx),
                    Some(alone) => {
                        self.kept_back.set(Some(alone));
                        take = Take::NoMore;
                    }
                    None => {}
                }
            }
        }
        let kept = done.iter().any(|done| done.ran == Ran::Keep);
        let Err(error) = command(if kept { "COMMIT" } else { "ROLLBACK" }) else {
            if kept {
                self.acknowledge(&mut done);
            }
            return done.into_iter().for_each(|done| done.queued_tx.settle());
        };
        tracing::warn!(error = &error as &dyn std::error::Error, members = done.len(), "a shared commit failed");
        self.health.failed(&error);
        roll_back();
        if let [only] = &mut done[..] {
            if kept {
                only.queued_tx.fail(error);
            }
            done.into_iter().for_each(|done| done.queued_tx.settle());
        } else {
            self.singly(done.into_iter());
        }
    }

    /// The last check before commits are acknowledged: are they kept where they will be found? The commit itself would
    /// not have noticed.
    fn acknowledge(&self, done: &mut [Done]) {
        let found = self.files.check();
        match &found {
            Ok(()) => self.health.wrote(),
            Err(error) => self.health.failed(error),
        }
        if let Err(error) = found {
            let mut first = Some(error);
            for done in done.iter_mut().filter(|done| done.ran == Ran::Keep) {
                let again = || StoreError::unavailable("the database's file was removed or replaced while it was open");
                done.queued_tx.fail(first.take().unwrap_or_else(again));
            }
        }
    }

    /// One member's turn: its closure in a savepoint.
    fn turn(&self, queued_tx: &mut dyn QueuedTx) -> (Ran, QueuePosition) {
        if let Err(error) = command("SAVEPOINT member") {
            queued_tx.fail(error);
            roll_back();
            return (Ran::Undo, QueuePosition::Lost);
        }
        let mut ran = queued_tx.run(&self.parker);
        // An interrupted write, a full disk and an I/O error make SQLite roll everything back.
        if !is_open() {
            if ran == Ran::Keep {
                // Some statement of it must have failed, so this does not happen; if it did, nothing was kept.
                queued_tx.fail(StoreError::internal("the transaction was rolled back under its closure"));
                ran = Ran::Undo;
            }
            return (ran, QueuePosition::Lost);
        }
        if ran == Ran::Keep {
            let violated =
                writer_connection::with(|connection| Ok(ffi::has_deferred_violations(connection))).unwrap_or(true);
            if violated {
                queued_tx.fail(StoreError::Violation(Violation::bare(ViolationKind::ForeignKey)));
                ran = Ran::Undo;
            } else if queued_tx.is_gone() {
                // It was told that its time is up, or hung up: then it had better not happen.
                ran = Ran::Over;
            }
        }
        let ended = match ran {
            Ran::Keep => command("RELEASE member"),
            Ran::Undo | Ran::Over => command("ROLLBACK TO member").and_then(|()| command("RELEASE member")),
        };
        match ended {
            Ok(()) => (ran, QueuePosition::In),
            Err(error) => {
                if ran == Ran::Keep {
                    queued_tx.fail(error);
                }
                roll_back();
                (if ran == Ran::Keep { Ran::Undo } else { ran }, QueuePosition::Lost)
            }
        }
    }

    /// SQLite rolled the group back during the last member's turn. What that one did is over if it was interrupted; the
    /// others did nothing wrong and run again, together then. Otherwise each runs by itself.
    fn lost(&self, mut done: Vec<Done>, waiting: VecDeque<Box<dyn QueuedTx>>) {
        let interrupted = done.last().is_some_and(|last| last.ran == Ran::Over);
        if done.len() == 1 && waiting.is_empty() && !interrupted {
            // It was alone: its own error is the answer.
            done.into_iter().for_each(|done| done.queued_tx.settle());
        } else if interrupted {
            if let Some(last) = done.pop() {
                last.queued_tx.settle();
            }
            let mut again = VecDeque::with_capacity(done.len() + waiting.len());
            for done in done {
                match done.ran {
                    Ran::Over => done.queued_tx.settle(),
                    Ran::Keep | Ran::Undo => again.push_back(done.queued_tx),
                }
            }
            again.extend(waiting);
            self.group(again, Take::NoMore);
        } else {
            let waiting = waiting.into_iter().map(|queued_tx| Done { queued_tx, ran: Ran::Undo });
            self.singly(done.into_iter().chain(waiting));
        }
    }

    /// Runs each by itself, with a commit of its own, so that each gets its own answer.
    fn singly(&self, done: impl Iterator<Item = Done>) {
        for Done { queued_tx, ran } in done {
            match ran {
                Ran::Over => queued_tx.settle(),
                Ran::Keep | Ran::Undo => self.group(VecDeque::from([queued_tx]), Take::NoMore),
            }
        }
    }
}

/// Runs one of the writer's own statements.
fn command(sql: &str) -> Result<(), StoreError> {
    writer_connection::with(|connection| {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.raw_execute())
            .map_err(|error| map(error, None))?;
        Ok(())
    })
}

/// Whether the transaction is still open.
fn is_open() -> bool {
    writer_connection::with(|connection| Ok(!connection.is_autocommit())).unwrap_or(false)
}

/// Ends whatever is open. It may be that nothing is: SQLite has rolled back by itself then.
fn roll_back() {
    if is_open()
        && let Err(error) = command("ROLLBACK")
    {
        tracing::error!(error = &error as &dyn std::error::Error, "the writer cannot roll back and begins anew");
        writer_connection::put(None);
    }
}
