//! How often callers may call: which policies an operation has, what a call takes from each, and what the answer says of it
//! (draft-ietf-httpapi-ratelimit-headers-10). Where the allowances are kept, [`Limit`] knows.

mod policy;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use kernel::{
    ApiError, Bucket, Charge, Code, Ctx, ErrorDoc, Identity, Limit, MOST_CHARGES, Rate, Role, Taken, Taking, Text, text,
};
use sha2::{Digest, Sha256};

use self::policy::{Line, On, Parts};
pub use self::policy::{Policy, PolicyError};
pub use self::settings::{LimitSettings, WhenBackendDown};
use crate::client_ip::counted;
use crate::{Endpoint, Problem, Request, Service};

pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The kinds of callers, for policies that give some of them another quota.
const TIERS: [&str; 3] = ["anonymous", "user", "admin"];

fn tier_of(identity: &Identity) -> usize {
    match identity {
        Identity::Anonymous => 0,
        Identity::User { role: Role::User, .. } => 1,
        Identity::User { role: Role::Admin, .. } | Identity::System => 2,
    }
}

/// The caller has used up an allowance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    policy: Arc<str>,
    rate: Rate,
    wait: Duration,
}

impl Limited {
    /// How long until there is enough again.
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// How the document describes it. Every limited operation has it once, whatever its handler adds.
    pub(crate) const DOC: ErrorDoc = ErrorDoc {
        code: Code::TooManyRequests,
        name: "rate_limited",
        meaning: "The caller has used up its allowance for now; `Retry-After` says when there is more.",
    };
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for Limited {}

impl ApiError for Limited {
    fn code(&self) -> Code {
        Self::DOC.code
    }

    fn name(&self) -> &'static str {
        Self::DOC.name
    }

    fn message(&self) -> Text {
        text!(
            "Too many requests: `{policy}` allows {quota} in {window} seconds. Try again in {wait} seconds.",
            policy = self.policy.to_string(),
            quota = u64::from(self.rate.quota()),
            window = self.rate.window().as_secs(),
            wait = seconds(self.wait)
        )
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(seconds(self.wait)))
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        out.push(Self::DOC);
    }
}

/// Whole seconds, rounded up, so that a client that waits them has waited long enough.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The limits of an app. A handler takes them as an argument to count what only it knows: attempts at one account's
/// password. What is counted by address, user and operation needs no handler: `#[post("/reports", limit = "reports")]`.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_enabled: bool,
    policies: Vec<One>,
    /// Those that were switched off.
    off: Vec<String>,
    /// Those of the settings that do not say on what they are, though no domain declares them so.
    nowhere: Vec<String>,
    limit: Arc<dyn Limit>,
    subject_key: [u8; 32],
}

/// A policy, made ready.
#[derive(Debug, Clone)]
struct One {
    policy: Policy,
    name: Arc<str>,
    id: u64,
    rates: [Rate; TIERS.len()],
}

impl Service for Limits {}

/// On no operation that it says itself.
const NOWHERE: On = On::Named(Vec::new());

/// What a call took. Dropped, it stays taken.
#[derive(Debug, Default)]
pub struct Allowance {
    limit: Option<Arc<dyn Limit>>,
    charges: Vec<Charge>,
}

impl Allowance {
    /// Gives it back: what was tried does not count.
    pub async fn give_back(self, ctx: &Ctx) {
        if let Some(giving) = self.limit.and_then(|limit| limit.give_back(ctx, &self.charges)) {
            giving.await;
        }
    }
}

/// The platform's own: for everybody, and for each person, over all operations. High enough that no honest client meets
/// them, low enough that one alone cannot take a server.
const PLATFORM: [&str; 2] = ["address: 12000/1m by address on *", "user: 6000/1m by user on *"];

impl Limits {
    /// The platform's policies, those that domains declare, and what the settings say of either. `subject_key` keeps what is
    /// counted by a subject unreadable where it is kept.
    ///
    /// # Errors
    /// A line that is none, two policies of one name, a tier that nobody has.
    pub fn new(
        settings: &LimitSettings,
        declared: &[Policy],
        limit: Arc<dyn Limit>,
        subject_key: [u8; 32],
    ) -> Result<Self, String> {
        let mut policies: Vec<Policy> = Vec::new();
        let platform = PLATFORM.iter().map(|line| line.parse::<Policy>().map_err(|error| error.to_string()));
        for policy in platform.chain(declared.iter().cloned().map(Ok)) {
            let policy = policy?;
            if policies.iter().any(|known| known.name == policy.name) {
                return Err(format!("two limits are named `{}`; give one another name", policy.name));
            }
            policies.push(policy);
        }
        let (mut off, mut nowhere) = (Vec::new(), Vec::new());
        for line in settings.lines()? {
            let name = match &line {
                Line::Policy(policy) => &policy.name,
                Line::Off(name) => name,
            };
            let known = policies.iter().position(|known| known.name == *name);
            // One that a domain declares without operations is named by one, or taken from by a handler.
            let is_used = |policy: &Policy| policy.on != NOWHERE || known.is_some_and(|at| policies[at].on == NOWHERE);
            if let Line::Policy(policy) = &line
                && !is_used(policy)
            {
                nowhere.push(policy.name.clone());
            }
            match (line, known) {
                (Line::Policy(policy), Some(at)) => policies[at] = policy,
                (Line::Policy(policy), None) => policies.push(policy),
                (Line::Off(name), Some(at)) => {
                    policies.remove(at);
                    off.push(name);
                }
                (Line::Off(name), None) => {
                    return Err(format!("limits.policies takes `{name}` away, and there is none of that name"));
                }
            }
        }
        for policy in &policies {
            if let Some((tier, _)) = policy.tiers.iter().find(|(tier, _)| !TIERS.contains(&tier.as_str())) {
                let (name, tiers) = (&policy.name, TIERS.join(", "));
                return Err(format!("the limit `{name}` has a quota for `{tier}`; the tiers are {tiers}"));
            }
        }
        let policies = policies.into_iter().map(One::new).collect();
        Ok(Self(Arc::new(Inner { is_enabled: settings.enabled, policies, off, nowhere, limit, subject_key })))
    }

    /// Takes one from each of these policies for a subject that the handler names: the account somebody tries to sign in to.
    /// Where one has not enough, nothing is taken from any. A handler that counts failures alone takes before it tries, so
    /// that attempts at the same time are counted too, and gives back what did not fail ([`Allowance::give_back`]).
    ///
    /// # Errors
    /// When there is not enough. A policy that the settings switched off always has.
    pub async fn take(&self, ctx: &Ctx, policies: &[&str], subject: &str) -> Result<Allowance, Limited> {
        let inner = &*self.0;
        if !inner.is_enabled {
            return Ok(Allowance::default());
        }
        let known = policies.iter().filter_map(|name| {
            let found = inner.policies.iter().find(|one| *one.name == **name);
            if found.is_none() && !inner.off.iter().any(|off| off == name) {
                tracing::error!(target: "mainstay::limits", policy = name, "no domain declares this limit");
            }
            found
        });
        let known: Vec<&One> = known.collect();
        let (subject, operation) = (inner.subject(subject), Bucket::named(ctx.operation()));
        let identity = ctx.identity();
        let charges: Vec<Charge> =
            known.iter().map(|one| one.charge(ctx, identity, operation, Some(subject), 1)).collect();
        if charges.is_empty() {
            return Ok(Allowance::default());
        }
        let taken = inner.ask(ctx, &charges).await;
        match refused(&taken, &charges) {
            Some((at, rate, wait)) => Err(Limited { policy: known[at].name.clone(), rate, wait }),
            None => Ok(Allowance { limit: Some(inner.limit.clone()), charges }),
        }
    }

    /// The policies of an operation, made ready; none where it has none.
    ///
    /// # Errors
    /// When it names one that is not there, or has more than one call can take from, or one that it could never pass.
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Result<Option<Arc<Applied>>, String> {
        let inner = &*self.0;
        for name in &endpoint.limits {
            let is_known =
                inner.policies.iter().any(|one| one.name == *name) || inner.off.iter().any(|off| **off == **name);
            if !is_known {
                return Err(format!(
                    "`{}` names the limit `{name}`, which nothing declares. Add `.limit(\"{name}: …\")` to its domain, or a \
                     line to limits.policies.",
                    endpoint.id
                ));
            }
        }
        let is_of = |one: &&One| match &one.policy.on {
            _ if endpoint.limits.contains(&one.name) => true,
            On::All => !endpoint.is_unlimited,
            On::Named(names) => names.iter().any(|name| **name == *endpoint.id),
        };
        let policies: Vec<One> = inner.policies.iter().filter(is_of).cloned().collect();
        if let Some(one) = policies.iter().find(|one| one.policy.parts.subject) {
            return Err(format!(
                "the limit `{}` counts by a subject, which only a handler knows: take it there with `Limits::take`, not on \
                 `{}`",
                one.name, endpoint.id
            ));
        }
        if policies.is_empty() || !inner.is_enabled {
            return Ok(None);
        }
        if let Some(one) = policies.iter().find(|one| one.rates.iter().any(|rate| rate.quota() < endpoint.cost)) {
            let (id, cost) = (&endpoint.id, endpoint.cost);
            return Err(format!("a call of `{id}` costs {cost}, more than `{}` ever lets through", one.name));
        }
        if policies.len() > MOST_CHARGES {
            return Err(format!("`{}` has {} limits; at most {MOST_CHARGES} can be kept", endpoint.id, policies.len()));
        }
        Applied::new(self.clone(), policies, endpoint).map(Arc::new).map(Some)
    }

    /// Whether every operation that a policy of the settings names is there, and each of them is on some.
    ///
    /// # Errors
    /// The first that is not.
    pub(crate) fn check_operations(
        &self,
        is_there: impl Fn(&str) -> bool,
        is_named: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if let Some(name) = self.0.nowhere.iter().find(|name| !is_named(name)) {
            return Err(format!(
                "limits.policies has `{name}`, which would count nothing: it does not say on what, and no operation names it. \
                 Add `on *`, or `on` and an operationId of `/openapi.json`."
            ));
        }
        for one in &self.0.policies {
            if let On::Named(names) = &one.policy.on
                && let Some(name) = names.iter().find(|name| !is_there(name))
            {
                return Err(format!(
                    "the limit `{}` is on `{name}`, and no operation has that operationId; `/openapi.json` lists them",
                    one.name
                ));
            }
        }
        Ok(())
    }
}

impl Inner {
    fn subject(&self, subject: &str) -> u128 {
        let mut hash = Sha256::new();
        hash.update(self.subject_key);
        hash.update(subject);
        let hash: [u8; 32] = hash.finalize().into();
        hash.first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
    }

    async fn ask(&self, ctx: &Ctx, charges: &[Charge]) -> Taken {
        match self.limit.take(ctx, charges) {
            Taking::Now(taken) => taken,
            Taking::Later(wait) => wait.await,
        }
    }
}

/// The bucket that had not enough, and for the longest.
fn refused(taken: &Taken, charges: &[Charge]) -> Option<(usize, Rate, Duration)> {
    let (at, state) =
        taken.states().iter().enumerate().filter(|(_, state)| !state.is_enough).max_by_key(|(_, s)| s.reset)?;
    Some((at, charges.get(at)?.rate, state.reset))
}

impl One {
    fn new(policy: Policy) -> Self {
        let (id, rates) = (Bucket::named(&policy.name), TIERS.map(|tier| policy.rate_of(tier)));
        Self { name: policy.name.as_str().into(), policy, id, rates }
    }

    fn charge(&self, ctx: &Ctx, identity: &Identity, operation: u64, subject: Option<u128>, cost: u32) -> Charge {
        let Parts { address, user, operation: by_operation, subject: by_subject } = self.policy.parts;
        let user_id = identity.user_id().map(|id| id.as_uuid().as_u128());
        // A caller that has not signed in is known by their address.
        let by_address = address || user && user_id.is_none();
        let bucket = Bucket {
            policy: self.id,
            operation: if by_operation { operation } else { 0 },
            address: if by_address { ctx.address().map_or(u128::MAX, counted) } else { 0 },
            who: match subject {
                Some(subject) if by_subject => subject,
                _ => user_id.filter(|_| user).unwrap_or(0),
            },
        };
        Charge { bucket, rate: self.rates[tier_of(identity)], cost }
    }
}

/// The policies of one operation.
#[derive(Debug)]
pub(crate) struct Applied {
    limits: Limits,
    policies: Vec<One>,
    operation: u64,
    cost: u32,
    query_cost: Option<fn(&str) -> u32>,
    is_by_user: bool,
    /// For each tier what `RateLimit-Policy` says.
    told: [HeaderValue; TIERS.len()],
}

/// What an answer says of the caller's allowance.
#[derive(Debug)]
pub(crate) struct RateLimitHeaders {
    pub(crate) policy: HeaderValue,
    pub(crate) state: HeaderValue,
    /// Whether it is why the request was refused.
    pub(crate) is_why: bool,
}

impl Applied {
    fn new(limits: Limits, policies: Vec<One>, endpoint: &Endpoint) -> Result<Self, String> {
        let told = |tier: usize| {
            let each = policies.iter().map(|one| {
                let (rate, name) = (one.rates[tier], &one.name);
                format!("\"{name}\";q={};w={}", rate.quota(), rate.window().as_secs())
            });
            HeaderValue::try_from(each.collect::<Vec<_>>().join(", ")).map_err(|error| error.to_string())
        };
        Ok(Self {
            limits,
            told: [told(0)?, told(1)?, told(2)?],
            operation: Bucket::named(&endpoint.id),
            cost: endpoint.cost,
            query_cost: endpoint.query_cost,
            is_by_user: policies.iter().any(|one| one.policy.parts.user || !one.policy.tiers.is_empty()),
            policies,
        })
    }

    /// Lets a request through, or not. Writes the state of the allowance into `told`, either way.
    ///
    /// # Errors
    /// When an allowance is used up, or the caller cannot be authenticated where that is required.
    pub(crate) async fn admit(
        &self,
        request: &mut Request,
        is_open: bool,
        told: &mut Option<RateLimitHeaders>,
    ) -> Result<(), Problem> {
        // A bad token costs the one who sent it, like everything else.
        let (identity, stranger) = if self.is_by_user {
            match request.authenticate().await {
                Ok(identity) => (identity, None),
                Err(problem) => (Identity::Anonymous, (!is_open).then_some(problem)),
            }
        } else {
            (Identity::Anonymous, None)
        };
        let ctx = &request.ctx;
        let more = self.query_cost.map_or(0, |cost| cost(request.query()));
        let charge = |one: &One| {
            // However dear: never more than the policy ever lets through, or it could not be called at all.
            let cost = self.cost.saturating_add(more).min(one.rates[tier_of(&identity)].quota());
            one.charge(ctx, &identity, self.operation, None, cost)
        };
        let mut charges = [charge(&self.policies[0]); MOST_CHARGES];
        for (place, one) in charges.iter_mut().zip(&self.policies).skip(1) {
            *place = charge(one);
        }
        let charges = &charges[..self.policies.len()];
        let taken = self.limits.0.ask(ctx, charges).await;
        *told = self.tell(&taken).map(|state| RateLimitHeaders {
            policy: self.told[tier_of(&identity)].clone(),
            state,
            is_why: !taken.is_admitted(),
        });
        match (refused(&taken, charges), stranger) {
            (Some((at, rate, wait)), _) => Err(Limited { policy: self.policies[at].name.clone(), rate, wait }.into()),
            (None, Some(problem)) => Err(problem),
            (None, None) => Ok(()),
        }
    }

    /// `"user";r=41;t=12`: what is left, and in how many seconds there is all of it, or enough.
    fn tell(&self, taken: &Taken) -> Option<HeaderValue> {
        let mut text = Vec::with_capacity(self.policies.len() * 32);
        let mut digits = itoa::Buffer::new();
        for (one, state) in self.policies.iter().zip(taken.states()) {
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            text.push(b'"');
            text.extend_from_slice(one.name.as_bytes());
            text.extend_from_slice(b"\";r=");
            text.extend_from_slice(digits.format(state.remaining).as_bytes());
            text.extend_from_slice(b";t=");
            text.extend_from_slice(digits.format(seconds(state.reset).max(1)).as_bytes());
        }
        HeaderValue::from_bytes(&text).ok()
    }
}
