use std::fmt;

use crate::{Dialect, StoreError};

/// The steps of one domain's tables, in their order. Written with [`migrations!`](crate::migrations).
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// The domain that owns the tables; on PostgreSQL also their schema.
    pub domain: &'static str,
    /// Each step's file name without `.sql`, and its text.
    pub steps: &'static [(&'static str, &'static str)],
}

/// A domain's migrations, one file per step under `migrations/` of the crate that calls it:
/// `migrations!("auth", "0001_accounts", "0002_sessions")`.
#[macro_export]
macro_rules! migrations {
    ($domain:literal $(, $step:literal)* $(,)?) => {
        $crate::Migrations {
            domain: $domain,
            steps: &[$(
                ($step, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $step, ".sql")))
            ),*],
        }
    };
}

/// One step that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The domain.
    pub domain: &'static str,
    /// The step's number, from 1.
    pub step: u32,
    /// The step's file name without `.sql`.
    pub name: &'static str,
}

/// Why the tables could not be brought up to date.
#[derive(Debug)]
pub enum MigrateError {
    /// A migration breaks a rule: where, and what to write instead.
    Text {
        /// The domain.
        domain: String,
        /// The file's name without `.sql`; empty when it is about the domain as a whole.
        step: String,
        /// What is wrong, and what to write instead.
        advice: String,
    },
    /// The file of a step that was applied before has been changed since.
    Changed {
        /// The domain.
        domain: String,
        /// The file's name without `.sql`.
        step: String,
    },
    /// The database has a step that this program does not know.
    Newer {
        /// The domain.
        domain: String,
        /// The step's name.
        step: String,
    },
    /// A step failed; nothing of it was kept.
    Step {
        /// The domain.
        domain: String,
        /// The file's name without `.sql`.
        step: String,
        /// What the database said.
        source: StoreError,
    },
    /// The database failed outside any step.
    Store(StoreError),
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrateError::Text { domain, step, advice } if step.is_empty() => write!(f, "domain `{domain}`: {advice}"),
            MigrateError::Text { domain, step, advice } => write!(f, "{domain}/migrations/{step}.sql: {advice}"),
            MigrateError::Changed { domain, step } => write!(
                f,
                "{domain}/migrations/{step}.sql was applied to this database and has been changed since; put the file \
                 back as it was (`git log -p` shows it) and write the change as a new step"
            ),
            MigrateError::Newer { domain, step } => write!(
                f,
                "the database has the step `{step}` of `{domain}`, which this program does not know: it is older than \
                 the database; deploy the newer program, or restore the backup made before the upgrade"
            ),
            MigrateError::Step { domain, step, .. } => {
                write!(f, "{domain}/migrations/{step}.sql failed, and nothing of it was kept")
            }
            MigrateError::Store(_) => f.write_str("the migrations could not be applied"),
        }
    }
}

impl std::error::Error for MigrateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MigrateError::Step { source, .. } | MigrateError::Store(source) => Some(source),
            _ => None,
        }
    }
}

impl From<StoreError> for MigrateError {
    fn from(error: StoreError) -> Self {
        MigrateError::Store(error)
    }
}

#[derive(Debug)]
pub(crate) struct Plan {}

impl Plan {
    pub(crate) fn new(_sets: &[Migrations], _dialect: Dialect) -> Result<Self, MigrateError> {
        Ok(Self {})
    }
}
