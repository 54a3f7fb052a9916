//! Buckets in Redis, and what is done while it is away.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::{Bucket, Charge, Ctx, Giving, MOST_CHARGES, Taken, Taking};
use redis::{Script, ScriptInvocation};
use tokio::time::Instant;

use super::denied_cache::DeniedCache;
use super::gcra::Shape;
use super::offline_usage::{OfflineUsage, Reported};
use super::table::{Table, lock, refused};
use super::{REFUSED_FOR, WhenUnavailable};
use crate::redis::{Connection, ConnectionManager};
use crate::{Bus, Unavailable};

/// How long telling some offline usage may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The record beside the buckets: in which `run id` they were filled, since when they count (`lost_at`), and a `name` of its
/// own, by which a node knows whether it is the record it has looked at. Who empties Redis takes it along.
const RUN_RECORD: &str = "run_id";

/// What is in braces lies on one server of a cluster.
const TOGETHER: &str = "{limits}:";

/// Judges the buckets of one call. KEYS: the record, the buckets. ARGV: the record's name, then for each bucket the
/// interval, the tolerance, the quota, the cost, and what the node let through while Redis was away. That is taken whatever
/// the verdict, and more than all of it if need be: the first node that comes back may have been given what the others owe. What
/// went through before everything counted as empty is not counted again. A cost below zero gives back. It answers -1 where the record is gone or another's; otherwise whether
/// the call goes through and, for each bucket, how far from being full it was before. All times are whole microseconds
/// below 2^53, which Lua's numbers hold exactly.
const TAKE: &str = r"
local record = redis.call('HMGET', KEYS[1], 'name', 'lost_at')
if record[1] ~= ARGV[1] then return {-1} end
local time = redis.call('TIME')
local now, lost_at = time[1] * 1000000 + time[2], tonumber(record[2])
local answer, full_at, owed, all = {1}, {}, {}, true
for i = 2, #KEYS do
    local n = (i - 2) * 5 + 2
    local interval, tolerance = tonumber(ARGV[n]), tonumber(ARGV[n + 1])
    local quota, cost, debt = tonumber(ARGV[n + 2]), tonumber(ARGV[n + 3]), tonumber(ARGV[n + 4])
    local at = full_at[KEYS[i]] or tonumber(redis.call('GET', KEYS[i])) or 0
    if lost_at > 0 then at = math.max(at, lost_at + tolerance) end
    local ahead = math.min(math.max(at - now, 0), 2 * tolerance)
    if debt > 0 then
        local owes = debt * interval
        if lost_at > 0 then owes = math.min(owes, now - lost_at) end
        ahead = math.min(ahead + owes, 2 * tolerance)
        owed[KEYS[i]] = now + ahead
    end
    local after = math.max(ahead + cost * interval, 0)
    if cost > 0 and (cost > quota or after > tolerance) then all = false end
    full_at[KEYS[i]] = now + after
    answer[#answer + 1] = ahead
end
if not all then answer[1], full_at = 0, owed end
for key, at in pairs(full_at) do
    if at > now then
        redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
    else
        redis.call('DEL', key)
    end
end
return answer
";

/// Looks at the record, sets it where it is another run id's or gone, and answers its name. ARGV: the run id, the name this
/// process knows or nothing, a new name. Buckets count as empty from `lost_at` on; 0: nothing was lost, as nothing was
/// there. One that knew of more corrects what one that began in the meantime took for a first start.
const SETTLE: &str = r"
local record = redis.call('HMGET', KEYS[1], 'run_id', 'lost_at', 'name')
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local knew = ARGV[2] ~= ''
if record[1] == ARGV[1] then
    if knew and ARGV[2] ~= record[3] and record[2] == '0' then redis.call('HSET', KEYS[1], 'lost_at', now) end
    return record[3]
end
local lost_at = '0'
if record[1] or knew then lost_at = now end
redis.call('HSET', KEYS[1], 'run_id', ARGV[1], 'lost_at', lost_at, 'name', ARGV[3])
return ARGV[3]
";

/// What the clones of a limiter share.
pub(super) struct RedisLimits {
    manager: ConnectionManager,
    bus: Bus,
    when_unavailable: WhenUnavailable,
    take: Script,
    settle: Script,
    /// What was seen of the record.
    known: Mutex<Known>,
    denied_cache: DeniedCache,
    /// While Redis is away.
    share: Table,
    /// What went through meanwhile.
    offline_usage: OfflineUsage,
    /// Since when: microseconds since this limiter began, never zero; zero: it is there.
    away_since: AtomicU64,
    /// When it was there last, likewise.
    there_at: AtomicU64,
    began: Instant,
}

impl RedisLimits {
    fn key(&self, what: impl fmt::Display) -> String {
        self.manager.space().key(format_args!("{TOGETHER}{what}"))
    }

    pub(super) fn new(manager: &ConnectionManager, bus: &Bus, when_unavailable: WhenUnavailable) -> Self {
        Self {
            manager: manager.clone(),
            bus: bus.clone(),
            when_unavailable,
            take: Script::new(TAKE),
            settle: Script::new(SETTLE),
            known: Mutex::default(),
            denied_cache: DeniedCache::new(),
            share: Table::new(),
            offline_usage: OfflineUsage::default(),
            away_since: AtomicU64::new(0),
            there_at: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.began);
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Redis has answered.
    fn is_back(self: &Arc<Self>) {
        // Read first: on every answer.
        if self.away_since.load(Ordering::Relaxed) == 0 {
            return;
        }
        // An answer may be late, and the connection lost again since: what is forgotten here counts as empty from now
        // on.
        self.there_at.store(self.micros(Instant::now()), Ordering::Release);
        if self.away_since.swap(0, Ordering::AcqRel) != 0 {
            self.share.clear();
            tokio::spawn(pay(self.clone()));
        }
    }

    /// Without Redis.
    fn alone(&self, charges: &[Charge]) -> Taken {
        if self.when_unavailable == WhenUnavailable::Refuse {
            return refused(charges, REFUSED_FOR);
        }
        let now = self.micros(Instant::now());
        let before = self.away_since.load(Ordering::Acquire);
        let lost_at = match self.manager.down_since() {
            // It may have come and gone with nobody asking it anything.
            Some(since) => self.micros(since).max(self.there_at.load(Ordering::Acquire)),
            // The connection stands, and Redis may have judged others until now.
            None if before == 0 => now,
            None => before,
        };
        let since = self.away_since.fetch_max(lost_at, Ordering::AcqRel).max(lost_at);
        let nodes = self.bus.nodes();
        let share = |charge: &Charge| Shape::from(charge.rate).share(nodes);
        let taken = self.share.take(now, charges, share, |shape| since.saturating_add(shape.tolerance()));
        if taken.is_admitted() && !self.offline_usage.add(charges) { refused(charges, REFUSED_FOR) } else { taken }
    }
}

/// What is known of the record.
#[derive(Default)]
struct Known {
    /// The number of the connection on which it was looked at.
    connection: u64,
    /// The record's name.
    name: Option<Arc<str>>,
}

pub(super) fn take(shared: &Arc<RedisLimits>, ctx: &Ctx, charges: &[Charge]) -> Taking {
    let now = shared.micros(Instant::now());
    if let Some(refused) = shared.denied_cache.judge(now, charges) {
        return Taking::Now(refused);
    }
    let Ok(connection) = shared.manager.connection() else { return Taking::Now(shared.alone(charges)) };
    let (shared, charges, deadline) = (shared.clone(), charges.to_vec(), ctx.deadline());
    Taking::Later(Box::pin(async move {
        match ask(&shared, &connection, &charges, deadline).await {
            Ok(taken) => {
                shared.is_back();
                taken
            }
            Err(_) => shared.alone(&charges),
        }
    }))
}

/// Gives back. Which of the two judged the call is not remembered: one that was under way as Redis went or came may cost, or
/// be given, a unit.
pub(super) fn give_back(shared: &Arc<RedisLimits>, ctx: &Ctx, charges: &[Charge]) -> Giving {
    let Ok(connection) = shared.manager.connection() else {
        let (now, nodes) = (shared.micros(Instant::now()), shared.bus.nodes());
        shared.share.give_back(now, charges, |charge| Shape::from(charge.rate).share(nodes));
        shared.offline_usage.forgive(charges);
        return None;
    };
    let (shared, charges) = (shared.clone(), charges.to_vec());
    let deadline = ctx.deadline().min(Instant::now() + TIMEOUT);
    Some(Box::pin(async move {
        let known = lock(&shared.known).name.clone();
        let name = match known {
            Some(name) => Ok(name),
            None => settle(&shared, &connection, deadline).await,
        };
        let Ok(name) = name else { return };
        let mut script = shared.take.key(shared.key(RUN_RECORD));
        script.arg(&*name);
        for charge in &charges {
            add(&shared, &mut script, charge.bucket, charge.rate.into(), -i64::from(charge.cost), 0);
        }
        // Where the record is another's, all counts as empty since, and what was taken before is nobody's any more.
        if connection.run::<Vec<i64>>(&script, deadline).await.is_ok() {
            shared.denied_cache.forget(&charges);
        }
    }))
}

async fn ask(
    shared: &RedisLimits,
    connection: &Connection,
    charges: &[Charge],
    deadline: Instant,
) -> Result<Taken, Unavailable> {
    let known = {
        let known = lock(&shared.known);
        known.name.clone().filter(|_| known.connection >= connection.number())
    };
    let mut name = match known {
        Some(name) => name,
        None => settle(shared, connection, deadline).await?,
    };
    let mut told = Telling { shared, charges, told: shared.offline_usage.take(charges) };
    for is_second in [false, true] {
        let sent = shared.micros(Instant::now());
        let mut script = shared.take.key(shared.key(RUN_RECORD));
        script.arg(&*name);
        for (charge, owed) in charges.iter().zip(told.told) {
            add(shared, &mut script, charge.bucket, charge.rate.into(), charge.cost.into(), owed);
        }
        let answer: Vec<i64> = connection.run(&script, deadline).await?;
        match answer.split_first() {
            Some((&verdict @ (0 | 1), ahead)) if ahead.len() == charges.len() => {
                told.told = Reported::default();
                let mut places = [0; MOST_CHARGES];
                let ahead_of = |ahead: &i64| u64::try_from(*ahead).unwrap_or(0);
                places.iter_mut().zip(ahead).for_each(|(place, ahead)| *place = ahead_of(ahead));
                let ahead = &places[..charges.len()];
                if verdict == 0 {
                    shared.denied_cache.remember(sent, charges, ahead);
                }
                return Ok(Taken::of(
                    charges
                        .iter()
                        .zip(ahead)
                        .map(|(charge, ahead)| Shape::from(charge.rate).state(*ahead, charge.cost, verdict == 1)),
                ));
            }
            // It was emptied while it ran.
            _ if !is_second => name = settle(shared, connection, deadline).await?,
            _ => break,
        }
    }
    Err(Unavailable::Refused)
}

/// What a call tells of offline usage. Dropped before that was done for certain, as when its caller goes, they stand again: told twice
/// is better than never.
struct Telling<'a> {
    shared: &'a RedisLimits,
    charges: &'a [Charge],
    told: Reported,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if self.told != Reported::default() {
            self.shared.offline_usage.put_back(self.charges, &self.told);
        }
    }
}

fn add(shared: &RedisLimits, script: &mut ScriptInvocation<'_>, bucket: Bucket, shape: Shape, cost: i64, owed: u64) {
    script.key(shared.key(bucket));
    // More than all of it says no more, and keeps numbers small.
    let owed = owed.min(shape.quota.into());
    script.arg(shape.interval).arg(shape.tolerance()).arg(shape.quota).arg(cost).arg(owed);
}

/// Tells all offline usage, also of those buckets that nobody asks for any more here, and others may ask for elsewhere.
async fn pay(shared: Arc<RedisLimits>) {
    loop {
        let some = shared.offline_usage.some();
        if some.is_empty() {
            return;
        }
        if tell(&shared, &some).await.is_err() {
            // The next answer after an absence begins it again.
            shared.offline_usage.return_all(&some);
            return;
        }
    }
}

async fn tell(shared: &RedisLimits, some: &[(Bucket, Shape, u64)]) -> Result<(), Unavailable> {
    let (connection, deadline) = (shared.manager.connection()?, Instant::now() + TIMEOUT);
    let name = settle(shared, &connection, deadline).await?;
    let mut script = shared.take.key(shared.key(RUN_RECORD));
    script.arg(&*name);
    for (bucket, shape, units) in some {
        add(shared, &mut script, *bucket, *shape, 0, *units);
    }
    let answer: Vec<i64> = connection.run(&script, deadline).await?;
    if answer.first() == Some(&-1) { Err(Unavailable::Refused) } else { Ok(()) }
}

/// Looks at the record, before the first call on a connection or when it was found gone. Calls that come at the same time may
/// do so too: the second finds what the first has set.
async fn settle(shared: &RedisLimits, connection: &Connection, deadline: Instant) -> Result<Arc<str>, Unavailable> {
    let before = lock(&shared.known).name.clone();
    let new = u128::from_le_bytes(shared.manager.random().bytes());
    let mut script = shared.settle.key(shared.key(RUN_RECORD));
    script.arg(&**connection.run_id()).arg(before.as_deref().unwrap_or_default()).arg(format!("{new:x}"));
    let name: Arc<str> = connection.run::<String>(&script, deadline).await?.into();
    let mut known = lock(&shared.known);
    // An older connection that was slow does not undo what is known of a newer.
    if known.connection <= connection.number() {
        *known = Known { connection: connection.number(), name: Some(name.clone()) };
    }
    Ok(name)
}
