use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::RequestError;
use crate::answers::Held;
use crate::body_memory::{BodyMemory, BodyPlace, Pool, SMALL, STEP, STEP_TIME, UNIT};

/// A response's body. Whole for now; a stream becomes a second variant.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Option<Bytes>,
    /// The memory of a large one, until it has left.
    held: Option<Box<Held>>,
}

impl Body {
    /// A body of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { bytes: if bytes.is_empty() { None } else { Some(bytes) }, held: None }
    }

    /// No body.
    pub const fn empty() -> Self {
        Self { bytes: None, held: None }
    }

    /// The bytes, if there are any.
    pub const fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    /// Counts its memory until it has left.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(Box::new(held));
    }

    /// The bytes, taken out, and the memory they are counted by.
    pub(crate) fn into_parts(self) -> (Option<Bytes>, Option<Box<Held>>) {
        (self.bytes, self.held)
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_none()
    }
}

/// The next piece of what comes in, none at the end.
async fn frame(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx)).await
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

/// A request's body: from a connection, or whole when a test or another part of the process calls.
#[derive(Debug)]
pub enum RequestBody {
    /// Still arriving.
    Incoming(hyper::body::Incoming),
    /// All there.
    Whole(Bytes),
}

/// How much of a refused body is still read, so that the client gets to see the answer instead of a reset.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
/// And for how long.
const DRAIN_TIME: std::time::Duration = std::time::Duration::from_secs(5);

impl RequestBody {
    /// No body.
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// Whether nothing is to come.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Incoming(body) => http_body::Body::is_end_stream(body),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    /// Whether it may turn out to be large, by what was announced.
    pub(crate) fn may_be_large(&self) -> bool {
        match self {
            Self::Incoming(body) => http_body::Body::size_hint(body).upper().is_none_or(|most| most > SMALL as u64),
            Self::Whole(_) => false,
        }
    }

    /// Reads all of it, at most `limit` bytes and until `deadline`. What is refused is drained in the background. Of a
    /// large one the memory is noted at `place`.
    ///
    /// # Errors
    /// When it is too large, too slow, there is no memory for it, or the connection breaks.
    pub(crate) async fn read(
        self,
        limit: usize,
        deadline: Instant,
        body_memory: &BodyMemory,
        place: Option<&BodyPlace>,
    ) -> Result<Bytes, RequestError> {
        let body = match self {
            Self::Whole(bytes) if bytes.len() > limit => return Err(RequestError::BodyTooLarge { limit }),
            Self::Whole(bytes) => return Ok(bytes),
            Self::Incoming(body) => body,
        };
        let mut reading = Reading { body, deadline, step_ends: deadline, in_step: 0 };
        let read = reading.whole(limit, body_memory, place).await;
        // A client that is in time and is refused gets to read why.
        if matches!(read, Err(RequestError::BodyTooLarge { .. } | RequestError::Overloaded)) {
            Self::Incoming(reading.body).drain();
        }
        read
    }

    /// Goes on reading and forgetting, within bounds: a connection closed on a client that is still sending is reset,
    /// and the reset can overtake the answer (RFC 9112 section 9.6).
    pub fn drain(self) {
        if let Self::Incoming(mut body) = self
            && !http_body::Body::is_end_stream(&body)
        {
            tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
                let mut size = 0;
                while let Some(Ok(frame)) = frame(&mut body).await {
                    size += frame.data_ref().map_or(0, Bytes::len);
                    if size > DRAIN_BYTES {
                        break;
                    }
                }
            }));
        }
    }
}

/// A body that is being read.
struct Reading {
    body: Incoming,
    deadline: Instant,
    /// When the present step of a body that holds memory should be there.
    step_ends: Instant,
    in_step: usize,
}

impl Reading {
    async fn whole(
        &mut self,
        limit: usize,
        body_memory: &BodyMemory,
        place: Option<&BodyPlace>,
    ) -> Result<Bytes, RequestError> {
        let hint = http_body::Body::size_hint(&self.body);
        if hint.lower() > limit as u64 {
            return Err(RequestError::BodyTooLarge { limit });
        }
        // One that does not say how long it is may be as long as it likes.
        let announced = hint.upper().and_then(|most| usize::try_from(most).ok()).map_or(limit, |most| most.min(limit));
        let (mut kept, mut small) = (Vec::new(), None::<OwnedSemaphorePermit>);
        let mut pool = None;
        while let Some(data) = self.next(pool).await? {
            let size = kept.len() + data.len();
            if size > limit {
                return Err(RequestError::BodyTooLarge { limit });
            }
            if size > SMALL
                && let Some(place) = place
            {
                if place.get().is_none() {
                    // All of it at once: many that each hold a part and wait for the rest would all wait in vain.
                    let permit = body_memory.large.take(announced, self.deadline).await?;
                    // Nobody else reads this body.
                    let _ = place.set(permit);
                    kept.reserve_exact(announced.saturating_sub(kept.len()));
                    (small, pool) = (None, Some(&body_memory.large));
                    self.begin_step();
                }
            } else if http_body::Body::is_end_stream(&self.body) {
                // Most bodies come in one piece: nothing is copied.
                if kept.is_empty() {
                    return Ok(data);
                }
            } else {
                // By what it keeps, not by its pieces: a byte at a time is no more than all at once.
                let held = small.as_ref().map_or(0, |held| held.num_permits() * UNIT);
                if size > held {
                    let more = body_memory.small.take(size - held, self.deadline).await?;
                    match &mut small {
                        Some(held) => held.merge(more),
                        None => small = Some(more),
                    }
                }
                if pool.is_none() {
                    pool = Some(&body_memory.small);
                    self.begin_step();
                }
            }
            kept.extend_from_slice(&data);
        }
        Ok(kept.into())
    }

    /// The next bytes, none at the end. While others wait for memory of this pool, each step has to come in time.
    async fn next(&mut self, pool: Option<&Pool>) -> Result<Option<Bytes>, RequestError> {
        loop {
            let until = if pool.is_some() { self.deadline.min(self.step_ends) } else { self.deadline };
            let Ok(frame) = tokio::time::timeout_at(until, frame(&mut self.body)).await else {
                if until == self.deadline || pool.is_some_and(Pool::is_short) {
                    return Err(RequestError::TooSlow);
                }
                self.begin_step();
                continue;
            };
            let Some(frame) = frame else { return Ok(None) };
            // Trailers say nothing to us.
            let Ok(data) = frame.map_err(|_| RequestError::BodyBroken)?.into_data() else { continue };
            self.in_step += data.len();
            if self.in_step >= STEP {
                self.begin_step();
            }
            return Ok(Some(data));
        }
    }

    fn begin_step(&mut self) {
        self.step_ends = Instant::now() + STEP_TIME;
        self.in_step = 0;
    }
}
