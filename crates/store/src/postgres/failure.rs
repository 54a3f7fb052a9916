//! From PostgreSQL's errors to ours.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::{StoreError, Violation, ViolationKind};

/// What an error means, and what may be done about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: StoreError,
    pub(crate) then: Then,
}

/// What may be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: tell the caller.
    Tell,
    /// Run the transaction again: another one was in its way.
    Again,
    /// Prepare the statements again and run it again: the tables have changed under them.
    Prepare,
    /// Take another connection: this one is dead.
    Reconnect,
    /// Tell the caller, and do not use this connection again: it does not know a table, which may be newer than itself, or
    /// leads to a server that is no primary.
    Renew,
}

impl Failure {
    /// Where it is not known whether the change was made: it must not be made again on another connection.
    pub(crate) fn without_reconnect(self) -> Self {
        match self.then {
            Then::Reconnect => Self { then: Then::Tell, ..self },
            _ => self,
        }
    }

    /// The error of a read outside a transaction.
    pub(crate) fn of_a_read(self) -> StoreError {
        match self.error {
            StoreError::ReadOnly => {
                StoreError::internal("a statement that changes something was given to `read`; use `store.tx`")
            }
            error => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, then: Then::Tell }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(told) = error.as_db_error() else {
            let lost = error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>());
            return if lost {
                Self { error: StoreError::unavailable(error), then: Then::Reconnect }
            } else {
                Self { error: StoreError::internal(error), then: Then::Tell }
            };
        };
        let then = match told.code().code() {
            "40001" | "40P01" => Then::Again,
            "26000" => Then::Prepare,
            "0A000" if told.message().contains("cached plan") => Then::Prepare,
            "42P01" | "3F000" => Then::Renew,
            "0A000" if is_of_standby(told) => Then::Renew,
            code if code.starts_with("57P") || code.starts_with("08") || code == "25P03" => Then::Reconnect,
            _ => Then::Tell,
        };
        let meant = match told.code().code() {
            "23505" => Some(unique(told)),
            "23503" | "23001" => Some(Violation::bare(ViolationKind::ForeignKey)),
            "23502" => Some(Violation {
                table: told.table().map(str::to_owned),
                columns: told.column().map(str::to_owned).into_iter().collect(),
                ..Violation::bare(ViolationKind::NotNull)
            }),
            "23514" => Some(Violation {
                constraint: told.constraint().map(str::to_owned),
                ..Violation::bare(ViolationKind::Check)
            }),
            _ => None,
        };
        let error = match (told.code().code(), meant) {
            (_, Some(violation)) => StoreError::Violation(violation),
            ("40001" | "40P01" | "55P03", _) => StoreError::Busy,
            ("57014", _) => StoreError::Timeout,
            ("53100", _) => StoreError::Full,
            ("25006", _) => StoreError::ReadOnly,
            ("0A000", _) if is_of_standby(told) => StoreError::ReadOnly,
            ("XX001" | "XX002", _) => StoreError::Corrupt { source: error.into() },
            (code, _) if ["53", "57P", "58", "08", "28", "3D"].iter().any(|class| code.starts_with(class)) => {
                StoreError::unavailable(error)
            }
            _ => StoreError::internal(error),
        };
        Self { error, then }
    }
}

/// Whether it is a standby that speaks, which cannot even begin what would write. By the names of the functions that say so:
/// the message is in whatever language the server speaks.
fn is_of_standby(told: &DbError) -> bool {
    told.routine().is_some_and(|of| ["call_bool_check_hook", "GetSerializableTransactionSnapshot"].contains(&of))
}

/// The columns stand in the detail, `Key (org_id, user_id)=(…) already exists.`, in any language the server speaks.
fn unique(told: &DbError) -> Violation {
    let columns = told
        .detail()
        .and_then(|detail| Some(&detail[detail.find('(')? + 1..detail.find(")=(")?]))
        .map(|list| list.split(", ").map(|name| name.trim_matches('"').to_owned()).collect::<Vec<_>>())
        // An index on an expression is known by its name alone, as on SQLite.
        .filter(|columns| columns.iter().all(|name| !name.contains(['(', ')', ':'])))
        .unwrap_or_default();
    let table = told.table().filter(|_| !columns.is_empty()).map(str::to_owned);
    Violation { kind: ViolationKind::Unique, constraint: told.constraint().map(str::to_owned), table, columns }
}
