//! Listens to what other nodes publish, and to itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::connection_manager::jittered;
use super::{ConnectionManager, Established, RawConnection, Status};
use crate::Unavailable;
use crate::bus::Fanout;

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_millis(500);
/// A node that was not heard for so long is gone; and when it is this one, the connection is.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// The most messages that were heard and not delivered yet, of [`crate::Bus::MOST_BYTES`] each; further ones are
/// missed.
const MOST_PENDING: usize = 1024;
/// The most nodes that are counted.
const MOST_NODES: usize = 1024;

/// Listens on a connection of its own, which must not be behind the questions of the connection manager. Ends with the bus.
pub(crate) struct Subscriber {
    manager: ConnectionManager,
    publisher: Publisher,
    task: AbortHandle,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How this node speaks.
#[derive(Clone)]
struct Publisher {
    channel: Arc<str>,
    /// Who it is, so that it does not hear itself.
    node: [u8; 16],
}

impl Publisher {
    /// Who, the length of the topic, the topic, the payload. A heartbeat has no topic, and when it was sent for a
    /// payload.
    fn say(&self, topic: &str, payload: &[u8]) -> redis::Cmd {
        let mut message = Vec::with_capacity(17 + topic.len() + payload.len());
        message.extend_from_slice(&self.node);
        message.push(u8::try_from(topic.len()).unwrap_or(u8::MAX));
        message.extend_from_slice(topic.as_bytes());
        message.extend_from_slice(payload);
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(&*self.channel).arg(message);
        cmd
    }
}

/// What comes over the connection.
enum Came {
    Message(Vec<u8>),
    /// A part of a cluster was lost and found again: what was said meanwhile is missing.
    Broken,
}

impl Subscriber {
    pub(crate) fn open(manager: &ConnectionManager, fanout: &Arc<Fanout>) -> Self {
        // Channels are not apart by database.
        let channel = manager.space().key(format_args!("bus:{}", manager.topology().db())).into();
        let publisher = Publisher { channel, node: manager.random().bytes() };
        let listening = Listening {
            manager: manager.clone(),
            publisher: publisher.clone(),
            fanout: fanout.clone(),
            nodes: HashMap::new(),
        };
        Self { manager: manager.clone(), publisher, task: tokio::spawn(listening.run()).abort_handle() }
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &[u8], deadline: Instant) -> Result<(), Unavailable> {
        self.manager.ask(&self.publisher.say(topic, payload), deadline).await
    }
}

struct Listening {
    manager: ConnectionManager,
    publisher: Publisher,
    fanout: Arc<Fanout>,
    /// When each was heard last.
    nodes: HashMap<[u8; 16], Instant>,
}

impl Listening {
    async fn run(mut self) {
        let mut status = self.manager.watch();
        let mut is_told = false;
        loop {
            // There is no other way where the connection manager finds none. It also says whom to listen to.
            let Ok(up) = status.wait_for(|status| matches!(status, Status::Up { .. })).await.map(|up| up.clone())
            else {
                return;
            };
            let Status::Up { run_id, .. } = up else { continue };
            match self.listen(&run_id, &mut status).await {
                Ok(()) => is_told = false,
                // The connection manager has told of a Redis that is away; this is one that answers, and lets nobody listen.
                Err(cause) if !is_told && self.manager.is_up() => {
                    tracing::warn!(at = self.manager.topology().at(), cause, "what other nodes say cannot be heard");
                    is_told = true;
                }
                Err(_) => {}
            }
            self.fanout.doubt();
            sleep(jittered(PAUSE, self.manager.random())).await;
        }
    }

    /// Listens to the process of this run id, until that is over. The error says why it could not begin.
    async fn listen(&mut self, run_id: &str, status: &mut watch::Receiver<Status>) -> Result<(), String> {
        let (put, mut came) = mpsc::channel(MOST_PENDING);
        let is_missing = Arc::new(AtomicBool::new(false));
        let hear = {
            let is_missing = is_missing.clone();
            move |push: PushInfo| -> Result<(), ()> {
                let message = match (push.kind, push.data.into_iter().nth(1)) {
                    (PushKind::Message, Some(Value::BulkString(bytes))) => Came::Message(bytes),
                    (PushKind::Disconnection, _) => Came::Broken,
                    _ => return Ok(()),
                };
                // A subscriber so far behind learns that something is missing, rather than using ever more memory.
                if put.try_send(message).is_err() {
                    is_missing.store(true, Ordering::Release);
                }
                Ok(())
            }
        };
        let told = |error: redis::RedisError| error.to_string();
        let Established { mut raw, run_id: here } =
            self.manager.topology().connect_to_hear(self.manager.space(), hear).await.map_err(told)?;
        // The master has changed in between: the others are heard elsewhere.
        if here != run_id {
            return Ok(());
        }
        let subscribing = async {
            match &mut raw {
                RawConnection::One(raw) => raw.subscribe(&*self.publisher.channel).await,
                RawConnection::Cluster(raw) => raw.subscribe(&*self.publisher.channel).await,
            }
        };
        match timeout(SILENCE, subscribing).await {
            Ok(subscribed) => subscribed.map_err(told)?,
            Err(_) => return Err("no answer to SUBSCRIBE".to_owned()),
        }
        let began = Instant::now();
        let least = self.count_listeners(&mut raw).await;
        // Those that were there before are given time to be heard again.
        self.nodes.values_mut().for_each(|heard| *heard = began);
        let (manager, publisher, fanout) = (self.manager.clone(), self.publisher.clone(), self.fanout.clone());
        let beating = async move {
            let mut beats = interval(BEAT);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beats.tick().await;
                // By the connection manager, as all that is published: what comes back has gone the way that messages go. When it is
                // not taken, that is noticed by its not coming back.
                let beat = publisher.say("", &fanout.now().to_le_bytes());
                let _ = manager.ask::<()>(&beat, Instant::now() + BEAT).await;
            }
        };
        let mut beating = std::pin::pin!(beating);
        let mut heard_itself = began;
        loop {
            tokio::select! {
                message = came.recv() => {
                    if is_missing.swap(false, Ordering::AcqRel) {
                        self.fanout.doubt();
                    }
                    match message {
                        Some(Came::Message(message)) => {
                            if self.hear(&message, if began.elapsed() < SILENCE { least } else { 1 }) {
                                heard_itself = Instant::now();
                            }
                        }
                        // The cluster's connection mends itself, and subscribes again; one to a single server ends.
                        Some(Came::Broken) => self.fanout.doubt(),
                        None => return Ok(()),
                    }
                }
                () = &mut beating => {}
                changed = status.changed() => match (changed, &*status.borrow_and_update()) {
                    (Err(_), _) => return Ok(()),
                    (Ok(()), Status::Up { run_id: now, .. }) if **now != *run_id => return Ok(()),
                    _ => {}
                },
                () = sleep_until(heard_itself + SILENCE) => return Ok(()),
            }
        }
    }

    /// How many listen already: of a node that has only begun, nobody was heard yet. A cluster does not know.
    async fn count_listeners(&self, raw: &mut RawConnection) -> usize {
        let RawConnection::One(raw) = raw else { return 1 };
        let mut count = redis::cmd("PUBSUB");
        count.arg("NUMSUB").arg(&*self.publisher.channel);
        let told = timeout(SILENCE, count.query_async::<(String, usize)>(raw)).await;
        told.ok().and_then(Result::ok).map_or(1, |(_, count)| count.min(MOST_NODES))
    }

    /// Takes one message; whether it was this node's own heartbeat. There are at least `least` nodes.
    fn hear(&mut self, message: &[u8], least: usize) -> bool {
        let Some((node, rest)) = message.split_first_chunk::<16>() else { return false };
        let Some((&length, rest)) = rest.split_first() else { return false };
        let Some((topic, payload)) = rest.split_at_checked(usize::from(length)) else { return false };
        if !topic.is_empty() {
            if *node != self.publisher.node {
                self.fanout.tell(topic, payload);
            }
            return false;
        }
        let now = Instant::now();
        if self.nodes.len() < MOST_NODES || self.nodes.contains_key(node) {
            self.nodes.insert(*node, now);
        }
        let Some(sent) = payload.first_chunk().filter(|_| *node == self.publisher.node) else { return false };
        // Only now, when messages come: while Redis is away nobody is heard, and all are still there.
        self.nodes.retain(|_, heard| now - *heard < SILENCE);
        self.fanout.set_nodes(self.nodes.len().max(least));
        self.fanout.proven(u64::from_le_bytes(*sent));
        true
    }
}
