//! How long a connection is borne with: one that asks for nothing, or never ends its head; an answer that its reader does
//! not take, whether the socket or HTTP/2's flow control holds it back; one that sends frames which carry nothing.
//!
//! One timer for each connection looks at all of it now and then. hyper's own, which watches HTTP/1's heads alone, would be
//! made and taken out of the runtime's wheel for every request.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::answers::Held;
use crate::{Body, ServerSettings};

/// So much of an answer must be taken within each `write_timeout_ms`: 1.6 KB/s with the default. One byte now and then
/// would keep it, and its memory, for ever.
pub(crate) const STEP: usize = 16 * 1024;

/// What is known of one connection. Held by its task, which asks; its socket, its requests and its answers tell.
#[derive(Debug)]
pub(crate) struct Watch {
    idle: Duration,
    write: Duration,
    is_cut: AtomicBool,
    /// Whether a head has said twice how long its body is.
    is_ambiguous: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests whose answer has not wholly left.
    open: usize,
    /// Since when there is none.
    idle_since: Instant,
    /// Answers with a body that waits to be taken.
    waiting: Vec<Waiting>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    /// When the last [`STEP`] of it was taken, and how much since then.
    moved_at: Instant,
    moved: usize,
}

/// What a look at a connection says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// All is well until then.
    Again(Instant),
    /// Its client asks for nothing, or does not come to the end of a head.
    Idle,
    /// Its client does not take its answer.
    Stuck,
}

impl Watch {
    pub(crate) fn new(settings: &ServerSettings) -> Arc<Self> {
        let state = State { open: 0, idle_since: Instant::now(), waiting: Vec::new(), next: 0 };
        Arc::new(Self {
            idle: settings.header_timeout(),
            write: settings.write_timeout(),
            is_cut: AtomicBool::new(false),
            is_ambiguous: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// A timeout has expired: the socket is to be closed at once, and what waits for the client is dropped.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// A head has said twice how long its body is.
    pub(crate) fn doubt(&self) {
        self.is_ambiguous.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous.load(Ordering::Relaxed)
    }

    /// Whether a request has begun and its answer has not wholly left.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open > 0
    }

    /// A request has begun. It is over when what this returns is gone.
    pub(crate) fn enter(self: &Arc<Self>) -> Open {
        self.state().open += 1;
        Open(self.clone())
    }

    /// The process woke then: what it slept through counts against no client, whose bytes may have come meanwhile.
    pub(crate) fn woke(&self, at: Instant) {
        let mut state = self.state();
        state.idle_since = state.idle_since.max(at);
        state.waiting.iter_mut().for_each(|waiting| waiting.moved_at = waiting.moved_at.max(at));
    }

    /// Whether a timeout has expired.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let state = self.state();
        // Whatever begins after this look ends later than that.
        let mut next = now + self.idle.min(self.write);
        for waiting in &state.waiting {
            next = next.min(waiting.moved_at + self.write);
        }
        if next <= now {
            return Look::Stuck;
        }
        if state.open == 0 {
            next = next.min(state.idle_since + self.idle);
        }
        if next > now { Look::Again(next) } else { Look::Idle }
    }

    /// So much of this answer was taken.
    fn taken(&self, number: u64, count: usize, now: Instant) {
        if let Some(waiting) = self.state().waiting.iter_mut().find(|waiting| waiting.number == number) {
            waiting.moved += count;
            if waiting.moved >= STEP {
                waiting.moved = 0;
                waiting.moved_at = now;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has begun and whose answer has not wholly left.
#[derive(Debug)]
pub(crate) struct Open(Arc<Watch>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        if state.open == 0 {
            state.idle_since = Instant::now();
        }
    }
}

/// An answer's body on its way out.
#[derive(Debug)]
pub(crate) struct Watched {
    body: Body,
    open: Option<Open>,
}

impl Watched {
    pub(crate) const fn new(body: Body, open: Open) -> Self {
        Self { body, open: Some(open) }
    }
}

impl http_body::Body for Watched {
    type Data = Piece;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, std::convert::Infallible>>> {
        let (bytes, held) = std::mem::take(&mut self.body).into_parts();
        let piece = bytes.zip(self.open.take()).map(|(bytes, open)| Piece::new(bytes, held, open));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() as u64)
    }
}

/// Bytes that tell the connection's watch how they are taken. Their holder, hyper or HTTP/2's flow control, drops them
/// once they have left.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    _held: Option<Box<Held>>,
    number: u64,
    open: Open,
}

impl Piece {
    fn new(bytes: Bytes, held: Option<Box<Held>>, open: Open) -> Self {
        let mut state = open.0.state();
        let number = state.next;
        state.next += 1;
        state.waiting.push(Waiting { number, moved_at: Instant::now(), moved: 0 });
        drop(state);
        Self { bytes, _held: held, number, open }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        // The drop that follows reports the last of it.
        if !self.bytes.is_empty() {
            self.open.0.taken(self.number, count, Instant::now());
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let number = self.number;
        self.open.0.state().waiting.retain(|waiting| waiting.number != number);
    }
}

/// Counts an HTTP/2 client's frames by their heads (RFC 9113 section 4.1), and says when too many carried nothing:
/// floods of PING, SETTINGS, RST_STREAM, empty DATA and the like cost the server more than the client (RFC 9113 section
/// 10.5).
#[derive(Debug)]
pub(crate) struct Frames {
    /// Bytes of the present frame's payload that are still to come.
    skip: usize,
    head: [u8; 9],
    seen: usize,
    /// What may still come for nothing in this span.
    credit: i64,
    span_began: Instant,
}

/// Frames for nothing in each span: a client that keeps a connection alive needs one, a busy one some for each request.
const CREDIT: i64 = 1000;
const SPAN: Duration = Duration::from_secs(10);

impl Frames {
    /// For a connection whose preface has just been read.
    pub(crate) fn new() -> Self {
        Self { skip: 0, head: [0; 9], seen: 0, credit: CREDIT, span_began: Instant::now() }
    }

    /// What was sent to the client pays for the WINDOW_UPDATEs that acknowledge it.
    pub(crate) const fn sent(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_add((bytes / 1024) as i64);
    }

    /// Takes what was read; whether it may go on.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = &bytes[count..];
                continue;
            }
            let count = (self.head.len() - self.seen).min(bytes.len());
            self.head[self.seen..self.seen + count].copy_from_slice(&bytes[..count]);
            self.seen += count;
            bytes = &bytes[count..];
            if self.seen == self.head.len() {
                self.seen = 0;
                self.count();
            }
        }
        if self.credit < 0 && self.span_began.elapsed() >= SPAN {
            self.credit = CREDIT;
            self.span_began = Instant::now();
        }
        self.credit >= 0
    }

    fn count(&mut self) {
        let [high, middle, low, kind, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.credit += match kind {
            // DATA of some size, and HEADERS.
            0 if self.skip >= 64 => 1,
            1 => 1,
            // A request that is taken back costs what it gave and more.
            3 => -2,
            _ => -1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, 0, 0, 0, 0, 1];
        frame.resize(9 + length, b'x');
        frame
    }

    #[test]
    fn frames_that_carry_nothing_are_counted_however_they_are_cut() {
        // PING, SETTINGS, empty DATA, WINDOW_UPDATE, an unknown kind.
        for (kind, length) in [(6, 8), (4, 0), (0, 0), (8, 4), (99, 5)] {
            for cut in [1, 7, 9, 4096] {
                let mut frames = Frames::new();
                let flood = frame(kind, length).repeat(1000);
                assert!(flood.chunks(cut).all(|bytes| frames.take(bytes)), "kind {kind}: a thousand are borne");
                assert!(!frames.take(&frame(kind, length)), "kind {kind}: one more is not");
            }
        }
    }

    #[test]
    fn a_client_with_something_to_say_may_go_on() {
        let mut frames = Frames::new();
        for _ in 0..100_000 {
            // A request with a body, and the acknowledgement of an answer.
            assert!(frames.take(&frame(1, 20)) && frames.take(&frame(0, 100)) && frames.take(&frame(8, 4)));
        }
        // A download.
        let mut frames = Frames::new();
        for _ in 0..100_000 {
            frames.sent(16 * 1024);
            assert!(frames.take(&frame(8, 4)) && frames.take(&frame(8, 4)));
        }
    }

    #[test]
    fn requests_that_are_taken_back_are_borne_for_a_while() {
        let mut frames = Frames::new();
        let pairs = (0..10_000).take_while(|_| frames.take(&frame(1, 20)) && frames.take(&frame(3, 4))).count();
        assert_eq!(pairs, 1000);
    }

    #[test]
    fn an_answer_must_be_taken_step_by_step() {
        let settings = ServerSettings { write_timeout_ms: 10_000, header_timeout_ms: 10_000, ..Default::default() };
        let (watch, second) = (Watch::new(&settings), Duration::from_secs(1));
        let piece = Piece::new(vec![0; 100 * STEP].into(), None, watch.enter());
        let mut now = Instant::now();
        for _ in 0..50 {
            now += 9 * second;
            assert!(watch.look(now) != Look::Stuck, "each step in time");
            watch.taken(piece.number, STEP, now);
        }
        for _ in 0..9 {
            now += second;
            watch.taken(piece.number, 10, now);
            assert!(watch.look(now) != Look::Stuck);
        }
        assert_eq!(watch.look(now), Look::Again(now + second), "it looks again when the time is up");
        now += second;
        assert_eq!(watch.look(now), Look::Stuck, "a little now and then is not enough");
        drop(piece);
        assert!(watch.look(Instant::now()) != Look::Stuck, "nothing waits any more");
    }

    #[test]
    fn what_the_process_slept_through_counts_against_no_client() {
        let settings = ServerSettings { write_timeout_ms: 10_000, header_timeout_ms: 10_000, ..Default::default() };
        let (watch, second) = (Watch::new(&settings), Duration::from_secs(1));
        let woke = Instant::now() + 11 * second;
        assert_eq!(watch.look(woke), Look::Idle);
        watch.woke(woke);
        assert_eq!(watch.look(woke), Look::Again(woke + 10 * second), "its request may be there, unread");
        let piece = Piece::new(vec![0; 100].into(), None, watch.enter());
        let woke = woke + 11 * second;
        assert_eq!(watch.look(woke), Look::Stuck);
        watch.woke(woke);
        assert_eq!(watch.look(woke), Look::Again(woke + 10 * second), "its reader may have made room");
        // The same once more is no news.
        watch.woke(woke);
        assert_eq!(watch.look(woke + 10 * second), Look::Stuck);
        drop(piece);
    }

    #[test]
    fn a_connection_that_asks_for_nothing_is_not_kept() {
        let settings = ServerSettings { header_timeout_ms: 10_000, ..Default::default() };
        let watch = Watch::new(&settings);
        let later = || Instant::now() + Duration::from_secs(11);
        assert!(matches!(watch.look(Instant::now()), Look::Again(_)));
        assert_eq!(watch.look(later()), Look::Idle, "nothing was ever asked");
        let open = watch.enter();
        assert!(matches!(watch.look(later()), Look::Again(_)), "a request runs");
        drop(open);
        assert!(matches!(watch.look(Instant::now()), Look::Again(_)), "it has just been answered");
        assert_eq!(watch.look(later()), Look::Idle);
    }
}
