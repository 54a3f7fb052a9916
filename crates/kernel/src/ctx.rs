use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Clock, Identity, Random, Time};

/// One operation: its caller, name, request, deadline and clock. The first argument of every use case, the same for
/// HTTP, jobs and tests.
#[derive(Clone)]
pub struct Ctx {
    identity: Identity,
    operation: Arc<str>,
    request_id: Arc<str>,
    deadline: Instant,
    clock: Clock,
    random: Random,
    address: Option<IpAddr>,
    attached: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ctx");
        shown.field("identity", &self.identity).field("operation", &self.operation);
        shown.field("request_id", &self.request_id).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// An address as a number, IPv4 mapped into IPv6 (RFC 4291 section 2.5.5.2). Of an IPv6 address only the network it was
/// given by: a customer who has one has 2^64 of them (RFC 6177 section 2).
pub const fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) if v6.to_bits() == Ipv6Addr::LOCALHOST.to_bits() => v6.to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & !(u64::MAX as u128),
    }
}

/// The operation's time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlinePassed;

impl fmt::Display for DeadlinePassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation's time is up")
    }
}

impl std::error::Error for DeadlinePassed {}

impl Ctx {
    /// A context for an operation that may take until `deadline`. It is named like the request, until it gets its own
    /// name.
    pub fn new(identity: Identity, request_id: Arc<str>, deadline: Instant, clock: Clock, random: Random) -> Self {
        Self {
            identity,
            operation: request_id.clone(),
            request_id,
            deadline,
            clock,
            random,
            address: None,
            attached: None,
        }
    }

    /// A context for the process itself, with `budget` from now on.
    pub fn system(name: &str, budget: Duration, clock: &Clock, random: &Random) -> Self {
        Self::new(Identity::System, name.into(), Instant::now() + budget, clock.clone(), random.clone())
    }

    /// The same operation, done by someone else: once the caller is known.
    #[must_use]
    pub fn by(&self, identity: Identity) -> Self {
        Self { identity, ..self.clone() }
    }

    /// The same for the operation of this name: an endpoint's `operationId`.
    #[must_use]
    pub fn of(self, operation: Arc<str>) -> Self {
        Self { operation, ..self }
    }

    /// The same, asked from this address.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The client's address, as far as trusted proxies tell it; none where nobody asked from outside.
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The network the request comes from, which counts as one caller ([`network_of`]); none where nobody asked from
    /// outside.
    pub fn network(&self) -> Option<u128> {
        self.address.map(network_of)
    }

    /// The same, with something that one room hands to another past those between: what HTTP wants saved with an effect,
    /// for the store. What was attached before goes.
    #[must_use]
    pub fn attach(self, attached: Arc<dyn Any + Send + Sync>) -> Self {
        Self { attached: Some(attached), ..self }
    }

    /// What was attached, if it is of this type.
    pub fn attached<T: Any>(&self) -> Option<&T> {
        self.attached.as_deref()?.downcast_ref()
    }

    /// What is done: an endpoint's `operationId`, or the name the process gave it.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The caller.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The request's id, as the client and the log see it.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Until when the operation may take.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left of the time; zero once it is up.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The randomness.
    pub const fn random(&self) -> &Random {
        &self.random
    }

    /// A new id by this operation's clock and randomness.
    pub fn new_id<K: crate::IdKind>(&self) -> crate::Id<K> {
        crate::Id::new(&self.clock, &self.random)
    }

    /// Waits for `work`, but not past the deadline.
    ///
    /// # Errors
    /// When the deadline passes first; `work` is dropped then.
    pub async fn within<F: Future>(&self, work: F) -> Result<F::Output, DeadlinePassed> {
        tokio::time::timeout_at(self.deadline, work).await.map_err(|_| DeadlinePassed)
    }
}
