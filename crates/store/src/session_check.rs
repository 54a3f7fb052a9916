use std::fmt;
use std::sync::Arc;

use kernel::{Identity, Time};

use crate::Value;

/// How each transaction in a person's name proves, inside itself, that this person may still write: by a live session of
/// an account that still has the role. Authentication at a request's beginning cannot tell, because the session may end
/// while the body arrives. On PostgreSQL it conflicts with a transaction that ends the session or account meanwhile.
///
/// The domain that owns sessions supplies the statement ([`Store::checking_sessions`](crate::Store::checking_sessions)).
#[derive(Debug, Clone)]
pub struct SessionCheck(Arc<Texts>);

struct Texts {
    sql: &'static str,
    /// The same as a statement that fails where `sql` gives no row, so that what was sent behind it is refused too.
    refusing: String,
    /// And as an expression in another statement: what it begins with, and each parameter with what follows it.
    begin: &'static str,
    parameters: Vec<(usize, &'static str)>,
}

/// What PostgreSQL says it cannot read as a number where a proof fails: plain SQL raises no error by itself.
pub(crate) const REFUSAL: &str = "no live session";

/// What makes of a query an expression that fails where it gives no row, with [`REFUSAL`].
const REFUSING: [&str; 2] = ["CAST(CASE WHEN EXISTS (", ") THEN '1' ELSE 'no live session' END AS int)"];

impl SessionCheck {
    /// By this statement, which finds its row by keys and gives one where the session is live, none where it is not. Its
    /// parameters are the session's id, the user's, the present moment, and the role that the person claims.
    pub fn new(sql: &'static str) -> Self {
        let [before, after] = REFUSING;
        let mut pieces = sql.split('$');
        let begin = pieces.next().unwrap_or_default();
        let parameters = pieces.map(|piece| {
            let (number, rest) = piece.split_at_checked(1).unwrap_or_default();
            // What is no number is no parameter: the database says so, of the statement as it stands.
            (number.parse().unwrap_or_default(), rest)
        });
        let parameters = parameters.collect();
        Self(Arc::new(Texts { sql, refusing: format!("SELECT {before}{sql}{after}"), begin, parameters }))
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
        let Texts { begin, parameters, refusing, .. } = &*self.check.0;
        // Made for each write: by hand, in one piece.
        let mut text = String::with_capacity(statement.len() + refusing.len() + parameters.len());
        let [start, end] = REFUSING;
        for part in [statement, ", ", start, begin] {
            text.push_str(part);
        }
        for (number, rest) in parameters {
            text.push('$');
            text.push_str(itoa::Buffer::new().format(before + number));
            text.push_str(rest);
        }
        text.push_str(end);
        text
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Role, SessionId, UserId};

    use super::*;

    #[test]
    fn within_a_statement_its_parameters_come_after_those_of_that() {
        let id = uuid::Uuid::from_u128(1);
        let (user_id, session_id) = (UserId::from_uuid(id), SessionId::from_uuid(id));
        let check = SessionCheck::new("SELECT 1 FROM s WHERE a = $1 AND b > $3 OR $4 = $2");
        let identity = Identity::User { user_id, session_id, role: Role::User };
        let proof = check.of(&identity, Time::from_micros(0)).unwrap();
        assert_eq!(
            proof.within("INSERT INTO t (x) VALUES ($1) RETURNING x", 9),
            "INSERT INTO t (x) VALUES ($1) RETURNING x, CAST(CASE WHEN EXISTS (SELECT 1 FROM s WHERE a = $10 AND b > $12 \
             OR $13 = $11) THEN '1' ELSE 'no live session' END AS int)"
        );
        assert!(proof.refusing().contains(REFUSAL) && REFUSING[1].contains(REFUSAL));
        assert!(check.of(&Identity::System, Time::from_micros(0)).is_none());
    }
}
