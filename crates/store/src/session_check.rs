use std::fmt;
use std::sync::Arc;

use kernel::{Identity, Time};

use crate::Value;

/// How each transaction in a person's name proves, inside itself, that this person may still write: by a live session of
/// an account that still has the role. Authentication at a request's beginning cannot tell, because the session may end
/// while the body arrives. PostgreSQL gets from it the conflict with whoever ends the session or the account meanwhile.
///
/// The domain that owns sessions supplies the statement ([`Store::checking_sessions`](crate::Store::checking_sessions)).
#[derive(Debug, Clone)]
pub struct SessionCheck(Arc<Texts>);

struct Texts {
    sql: &'static str,
    /// The same as a statement that fails where `sql` gives no row, so that what was sent behind it is refused too.
    refusing: String,
}

/// What PostgreSQL says it cannot read as a number where a proof fails: plain SQL raises no error by itself.
pub(crate) const REFUSAL: &str = "no live session";

/// An expression that fails where `sql` gives no row.
fn refusing(sql: &str) -> String {
    format!("CAST(CASE WHEN EXISTS ({sql}) THEN '1' ELSE '{REFUSAL}' END AS int)")
}

impl SessionCheck {
    /// By this statement, which finds its row by keys and gives one where the session is live, none where it is not. Its
    /// parameters are the session's id, the user's, the present moment, and the role that the person claims.
    pub fn new(sql: &'static str) -> Self {
        Self(Arc::new(Texts { sql, refusing: format!("SELECT {}", refusing(sql)) }))
    }

    /// What a transaction by `identity` has to prove at `now`; nothing where it is no person's.
    pub(crate) fn of(&self, identity: &Identity, now: Time) -> Option<Proof> {
        match *identity {
            Identity::User { user_id, session_id, role } => {
                let params = [session_id.into(), user_id.into(), now.into(), role.into()];
                Some(Proof { check: self.clone(), params })
            }
            Identity::Anonymous | Identity::System => None,
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sql)
    }
}

/// What one transaction has to prove.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    check: SessionCheck,
    pub(crate) params: [Value; 4],
}

impl Proof {
    /// Gives one row where it holds, and none where it does not.
    pub(crate) fn sql(&self) -> &str {
        self.check.0.sql
    }

    /// Fails where it does not hold, with [`REFUSAL`] in its error.
    pub(crate) fn refusing(&self) -> &str {
        &self.check.0.refusing
    }

    /// The statement, which ends with what it returns, with one column more that fails where it does not hold: nothing is
    /// written then. Its parameters come after those of the statement, `before` in number.
    pub(crate) fn within(&self, statement: &str, before: usize) -> String {
        let mut pieces = self.sql().split('$');
        let mut sql = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (number, rest) = piece.split_at(piece.len().min(1));
            // What is no number is no parameter of ours, and the database says so.
            match number.parse::<usize>() {
                Ok(number) => sql.push_str(&format!("${}{rest}", before + number)),
                Err(_) => sql.push_str(&format!("${piece}")),
            }
        }
        format!("{statement}, {}", refusing(&sql))
    }
}
