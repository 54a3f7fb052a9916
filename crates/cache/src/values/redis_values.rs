//! What nodes share in Redis: values, and who may put them there.
//!
//! A node that finds nothing asks to load, and gets a lease on the key and the versions of all that the key is under.
//! Redis takes what it loaded only while the lease is still its own and the versions are the same; forgetting removes
//! the value, the lease and the versions. So a slow load never puts back an old value, whichever node it runs on. While
//! a change is open, no node gets a lease: a node that ends in the middle leaves nothing but that, for
//! [`HOLD`](super::HOLD) at most.
//!
//! Versions are random and never come again: one that Redis pushed out for want of memory makes values unreadable, not old
//! ones good. Nothing is searched (`SCAN`, `KEYS`), however much is forgotten.
//!
//! Every name has the run id in it, the nonce for the process that answers: what another process left behind, an older
//! snapshot or a master that was replaced, is never read. In a cluster there is one run id for all of it, and the names of
//! one entity lie together: values of one entity are on one of its servers.

mod lookup;
pub(super) use lookup::{Right, Sought};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Script;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::generations::HOLD;
use super::key::{Key, Tag, Target};
use super::pending_invalidations::PendingInvalidations;
use crate::Unavailable;
use crate::redis::{Connection, ConnectionManager};

/// Longer values stay on their node: Redis does nothing else while it moves one.
const MOST_BYTES: usize = 4 << 20;
/// How long a load may take whose value is to be taken.
const LEASE: Duration = Duration::from_secs(10);
/// Versions are kept so much longer than what was loaded under them.
const MARGIN: Duration = Duration::from_secs(60);
/// The most targets that are sent in one call.
const MOST_TARGETS: usize = 500;

/// `KEYS`: the lease; `ARGV[1]` versions; the changes that may be open. `ARGV`: how many versions, the nonce for a new lease,
/// how long it and the versions last in ms, then a nonce for each version that is not there. Returns nothing while a change is
/// open; else whether the lease is new, whose it is, and the versions.
const BEGIN: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local versions = tonumber(ARGV[1])
for i = versions + 2, #KEYS do
  if redis.call('ZCOUNT', KEYS[i], now, '+inf') > 0 then return {} end
end
local lease = redis.call('GET', KEYS[1])
local is_new = 0
if not lease then
  lease = ARGV[2]
  is_new = 1
  redis.call('SET', KEYS[1], lease, 'PX', ARGV[3])
end
local out = {tostring(is_new), lease}
for i = 1, versions do
  local version = redis.call('GET', KEYS[i + 1])
  if not version then
    version = ARGV[i + 4]
    redis.call('SET', KEYS[i + 1], version, 'PX', ARGV[4])
  elseif redis.call('PTTL', KEYS[i + 1]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[i + 1], ARGV[4])
  end
  out[i + 2] = version
end
return out";

/// `KEYS`: the value, the lease, `ARGV[1]` versions, the changes that may be open. `ARGV`: how many versions, the lease's
/// nonce, the value, how long it lasts in ms, the versions. Returns whether it was taken.
const FILL: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
local versions = tonumber(ARGV[1])
for i = 1, versions do
  if redis.call('GET', KEYS[i + 2]) ~= ARGV[i + 4] then return 0 end
end
for i = versions + 3, #KEYS do
  if redis.call('ZCOUNT', KEYS[i], now, '+inf') > 0 then return 0 end
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('DEL', KEYS[2])
return 1";

/// Gives a lease back: `KEYS[1]`, if it has the nonce `ARGV[1]`.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// `KEYS`: a tag's version, its changes that may be open. `ARGV`: a nonce if it has none, how long that lasts in ms.
/// Returns nothing while a change is open; else the version and how long ago it was set, in microseconds.
const TAG: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('ZCOUNT', KEYS[2], now, '+inf') > 0 then return {} end
local version = redis.call('GET', KEYS[1])
if not version then
  version = string.format('%.0f', time[1] * 1000000 + time[2]) .. '.' .. ARGV[1]
  redis.call('SET', KEYS[1], version, 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local age = time[1] * 1000000 + time[2] - tonumber(string.match(version, '^%d+'))
return {version, string.format('%.0f', age)}";

/// `KEYS`: for each target the changes of it that may be open, then what goes. `ARGV`: the change's nonce, how long it
/// stays open in ms or 0 when it ends, how long a tag's version lasts in ms, then for each target how much goes; -1 for a
/// tag, whose version is replaced, if there is one. The first thing that is done frees memory: a Redis that is full
/// refuses what begins with anything else.
const FORGET: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local hold = tonumber(ARGV[2])
local at = 1
for i = 4, #ARGV do
  local open = KEYS[at]
  redis.call('ZREMRANGEBYSCORE', open, '-inf', now)
  local count = tonumber(ARGV[i])
  if count < 0 then
    local version = string.format('%.0f', time[1] * 1000000 + time[2]) .. '.' .. ARGV[1]
    redis.call('SET', KEYS[at + 1], version, 'PX', ARGV[3], 'XX')
    at = at + 2
  else
    for j = 1, count do redis.call('DEL', KEYS[at + j]) end
    at = at + count + 1
  end
  if hold > 0 then
    redis.call('ZADD', open, now + hold, ARGV[1])
    redis.call('PEXPIRE', open, hold)
  else
    redis.call('ZREM', open, ARGV[1])
  end
end
return 1";

/// A value as Redis has it: this, a connection's end, and the value's bytes.
#[derive(Serialize, Deserialize)]
struct Header {
    fresh_until_us: i64,
    stale_until_us: i64,
    is_absent: bool,
    /// The versions it was loaded under, of all it is under.
    versions: Vec<String>,
    /// Its tags, and their versions.
    tags: Vec<(String, String)>,
}

/// A value that Redis has.
pub(crate) struct Found {
    /// Fresh until, and to be served until: microseconds since the epoch, by the clock of the node that loaded it.
    pub(crate) until_us: (i64, i64),
    /// None: it is known that there is nothing.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) tags: Vec<Tag>,
}

/// The right to put a value there.
pub(crate) struct Ticket {
    connection: Arc<Connection>,
    key: Key,
    lease: String,
    versions: Vec<String>,
    /// Before Redis was asked for it.
    began: Instant,
}

/// What Redis says to one who would load.
pub(crate) enum Begun {
    /// It may.
    Yes(Ticket),
    /// It may, and so does another already.
    Another(Ticket),
    /// Nothing is taken now: a change is under way.
    Not,
}

/// The way to what nodes share. Held by the cache.
pub(crate) struct RedisValues {
    manager: ConnectionManager,
    scripts: Scripts,
    pub(crate) pending: Arc<PendingInvalidations>,
}

struct Scripts {
    begin: Script,
    fill: Script,
    release: Script,
    tag: Script,
    forget: Script,
}

impl RedisValues {
    pub(crate) fn new(manager: ConnectionManager) -> Self {
        let scripts = Scripts {
            begin: Script::new(BEGIN),
            fill: Script::new(FILL),
            release: Script::new(RELEASE),
            tag: Script::new(TAG),
            forget: Script::new(FORGET),
        };
        Self { manager, scripts, pending: Arc::default() }
    }

    pub(crate) fn manager(&self) -> &ConnectionManager {
        &self.manager
    }

    /// The connection on which all of one load is asked: one process has answered it, or none.
    pub(crate) fn connection(&self) -> Result<Arc<Connection>, Unavailable> {
        self.manager.connection()
    }

    /// A nonce that does not come again.
    pub(crate) fn nonce(&self) -> String {
        format!("{:016x}", u64::from_le_bytes(self.manager.random().bytes()))
    }

    /// What Redis has under this key, if it is good.
    pub(crate) async fn find(
        &self,
        connection: &Connection,
        key: &Key,
        deadline: Instant,
    ) -> Result<Option<Found>, Unavailable> {
        let names = self.names(connection, key.entity());
        let mut ask = redis::cmd("MGET");
        ask.arg(names.name(b'v', key.bytes()));
        for level in above(key) {
            ask.arg(names.name(b'w', level));
        }
        let mut answers = connection.ask::<Vec<Option<Vec<u8>>>>(&ask, deadline).await?.into_iter();
        let Some(value) = answers.next().flatten() else { return Ok(None) };
        // The versions were read with the value: what they say is true of it.
        let versions: Vec<Option<Vec<u8>>> = answers.collect();
        let Some(end) = value.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let Ok(header) = serde_json::from_slice::<Header>(&value[..end]) else { return Ok(None) };
        let are_same = header.versions.len() == versions.len()
            && header.versions.iter().zip(&versions).all(|(own, now)| Some(own.as_bytes()) == now.as_deref());
        if !are_same || !self.are_current(connection, &header.tags, deadline).await? {
            return Ok(None);
        }
        let Some(tags) = header.tags.iter().map(|(tag, _)| Tag::read(tag.as_bytes())).collect() else {
            return Ok(None);
        };
        let bytes = (!header.is_absent).then(|| value[end + 1..].to_vec());
        Ok(Some(Found { until_us: (header.fresh_until_us, header.stale_until_us), bytes, tags }))
    }

    /// Whether tags still have these versions.
    async fn are_current(
        &self,
        connection: &Connection,
        tags: &[(String, String)],
        deadline: Instant,
    ) -> Result<bool, Unavailable> {
        if tags.is_empty() {
            return Ok(true);
        }
        let mut ask = redis::cmd("MGET");
        for (tag, _) in tags {
            ask.arg(self.names_of_tag(connection, tag).name(b'g', b""));
        }
        let versions: Vec<Option<Vec<u8>>> = connection.ask(&ask, deadline).await?;
        Ok(versions.len() == tags.len()
            && tags.iter().zip(&versions).all(|((_, own), now)| Some(own.as_bytes()) == now.as_deref()))
    }

    /// Asks to load. The value will be kept for `keep` at most, and the load has until `ends`.
    pub(crate) async fn begin(
        &self,
        connection: &Arc<Connection>,
        key: &Key,
        keep: Duration,
        ends: Instant,
        deadline: Instant,
    ) -> Result<Begun, Unavailable> {
        let began = Instant::now();
        let names = self.names(connection, key.entity());
        let levels: Vec<&[u8]> = above(key).collect();
        let mut script = self.scripts.begin.key(names.name(b'l', key.bytes()));
        for level in &levels {
            script.key(names.name(b'w', level));
        }
        for name in names.changes_of(key) {
            script.key(name);
        }
        let lease = LEASE.min(ends.saturating_duration_since(began)).max(Duration::from_millis(1));
        script.arg(levels.len()).arg(self.nonce()).arg(ms(lease)).arg(ms(keep + MARGIN));
        for _ in &levels {
            script.arg(self.nonce());
        }
        let mut answer: Vec<String> = connection.run(&script, deadline).await?;
        if answer.len() != levels.len() + 2 {
            return Ok(Begun::Not);
        }
        let versions = answer.split_off(2);
        let lease = answer.swap_remove(1);
        let ticket = Ticket { connection: connection.clone(), key: key.clone(), lease, versions, began };
        Ok(if answer.first().is_some_and(|is_new| is_new == "1") { Begun::Yes(ticket) } else { Begun::Another(ticket) })
    }

    /// Puts a value there that is good until then, if it may still be put there. Whether it was taken.
    pub(crate) async fn fill(
        &self,
        ticket: &Ticket,
        bytes: Option<&[u8]>,
        tags: &[Tag],
        until_us: (i64, i64),
        keep: Duration,
        deadline: Instant,
    ) -> Result<bool, Unavailable> {
        if bytes.map_or(0, <[u8]>::len) > MOST_BYTES || keep.is_zero() {
            return Ok(false);
        }
        let mut versioned = Vec::with_capacity(tags.len());
        for tag in tags {
            let Some(version) = self.version(ticket, tag, keep, deadline).await? else { return Ok(false) };
            versioned.push((tag.as_str().to_owned(), version));
        }
        let header = Header {
            fresh_until_us: until_us.0,
            stale_until_us: until_us.1,
            is_absent: bytes.is_none(),
            versions: ticket.versions.clone(),
            tags: versioned,
        };
        let Ok(mut value) = serde_json::to_vec(&header) else { return Ok(false) };
        value.push(b'\n');
        value.extend_from_slice(bytes.unwrap_or_default());

        let (connection, key) = (&ticket.connection, &ticket.key);
        let names = self.names(connection, key.entity());
        let mut script = self.scripts.fill.key(names.name(b'v', key.bytes()));
        script.key(names.name(b'l', key.bytes()));
        for level in above(key) {
            script.key(names.name(b'w', level));
        }
        for name in names.changes_of(key) {
            script.key(name);
        }
        script.arg(ticket.versions.len()).arg(&ticket.lease).arg(value).arg(ms(keep).max(1));
        for version in &ticket.versions {
            script.arg(version);
        }
        let taken: u8 = connection.run(&script, deadline).await?;
        Ok(taken == 1)
    }

    /// The version of a tag of what was loaded; none if the tag was forgotten since the load began, or may have been: a
    /// version that is not there is made now.
    async fn version(
        &self,
        ticket: &Ticket,
        tag: &Tag,
        keep: Duration,
        deadline: Instant,
    ) -> Result<Option<String>, Unavailable> {
        let names = self.names_of_tag(&ticket.connection, tag.as_str());
        let mut script = self.scripts.tag.key(names.name(b'g', b""));
        script.key(names.name(b'o', b"")).arg(self.nonce()).arg(ms(keep + MARGIN));
        let answer: Vec<String> = ticket.connection.run(&script, deadline).await?;
        let [version, age_us] = answer.as_slice() else { return Ok(None) };
        // How long both lie back, each by one clock: those of two servers of a cluster, or of a node, are not compared.
        let since_begun_us = ticket.began.elapsed().as_micros();
        Ok(age_us.parse::<u128>().is_ok_and(|age_us| age_us > since_begun_us).then(|| version.clone()))
    }

    /// Gives back the right to load: it failed, and another may.
    pub(crate) async fn release(&self, ticket: &Ticket, deadline: Instant) {
        let names = self.names(&ticket.connection, ticket.key.entity());
        let mut script = self.scripts.release.key(names.name(b'l', ticket.key.bytes()));
        script.arg(&ticket.lease);
        // Otherwise it ends by itself.
        let _: Result<u8, Unavailable> = ticket.connection.run(&script, deadline).await;
    }

    /// A change begins: forgets, and takes nothing of it for [`HOLD`].
    pub(crate) async fn open(&self, targets: &[Target], nonce: &str, deadline: Instant) -> Result<(), Unavailable> {
        self.forget(targets, nonce, HOLD, deadline).await
    }

    /// The change has ended: forgets once more, and lets things be taken again.
    pub(crate) async fn shut(&self, targets: &[Target], nonce: &str, deadline: Instant) -> Result<(), Unavailable> {
        self.forget(targets, nonce, Duration::ZERO, deadline).await
    }

    async fn forget(
        &self,
        targets: &[Target],
        nonce: &str,
        hold: Duration,
        deadline: Instant,
    ) -> Result<(), Unavailable> {
        let connection = self.connection()?;
        // In a cluster, what lies together goes together.
        let mut together: HashMap<Vec<u8>, Vec<&Target>> = HashMap::new();
        for target in targets {
            together.entry(self.names_of_target(&connection, target).base).or_default().push(target);
        }
        for (base, targets) in together {
            let names = Names { base };
            for some in targets.chunks(MOST_TARGETS) {
                let mut script = self.scripts.forget.prepare_invoke();
                script.arg(nonce).arg(ms(hold)).arg(ms(MARGIN * 60));
                for target in some {
                    match target {
                        Target::Key(key) => {
                            script.key(names.name(b'k', key.bytes()));
                            script.key(names.name(b'v', key.bytes())).key(names.name(b'l', key.bytes())).arg(2);
                        }
                        Target::Under(key) => {
                            script.key(names.name(b'u', key.bytes()));
                            script.key(names.name(b'v', key.bytes())).key(names.name(b'l', key.bytes()));
                            script.key(names.name(b'w', key.bytes())).arg(3);
                        }
                        Target::Tag(_) => {
                            script.key(names.name(b'o', b"")).key(names.name(b'g', b"")).arg(-1);
                        }
                    }
                }
                let _: u8 = connection.run(&script, deadline).await?;
            }
        }
        Ok(())
    }

    fn names(&self, connection: &Connection, entity: &str) -> Names {
        Names { base: self.manager.space().key(format_args!("{{{entity}}}:{}:", connection.run_id())).into_bytes() }
    }

    fn names_of_tag(&self, connection: &Connection, tag: &str) -> Names {
        // No entity has a slash in it.
        Names { base: self.manager.space().key(format_args!("{{tag/{tag}}}:{}:", connection.run_id())).into_bytes() }
    }

    fn names_of_target(&self, connection: &Connection, target: &Target) -> Names {
        match target {
            Target::Key(key) | Target::Under(key) => self.names(connection, key.entity()),
            Target::Tag(tag) => self.names_of_tag(connection, tag.as_str()),
        }
    }
}

/// What a key is under, without itself.
fn above(key: &Key) -> impl Iterator<Item = &[u8]> {
    key.levels().filter(|level| level.len() < key.bytes().len())
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Names of what lies together in Redis: `{entity}:run id:` in the deployment's space, then what it is, and whose.
struct Names {
    base: Vec<u8>,
}

impl Names {
    /// `v`alue, `l`ease, version (`w`) of a key; changes of a `k`ey, of what is `u`nder it; the version (`g`) and changes
    /// (`o`) of a tag.
    fn name(&self, kind: u8, text: &[u8]) -> Vec<u8> {
        [&self.base[..], &[kind, b':'], text].concat()
    }

    /// Where changes stand that touch this key.
    fn changes_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = Vec<u8>> + 'a {
        [self.name(b'k', key.bytes())].into_iter().chain(key.levels().map(|level| self.name(b'u', level)))
    }
}
