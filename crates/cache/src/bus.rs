use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Backend, Unavailable};

/// How old the last proof may be that everything arrives: a message that another node published two seconds ago has
/// been heard here, or [`Bus::is_current`] is false.
const FRESH: Duration = Duration::from_millis(1500);

/// Messages between nodes. Cheap to clone; when the last clone is dropped, the task that listens ends. So a `hear`
/// closure must not keep a clone: a `Weak` of its owner will do.
///
/// Messages are heard by all nodes that listen at that moment, in no promised order, and are kept nowhere. A node
/// proves to itself twice a second that it hears: it publishes a heartbeat and waits for that to come back. What was
/// published before a heartbeat was heard before it comes back, since Redis tells each listener everything in one
/// order. Where Redis is several that do not hear each other (a master cut off from its sentinels, until they have made
/// it a replica), those who ask different ones do not hear each other either.
#[derive(Clone)]
pub struct Bus(Arc<Held>);

/// What a subscriber receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// What another node published.
    Message(&'a [u8]),
    /// Messages may have been missed: forget what depends on them.
    Gap,
}

type Hear = dyn Fn(Heard<'_>) + Send + Sync;

/// Ends the task when nobody has the bus any more.
struct Held {
    fanout: Arc<Fanout>,
    #[cfg(feature = "redis")]
    redis: Option<crate::redis::Subscriber>,
}

/// What the bus and the task that listens share.
pub(crate) struct Fanout {
    began: Instant,
    /// When the heartbeat was sent that was heard last: microseconds since it began, never zero; zero: messages may be
    /// missing.
    proven_at: AtomicU64,
    nodes: AtomicUsize,
    subscribers: RwLock<Arc<[TopicHandler]>>,
}

#[derive(Clone)]
struct TopicHandler {
    topic: &'static str,
    hear: Arc<Hear>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("is_current", &self.is_current())
            .field("nodes", &self.nodes())
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// The most bytes of a message.
    pub const MOST_BYTES: usize = 64 << 10;

    /// A bus over what the nodes share; over Redis inside a runtime of tokio, where it listens from then on. It is
    /// current once it has heard itself, milliseconds later. In memory there is nobody to hear, and nothing is ever
    /// missed.
    pub fn new(backend: &Backend) -> Self {
        let fanout = Arc::new(Fanout {
            began: Instant::now(),
            proven_at: AtomicU64::new(0),
            nodes: AtomicUsize::new(1),
            subscribers: RwLock::new(Arc::new([])),
        });
        #[cfg(feature = "redis")]
        let redis = backend.manager().map(|manager| crate::redis::Subscriber::open(manager, &fanout));
        #[cfg(not(feature = "redis"))]
        let _ = backend;
        Self(Arc::new(Held {
            fanout,
            #[cfg(feature = "redis")]
            redis,
        }))
    }

    /// From now on, `hear` receives what other nodes publish on this topic, on the task that listens: it must be quick.
    /// A topic is at most 200 bytes.
    pub fn subscribe(&self, topic: &'static str, hear: impl Fn(Heard<'_>) + Send + Sync + 'static) {
        let mut subscribers = self.0.fanout.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        let another = TopicHandler { topic, hear: Arc::new(hear) };
        *subscribers = subscribers.iter().cloned().chain([another]).collect();
    }

    /// Tells all other nodes. In memory there is none.
    ///
    /// # Errors
    /// When Redis did not take it ([`Unavailable`]): nobody may hear of it. `Refused` also when it is longer than
    /// [`Bus::MOST_BYTES`].
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "with Redis it waits"))]
    pub async fn publish(&self, topic: &'static str, payload: &[u8], deadline: Instant) -> Result<(), Unavailable> {
        if payload.len() > Self::MOST_BYTES {
            return Err(Unavailable::Refused);
        }
        #[cfg(feature = "redis")]
        if let Some(subscriber) = &self.0.redis {
            return subscriber.publish(topic, payload, deadline).await;
        }
        #[cfg(not(feature = "redis"))]
        let _ = (topic, deadline);
        Ok(())
    }

    /// Whether everything that was published two seconds ago or earlier has been heard. On every request: it reads one
    /// number and the clock.
    pub fn is_current(&self) -> bool {
        #[cfg(feature = "redis")]
        if self.0.redis.is_some() {
            return self.0.fanout.is_current();
        }
        true
    }

    /// How many nodes there are, as last heard, this one among them. While Redis is away: how many there were.
    pub fn nodes(&self) -> usize {
        self.0.fanout.nodes.load(Ordering::Relaxed)
    }
}

#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nothing is heard without Redis"))]
impl Fanout {
    /// This moment, as a heartbeat carries it. Never zero.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub(crate) fn is_current(&self) -> bool {
        let proven_at = self.proven_at.load(Ordering::Acquire);
        proven_at != 0 && self.now().saturating_sub(proven_at) <= FRESH.as_micros() as u64
    }

    /// Messages may be missing from now on, until they are proven not to.
    pub(crate) fn doubt(&self) {
        self.proven_at.store(0, Ordering::Release);
    }

    /// A heartbeat of this node came back that was sent at `sent`. If the node was in doubt, or the heartbeat is too
    /// late to prove that nothing was missed before it, all subscribers are notified first.
    pub(crate) fn proven(&self, sent: u64) {
        let last = self.proven_at.load(Ordering::Acquire);
        // One that was sent before the last is of another connection, or was repeated: it proves nothing new.
        if sent > self.now() || sent <= last {
            return;
        }
        if !self.is_current() {
            let all = self.subscribers();
            all.iter().for_each(|one| one.tell(Heard::Gap));
        }
        self.proven_at.store(sent, Ordering::Release);
    }

    /// What another node said.
    pub(crate) fn tell(&self, topic: &[u8], payload: &[u8]) {
        let all = self.subscribers();
        let of_topic = all.iter().filter(|one| one.topic.as_bytes() == topic);
        of_topic.for_each(|one| one.tell(Heard::Message(payload)));
    }

    pub(crate) fn set_nodes(&self, nodes: usize) {
        self.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    /// The current subscribers: one that subscribes while it receives something does not wait for itself.
    fn subscribers(&self) -> Arc<[TopicHandler]> {
        self.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TopicHandler {
    /// One that panics has not heard it, and the others have.
    fn tell(&self, heard: Heard<'_>) {
        if catch_unwind(AssertUnwindSafe(|| (self.hear)(heard))).is_err() {
            tracing::error!(topic = self.topic, "who was told what another node said panicked");
        }
    }
}
