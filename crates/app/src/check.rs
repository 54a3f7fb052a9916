use std::fmt;
use std::time::Duration;

use kernel::{Clock, Ctx, Random};
use serde::Serialize;
use store::Store;

use crate::Settings;

/// Time for everything that one check asks of the database.
const CHECK_TIME: Duration = Duration::from_secs(10);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It loses data, lets strangers in, or breaks under load.
    Serious,
    /// It is worth a thought.
    Advice,
}

/// Something that would hurt in production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its stable name, in snake_case.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is so, in a sentence.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl Finding {
    /// One that loses data, lets strangers in, or breaks under load.
    pub fn serious(code: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, severity: Severity::Serious, what: what.into(), fix: fix.into() }
    }

    /// One that is worth a thought.
    pub fn advice(code: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, severity: Severity::Advice, what: what.into(), fix: fix.into() }
    }
}

/// What a domain's own check may look at ([`Domain::check`](crate::Domain::check)).
#[derive(Clone)]
pub struct CheckContext {
    /// The settings in force.
    pub settings: Settings,
    /// The database, if it is there, answers, and has every table this program knows.
    pub database: Option<Store>,
    /// Memory this process may use, in bytes, where the machine says so.
    pub memory_bytes: Option<u64>,
    /// What [`CheckContext::ctx`] is made of.
    #[doc(hidden)]
    pub clock: Clock,
    #[doc(hidden)]
    pub random: Random,
}

impl fmt::Debug for CheckContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckContext")
    }
}

impl CheckContext {
    /// A context for asking the database, with its own bounded time.
    pub fn ctx(&self) -> Ctx {
        Ctx::system("doctor", CHECK_TIME, &self.clock, &self.random)
    }
}
