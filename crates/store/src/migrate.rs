mod expand;
mod lint;

use std::collections::HashMap;
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
        source: Box<StoreError>,
    },
    /// There is no room for the new tables: the schema is another program's, or our role may not create them. Why, and
    /// what to do.
    Refused(String),
    /// Rows are being carried into the database, or were when somebody stopped it.
    HalfCopied,
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
            MigrateError::Refused(advice) => f.write_str(advice),
            MigrateError::HalfCopied => f.write_str(
                "rows are being copied into this database, or were until that was stopped: let it end, run the same \
                 `db copy` again, or make the database anew",
            ),
            MigrateError::Store(_) => f.write_str("the migrations could not be applied"),
        }
    }
}

impl std::error::Error for MigrateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MigrateError::Step { source, .. } => Some(&**source),
            MigrateError::Store(source) => Some(source),
            _ => None,
        }
    }
}

impl From<StoreError> for MigrateError {
    fn from(error: StoreError) -> Self {
        MigrateError::Store(error)
    }
}

/// The name of the checks that stand in for PostgreSQL's types on SQLite. What they refuse is a bug in the server.
pub(crate) const TYPE_CHECK: &str = "mainstay_type";

/// What every set of migrations says, for one dialect, checked as far as it can be without the database.
#[derive(Debug)]
pub(crate) struct MigrationPlan {
    pub(crate) domains: Vec<DomainPlan>,
}

/// One domain's steps.
#[derive(Debug)]
pub(crate) struct DomainPlan {
    pub(crate) domain: &'static str,
    pub(crate) steps: Vec<Step>,
    /// The tables that its steps make.
    pub(crate) tables: Vec<String>,
}

/// One step: one transaction, or one index that is built without.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) checksum: String,
    pub(crate) statements: Vec<String>,
    /// The index it builds beside the table's traffic, which no transaction can.
    pub(crate) concurrent_index: Option<String>,
}

/// A step as the database remembers it.
pub(crate) type Known = (String, u32, String, String);

impl MigrationPlan {
    pub(crate) fn new(sets: &[Migrations], dialect: Dialect) -> Result<Self, MigrateError> {
        let mut domains: Vec<DomainPlan> = Vec::new();
        let mut owners: HashMap<String, &'static str> = HashMap::new();
        let mut references = Vec::new();
        for set in sets {
            let domain = set.domain;
            let about = |step: &str, advice: String| MigrateError::Text {
                domain: domain.to_owned(),
                step: step.to_owned(),
                advice,
            };
            check_domain(domain).map_err(|advice| about("", advice))?;
            if domains.iter().any(|other| other.domain == domain) {
                return Err(about("", "its migrations are listed twice".to_owned()));
            }
            let (mut steps, mut tables) = (Vec::with_capacity(set.steps.len()), Vec::new());
            for (position, (name, text)) in set.steps.iter().copied().enumerate() {
                let number = step_number(name, position).map_err(|advice| about(name, advice))?;
                let script = expand::expand(text, dialect).map_err(|advice| about(name, advice))?;
                if dialect != Dialect::Postgres {
                    // An error on PostgreSQL is reported here too, where the step is written.
                    expand::expand(text, Dialect::Postgres).map_err(|advice| about(name, advice))?;
                }
                for table in script.tables {
                    tables.push(table.clone());
                    if let Some(other) = owners.insert(table.clone(), domain).filter(|other| *other != domain) {
                        return Err(about(
                            name,
                            format!("the table `{table}` is one of `{other}` too; table names are unique over the app"),
                        ));
                    }
                }
                references.extend(script.refers_to.into_iter().map(|table| (domain, name, table)));
                steps.push(Step {
                    number,
                    name,
                    checksum: checksum(text),
                    statements: script.statements,
                    concurrent_index: script.concurrent_index,
                });
            }
            domains.push(DomainPlan { domain, steps, tables });
        }
        for (domain, name, table) in references {
            if let Some(other) = owners.get(&table).filter(|other| **other != domain) {
                return Err(MigrateError::Text {
                    domain: domain.to_owned(),
                    step: name.to_owned(),
                    advice: format!(
                        "a foreign key refers to `{table}`, which is `{other}`'s; no foreign key crosses a domain: keep \
                         the id alone, and handle the events that `{other}` emits"
                    ),
                });
            }
        }
        Ok(Self { domains })
    }

    /// Compares what the database remembers with what the program knows.
    pub(crate) fn verify(&self, known: &[Known]) -> Result<(), MigrateError> {
        for (domain, number, name, checksum) in known {
            // A domain that the product no longer has keeps its tables.
            let Some(plan) = self.domains.iter().find(|plan| plan.domain == domain) else { continue };
            match plan.steps.iter().find(|step| step.number == *number) {
                None => return Err(MigrateError::Newer { domain: domain.clone(), step: name.clone() }),
                Some(step) if step.checksum != *checksum => {
                    return Err(MigrateError::Changed { domain: domain.clone(), step: step.name.to_owned() });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The steps that the database does not remember, in order.
    pub(crate) fn pending(&self, known: &[Known]) -> impl Iterator<Item = (&'static str, &Step)> {
        self.steps()
            .filter(|(domain, step)| !known.iter().any(|(of, number, ..)| of == domain && *number == step.number))
    }

    /// The tables of the domains that have made none of theirs yet.
    pub(crate) fn unmade_tables<'a>(&'a self, known: &'a [Known]) -> impl Iterator<Item = &'a str> {
        let is_unmade = |plan: &&DomainPlan| !known.iter().any(|(of, ..)| of == plan.domain);
        self.domains.iter().filter(is_unmade).flat_map(|plan| plan.tables.iter().map(String::as_str))
    }

    /// Every step in order, with its domain.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&'static str, &Step)> {
        self.domains.iter().flat_map(|plan| plan.steps.iter().map(|step| (plan.domain, step)))
    }
}

impl Step {
    /// The failure of this step.
    pub(crate) fn failed(&self, domain: &str, source: StoreError) -> MigrateError {
        MigrateError::Step { domain: domain.to_owned(), step: self.name.to_owned(), source: Box::new(source) }
    }
}

/// A number of tables, in words.
pub(crate) fn told(tables: i64) -> String {
    if tables == 1 { "one table".to_owned() } else { format!("{tables} tables") }
}

fn check_domain(domain: &str) -> Result<(), String> {
    let shaped = domain.starts_with(|c: char| c.is_ascii_lowercase())
        && domain.len() <= 40
        && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let taken = ["mainstay", "public", "information_schema"].contains(&domain) || domain.starts_with("pg_");
    if !shaped {
        return Err("a domain is named by lower-case letters, digits and `_`, at most 40, a letter first".to_owned());
    }
    if taken {
        return Err("this name is a schema of the database's or of the store's own; choose another".to_owned());
    }
    Ok(())
}

/// The number in front of a step's name, which must be its position.
fn step_number(name: &str, position: usize) -> Result<u32, String> {
    let expected = u32::try_from(position + 1).unwrap_or(u32::MAX);
    let number = name.split_once('_').and_then(|(digits, rest)| {
        (digits.len() == 4 && !rest.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().ok())
    });
    match number.flatten() {
        Some(number) if number == expected => Ok(number),
        Some(_) => Err(format!("it is listed as step {expected}; steps are listed in their order, without gaps")),
        None => Err(format!("a step is named like `{expected:04}_accounts`")),
    }
}

/// Tells whether a file was changed; line ends do not count, since version control changes them. FNV-1a of 128 bits
/// (draft-eastlake-fnv): it guards against an accident, not against an attacker, who could change the record as well.
fn checksum(text: &str) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in text.bytes().filter(|byte| *byte != b'\r') {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sets: &[Migrations]) -> Result<MigrationPlan, String> {
        MigrationPlan::new(sets, Dialect::Sqlite).map_err(|error| error.to_string())
    }

    #[test]
    fn sets_are_checked_against_each_other() {
        let a = Migrations { domain: "a", steps: &[("0001_x", "CREATE TABLE x (id id PRIMARY KEY)")] };
        assert_eq!(plan(&[a]).unwrap().steps().count(), 1);
        assert!(plan(&[a, a]).unwrap_err().contains("twice"));
        let same = Migrations { domain: "b", ..a };
        assert!(plan(&[a, same]).unwrap_err().contains("unique over the app"));
        let crossing = Migrations { domain: "b", steps: &[("0001_y", "CREATE TABLE y (x_id id REFERENCES x (id))")] };
        assert!(plan(&[a, crossing]).unwrap_err().contains("no foreign key crosses"));
        for domain in ["", "A", "1a", "a-b", "pg_x", "public", "mainstay", "한글"] {
            assert!(plan(&[Migrations { domain, steps: &[] }]).is_err(), "{domain}");
        }
        for steps in [
            &[("x", "SELECT 1")] as &'static [_],
            &[("1_x", "SELECT 1")],
            &[("0001_", "SELECT 1")],
            &[("0002_x", "SELECT 1")],
            &[("0001_x", "SELECT 1"), ("0003_x", "SELECT 1")],
            &[("0001_x", "SELECT 1"), ("0001_y", "SELECT 1")],
        ] {
            assert!(plan(&[Migrations { domain: "a", steps }]).is_err(), "{steps:?}");
        }
    }

    #[test]
    fn a_checksum_ignores_line_ends_only() {
        assert_eq!(checksum("a\r\nb\n"), checksum("a\nb\n"));
        assert_ne!(checksum("a\nb\n"), checksum("a\nb"));
        // The empty hash and the hash of "a" as the draft gives them.
        assert_eq!(checksum(""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(checksum("a"), "d228cb696f1a8caf78912b704e4a8964");
    }
}
