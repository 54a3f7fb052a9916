use std::fmt;
use std::time::Duration;

use kernel::{ApiError, Code, ErrorDoc, Text, text};

/// What lies behind a failure, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The database cannot be reached, is starting or stopping, or its disk answers with errors.
    Unavailable {
        /// What happened.
        source: Cause,
    },
    /// A queue or the pool is full, another process holds the lock, or too many transactions contradict each other.
    Busy,
    /// The operation's time is up. A transaction that was already being committed may still take effect.
    Timeout,
    /// A read took longer than one may, which is less than the operation has (`scan_ms`).
    ScanTimeout,
    /// The rows that a read found are more bytes than may be held at once: to be read page by page.
    TooLarge,
    /// The storage is full.
    Full,
    /// The database takes no writes now.
    ReadOnly,
    /// The database file is damaged.
    Corrupt {
        /// What was found.
        source: Cause,
    },
    /// A constraint does not hold. The code that runs the statement turns the ones it expects into its own errors.
    Violation(Violation),
    /// The session in whose name the transaction was to write is over, its account is gone, or lost the role
    /// ([`SessionCheck`](crate::SessionCheck)). Nothing was written.
    SessionEnded,
    /// `store.tx` or `store.read` inside a transaction's closure: use the `Tx` it was given.
    Nested,
    /// The transaction's closure waited too long for something that is not its `Tx`.
    Stalled,
    /// A bug in the server: bad SQL, a row of another shape, a panic.
    Internal {
        /// What happened.
        source: Cause,
    },
}

impl StoreError {
    /// A bug in the server, described for the log.
    pub fn internal(source: impl Into<Cause>) -> Self {
        StoreError::Internal { source: source.into() }
    }

    pub(crate) fn unavailable(source: impl Into<Cause>) -> Self {
        StoreError::Unavailable { source: source.into() }
    }

    /// Whether it is the violation of the constraint `name`, which is given alike for both databases:
    ///
    /// - a unique constraint by its columns, `accounts.email` or `members.org_id, user_id`;
    /// - or by its index's name, where the migration gave one (`CREATE UNIQUE INDEX accounts_email …`), and
    ///   otherwise by the name PostgreSQL gives: `accounts_email_key`, `accounts_pkey`;
    /// - a check by its name; a `NOT NULL` by its column, `accounts.email`.
    ///
    /// Where two constraints are violated at once, either may be told. A foreign key is never named, because SQLite does not say which one it was: match its [`ViolationKind`].
    pub fn violates(&self, name: &str) -> bool {
        matches!(self, StoreError::Violation(violation) if violation.is(name))
    }

    /// The violation, if it is one.
    pub const fn violation(&self) -> Option<&Violation> {
        match self {
            StoreError::Violation(violation) => Some(violation),
            _ => None,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable { .. } => f.write_str("the database is not available"),
            StoreError::Busy => f.write_str("the database is busy"),
            StoreError::Timeout => f.write_str("the database did not answer in time"),
            StoreError::ScanTimeout => f.write_str("a read took longer than `scan_ms`"),
            StoreError::TooLarge => {
                f.write_str("`rows` found more bytes than may be held at once; read them page by page")
            }
            StoreError::Full => f.write_str("the database's storage is full"),
            StoreError::ReadOnly => f.write_str("the database is read-only"),
            StoreError::Corrupt { .. } => f.write_str("the database is damaged"),
            StoreError::Violation(violation) => violation.fmt(f),
            StoreError::SessionEnded => f.write_str("the session of the person who writes has ended"),
            StoreError::Nested => {
                f.write_str("the store was used inside a transaction's closure; use the `Tx` the closure was given")
            }
            StoreError::Stalled => {
                f.write_str("a transaction's closure waited too long for something that is not its `Tx`")
            }
            StoreError::Internal { .. } => f.write_str("the store failed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Unavailable { source } | StoreError::Corrupt { source } | StoreError::Internal { source } => {
                Some(&**source)
            }
            _ => None,
        }
    }
}

impl ApiError for StoreError {
    fn code(&self) -> Code {
        match self {
            StoreError::Unavailable { .. }
            | StoreError::Busy
            | StoreError::Timeout
            | StoreError::ScanTimeout
            | StoreError::ReadOnly
            | StoreError::Corrupt { .. } => Code::Unavailable,
            StoreError::Full => Code::StorageFull,
            StoreError::SessionEnded => Code::Unauthenticated,
            StoreError::Violation(_)
            | StoreError::TooLarge
            | StoreError::Nested
            | StoreError::Stalled
            | StoreError::Internal { .. } => Code::Internal,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            StoreError::Unavailable { .. } => "store_unavailable",
            StoreError::Busy => "store_busy",
            StoreError::Timeout => "store_timeout",
            StoreError::ScanTimeout => "scan_timeout",
            StoreError::Full => "storage_full",
            StoreError::ReadOnly => "store_read_only",
            StoreError::Corrupt { .. } => "store_corrupt",
            // The same as a token that is refused before: the operation's document has it from its caller.
            StoreError::SessionEnded => "invalid_token",
            StoreError::Violation(_)
            | StoreError::TooLarge
            | StoreError::Nested
            | StoreError::Stalled
            | StoreError::Internal { .. } => "internal",
        }
    }

    fn message(&self) -> Text {
        match self {
            StoreError::Unavailable { .. } => text!("The storage is not available now."),
            StoreError::Busy => text!("The storage is busy. Try again in a moment."),
            StoreError::Timeout => text!("The storage did not answer in time."),
            StoreError::ScanTimeout => {
                text!(
                    "To find this takes longer than one request may search. Ask for less: narrow the filters, or leave `total` out."
                )
            }
            StoreError::Full => text!("The storage is full."),
            StoreError::ReadOnly => text!("The storage takes no changes now."),
            StoreError::Corrupt { .. } => text!("The storage needs repair."),
            StoreError::SessionEnded => {
                text!("Your session ended before this was done, and nothing was changed. Sign in again.")
            }
            StoreError::Violation(_)
            | StoreError::TooLarge
            | StoreError::Nested
            | StoreError::Stalled
            | StoreError::Internal { .. } => text!("Something went wrong on our side."),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            StoreError::Busy | StoreError::Timeout | StoreError::ScanTimeout => 1,
            StoreError::Unavailable { .. } => 2,
            StoreError::ReadOnly => 30,
            StoreError::Corrupt { .. } => 60,
            _ => return None,
        };
        Some(Duration::from_secs(seconds))
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        let docs = [
            (Code::Unavailable, "store_unavailable", "The database cannot be reached."),
            (Code::Unavailable, "store_busy", "The database has more to do than it may queue."),
            (Code::Unavailable, "store_timeout", "The database did not answer within the request's time."),
            (Code::Unavailable, "scan_timeout", "To find it takes longer than one request may search; ask for less."),
            (Code::Unavailable, "store_read_only", "The database takes no changes now."),
            (Code::Unavailable, "store_corrupt", "The database is damaged and waits for its operator."),
            (Code::StorageFull, "storage_full", "The database's storage is full."),
            (Code::Internal, "internal", "A fault on our side."),
        ];
        out.extend(docs.map(|(code, name, meaning)| ErrorDoc { code, name, meaning }));
    }
}

/// Which kind of constraint does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// A primary key or unique constraint: there is such a row already.
    Unique,
    /// A foreign key: the other row is not there, or is still referred to.
    ForeignKey,
    /// A column that may not be empty.
    NotNull,
    /// A check.
    Check,
}

/// A constraint that does not hold, told alike for both databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which kind.
    pub kind: ViolationKind,
    /// The constraint's or unique index's name, where both databases know it: unique constraints and checks.
    pub constraint: Option<String>,
    /// The table, where both databases know it: unique constraints and `NOT NULL`.
    pub table: Option<String>,
    /// The columns, in the constraint's order: unique constraints and `NOT NULL`.
    pub columns: Vec<String>,
}

impl Violation {
    pub(crate) const fn bare(kind: ViolationKind) -> Self {
        Self { kind, constraint: None, table: None, columns: Vec::new() }
    }

    /// Whether it is the constraint of this name; see [`StoreError::violates`].
    pub fn is(&self, name: &str) -> bool {
        if self.constraint.as_deref() == Some(name) {
            return true;
        }
        let Some(table) = &self.table else { return false };
        name.strip_prefix(table.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|columns| columns.split(',').map(str::trim).eq(self.columns.iter().map(String::as_str)))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ViolationKind::Unique => "a unique constraint does not hold",
            ViolationKind::ForeignKey => "a foreign key does not hold",
            ViolationKind::NotNull => "a column that may not be empty is",
            ViolationKind::Check => "a check does not hold",
        })?;
        if let Some(table) = &self.table {
            write!(f, ": {table}.{}", self.columns.join(", "))?;
        }
        if let Some(constraint) = &self.constraint {
            write!(f, " ({constraint})")?;
        }
        Ok(())
    }
}

/// Why the store could not be opened: what is wrong, and what to do next.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    message: String,
    source: Option<Cause>,
}

/// What kept the store from being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenErrorKind {
    /// A setting is not acceptable.
    Settings,
    /// The folder for the database file does not exist.
    NoFolder,
    /// The file or its folder may not be read or written.
    ReadOnly,
    /// The file is not an SQLite database.
    NotADatabase,
    /// The file is another program's database.
    Foreign,
    /// The file is a damaged database.
    Corrupt,
    /// Another process holds the database.
    Locked,
    /// The disk is full.
    Full,
    /// There is no server at that address, or it does not answer.
    NoServer,
    /// The server does not accept the name or the password.
    Refused,
    /// There is no such database on the server.
    NoDatabase,
    /// A pooler in between gives each transaction another connection, and the settings say otherwise.
    Pooler,
    /// The connection would have to be encrypted, which is not possible yet.
    Tls,
    /// Anything else.
    Other,
}

impl OpenError {
    pub(crate) fn new(kind: OpenErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn because(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kept the store from being opened.
    pub const fn kind(&self) -> OpenErrorKind {
        self.kind
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_known_by_its_columns_and_its_name() {
        let error = StoreError::Violation(Violation {
            kind: ViolationKind::Unique,
            constraint: Some("members_org_id_user_id_key".into()),
            table: Some("members".into()),
            columns: vec!["org_id".into(), "user_id".into()],
        });
        assert!(error.violates("members.org_id, user_id"));
        assert!(error.violates("members.org_id,user_id"));
        assert!(error.violates("members_org_id_user_id_key"));
        for other in ["members", "members.org_id", "members.user_id, org_id", "memberships.org_id, user_id", ""] {
            assert!(!error.violates(other), "{other}");
        }
    }

    #[test]
    fn every_name_is_documented() {
        let mut docs = Vec::new();
        StoreError::describe(&mut docs);
        for error in [
            StoreError::unavailable("x"),
            StoreError::Busy,
            StoreError::Timeout,
            StoreError::ScanTimeout,
            StoreError::TooLarge,
            StoreError::Full,
            StoreError::ReadOnly,
            StoreError::Corrupt { source: "x".into() },
            StoreError::Violation(Violation::bare(ViolationKind::Check)),
            StoreError::Nested,
            StoreError::Stalled,
            StoreError::internal("x"),
        ] {
            assert!(docs.iter().any(|doc| doc.name == error.name() && doc.code == error.code()), "{error}");
            assert_eq!(error.code() == Code::Unavailable, error.retry_after().is_some(), "{error}");
        }
    }
}
