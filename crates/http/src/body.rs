use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::RequestError;

/// A response's body. Whole for now; a stream becomes a second variant.
#[derive(Debug, Default)]
pub struct Body(Option<Bytes>);

impl Body {
    /// A body of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(if bytes.is_empty() { None } else { Some(bytes) })
    }

    /// No body.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// The bytes, if there are any.
    pub const fn bytes(&self) -> Option<&Bytes> {
        self.0.as_ref()
    }

    /// The bytes, taken out.
    pub(crate) fn into_bytes(self) -> Option<Bytes> {
        self.0
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Bytes::len)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
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

    /// Reads all of it, at most `limit` bytes and until `deadline`. What is refused is drained in the background.
    ///
    /// # Errors
    /// When it is too large, too slow, or the connection breaks.
    pub async fn read(self, limit: usize, deadline: Instant) -> Result<Bytes, RequestError> {
        let mut body = match self {
            Self::Whole(bytes) if bytes.len() > limit => return Err(RequestError::BodyTooLarge { limit }),
            Self::Whole(bytes) => return Ok(bytes),
            Self::Incoming(body) => body,
        };
        let announced = http_body::Body::size_hint(&body).lower();
        if announced > limit as u64 {
            Self::Incoming(body).drain();
            return Err(RequestError::BodyTooLarge { limit });
        }
        let mut first: Option<Bytes> = None;
        let mut rest: Vec<u8> = Vec::new();
        let mut size = 0;
        loop {
            let frame = tokio::time::timeout_at(deadline, body.frame()).await.map_err(|_| RequestError::TooSlow)?;
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|_| RequestError::BodyBroken)?.into_data() else { continue };
            size += data.len();
            if size > limit {
                Self::Incoming(body).drain();
                return Err(RequestError::BodyTooLarge { limit });
            }
            // Most bodies come in one piece: keep it, copy only from the second on.
            if let Some(one) = first.take() {
                rest.reserve(one.len() + data.len());
                rest.extend_from_slice(&one);
                rest.extend_from_slice(&data);
            } else if rest.is_empty() {
                first = Some(data);
            } else {
                rest.extend_from_slice(&data);
            }
        }
        Ok(first.unwrap_or_else(|| rest.into()))
    }

    /// Goes on reading and forgetting, within bounds: a connection closed on a client that is still sending is reset,
    /// and the reset can overtake the answer (RFC 9112 section 9.6).
    pub fn drain(self) {
        if let Self::Incoming(mut body) = self
            && !http_body::Body::is_end_stream(&body)
        {
            tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
                let mut size = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    size += frame.data_ref().map_or(0, Bytes::len);
                    if size > DRAIN_BYTES {
                        break;
                    }
                }
            }));
        }
    }
}
