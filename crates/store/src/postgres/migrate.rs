//! Brings the server's tables up to date, over a connection of its own.

use std::time::{Duration, Instant};

use kernel::Clock;

use super::copy::COPIES;
use super::failure::Failure;
use super::pool::Pool;
use super::session::Session;
use crate::migrate::{Known, Plan, Step};
use crate::sql::quoted;
use crate::{Applied, MigrateError, StoreError, params};

/// "mainstay" in ASCII: nobody else's advisory lock.
const LOCK: i64 = 0x6d61_696e_7374_6179;
/// How long another process's index is waited for.
const BUILD: Duration = Duration::from_secs(600);
/// How long the connection may take.
const CONNECT: Duration = Duration::from_secs(10);

const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS mainstay;
CREATE TABLE IF NOT EXISTS mainstay.mainstay_migrations (
    domain text COLLATE \"C\" NOT NULL,
    step bigint NOT NULL,
    name text COLLATE \"C\" NOT NULL,
    checksum text COLLATE \"C\" NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (domain, step)
)";

pub(crate) async fn run(pool: &Pool, plan: &Plan, clock: &Clock) -> Result<Vec<Applied>, MigrateError> {
    let mut session = tokio::time::timeout(CONNECT, pool.connect_admin())
        .await
        .map_err(|_| StoreError::unavailable("the database server did not answer in time"))?
        .map_err(|error| Failure::from(error).error)?;
    let result = match prepare(&mut session, plan, pool.role()).await {
        Ok((domains, known)) => {
            let mut result = match pool.admin_is_direct() {
                true => apply_all(&mut session, plan, &known, clock).await,
                false => match plan.pending(&known).find(|(_, step)| step.concurrent_index.is_some()) {
                    Some((domain, step)) => Err(MigrateError::Text {
                        domain: domain.to_owned(),
                        step: step.name.to_owned(),
                        advice:
                            "an index is built `CONCURRENTLY` on one connection from beginning to end, which a pooler \
                                 does not give; set `database.admin_url` to the server itself"
                                .to_owned(),
                    }),
                    None => apply_all(&mut session, plan, &known, clock).await,
                },
            };
            if let (Ok(_), Some(role)) = (&result, pool.role())
                && let Err(failure) = grant(&mut session, plan, role).await
            {
                result = Err(store(failure));
            }
            // Also after a failure: the steps before it stay.
            pool.set_search_path(search_path(&domains));
            result
        }
        Err(error) => Err(error),
    };
    // Whatever is open is rolled back by the server.
    session.leave().await;
    result
}

/// Makes the record and the schemas, and sets the search path; gives the domains in it, and what the database remembers.
/// What is there already is left alone, so that nobody waits for another, and a role that may change rows alone comes
/// through: most starts are of this kind.
async fn prepare(
    session: &mut Session,
    plan: &Plan,
    role: Option<&str>,
) -> Result<(Vec<String>, Vec<Known>), MigrateError> {
    if is_there(session, COPIES).await.map_err(store)? {
        return Err(MigrateError::HalfCopied);
    }
    let mut found = None;
    if let Some(known) = known(session).await.map_err(store)? {
        plan.verify(&known)?;
        let domains = domains(plan, &known);
        if has_schemas(session, &domains).await.map_err(store)? {
            found = Some((domains, known));
        }
    }
    let (domains, known) = match found {
        Some(found) => found,
        None => {
            begin(session).await.map_err(store)?;
            session.batch(TABLE).await.map_err(store)?;
            let known = record(session).await.map_err(store)?;
            plan.verify(&known)?;
            let domains = domains(plan, &known);
            for domain in &domains {
                session.batch(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(domain))).await.map_err(store)?;
            }
            session.batch("COMMIT").await.map_err(store)?;
            (domains, known)
        }
    };
    set_path(session, &search_path(&domains), role).await.map_err(store)?;
    Ok((domains, known))
}

/// What the database remembers, if it remembers anything.
async fn known(session: &mut Session) -> Result<Option<Vec<Known>>, Failure> {
    match is_there(session, "mainstay.mainstay_migrations").await? {
        true => record(session).await.map(Some),
        false => Ok(None),
    }
}

async fn is_there(session: &mut Session, table: &str) -> Result<bool, Failure> {
    let name: Vec<(Option<String>,)> = session.fetch("SELECT to_regclass($1)::text", &params![table], 1).await?;
    Ok(name.first().is_some_and(|(name,)| name.is_some()))
}

async fn record(session: &mut Session) -> Result<Vec<Known>, Failure> {
    let all = "SELECT domain, step, name, checksum FROM mainstay.mainstay_migrations ORDER BY domain, step";
    session.fetch(all, &[], usize::MAX).await
}

/// Every domain of the plan, and those that the product no longer has: they keep their tables, and their place in the path.
fn domains(plan: &Plan, known: &[Known]) -> Vec<String> {
    let mut domains: Vec<String> = plan.domains.iter().map(|plan| plan.domain.to_owned()).collect();
    for (domain, ..) in known {
        if !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    domains
}

fn search_path(domains: &[String]) -> String {
    domains.iter().map(|domain| quoted(domain)).chain([quoted("public")]).collect::<Vec<_>>().join(", ")
}

async fn has_schemas(session: &mut Session, domains: &[String]) -> Result<bool, Failure> {
    let all = "SELECT nspname::text FROM pg_catalog.pg_namespace";
    let schemas: Vec<(String,)> = session.fetch(all, &[], usize::MAX).await?;
    Ok(domains.iter().all(|domain| schemas.iter().any(|(schema,)| schema == domain)))
}

/// Sets the role's search path, for whoever connects as it: people, their tools, and processes that bring nothing up to
/// date themselves. Where this is not allowed, only those go without.
async fn set_path(session: &mut Session, path: &str, role: Option<&str>) -> Result<(), Failure> {
    // The server quotes only the names that need it.
    if path_of(session, role).await?.is_some_and(|is| is.replace('"', "") == path.replace('"', "")) {
        return Ok(());
    }
    let name: Vec<(String,)> = session.fetch("SELECT current_database()::text", &[], 1).await?;
    let Some((database,)) = name.into_iter().next() else { return Ok(()) };
    begin(session).await?;
    let role = role.map_or("CURRENT_USER".to_owned(), quoted);
    let alter = format!("ALTER ROLE {role} IN DATABASE {} SET search_path = {path}", quoted(&database));
    let result = session.batch(&alter).await;
    session.batch(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    if let Err(failure) = result {
        tracing::info!(
            error = &failure.error as &dyn std::error::Error,
            "the search path could not be set for {role}; in psql, write the schema before each table"
        );
    }
    Ok(())
}

/// A role's search path in this database, if one was set: the one we are, or another.
pub(crate) async fn path_of(session: &mut Session, role: Option<&str>) -> Result<Option<String>, Failure> {
    let settings: Vec<(String,)> = session
        .fetch(
            "SELECT setting FROM pg_catalog.pg_db_role_setting s
             JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
             JOIN pg_catalog.pg_roles r ON r.oid = s.setrole AND r.rolname = coalesce($1, current_user::text)
             CROSS JOIN unnest(s.setconfig) AS setting WHERE setting LIKE 'search_path=%'",
            &params![role],
            1,
        )
        .await?;
    Ok(settings.first().and_then(|(setting,)| setting.strip_prefix("search_path=")).map(str::to_owned))
}

/// Lets the role that queries run as read and change the rows of the plan's domains, where another role owns them.
async fn grant(session: &mut Session, plan: &Plan, role: &str) -> Result<(), Failure> {
    let mut missing = Vec::new();
    if !is_granted(session, role, "mainstay", &["SELECT"]).await? {
        missing.push(
            "GRANT USAGE ON SCHEMA mainstay TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA mainstay TO {role}"
                .to_owned(),
        );
    }
    for domain in &plan.domains {
        if !is_granted(session, role, domain.domain, &["SELECT", "INSERT", "UPDATE", "DELETE"]).await? {
            let schema = quoted(domain.domain);
            missing.push(format!(
                "GRANT USAGE ON SCHEMA {schema} TO {{role}}; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {{role}}; \
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {{role}}"
            ));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    begin(session).await?;
    for grant in missing {
        session.batch(&grant.replace("{role}", &quoted(role))).await?;
    }
    session.batch("COMMIT").await
}

/// Whether a role has these rights on every table of a schema, of its own or through a role it belongs to.
async fn is_granted(session: &mut Session, role: &str, schema: &str, rights: &[&str]) -> Result<bool, Failure> {
    let rights: Vec<_> = rights.iter().map(|right| format!("has_table_privilege($1, c.oid, '{right}')")).collect();
    let ask = format!(
        "SELECT has_schema_privilege($1, $2, 'USAGE') AND NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = $2 AND c.relkind IN ('r', 'p') AND NOT ({}))",
        rights.join(" AND ")
    );
    let answer: Vec<(bool,)> = session.fetch(&ask, &params![role, schema], 1).await?;
    Ok(answer.first().is_some_and(|(is_granted,)| *is_granted))
}

async fn apply_all(
    session: &mut Session,
    plan: &Plan,
    known: &[Known],
    clock: &Clock,
) -> Result<Vec<Applied>, MigrateError> {
    let mut applied = Vec::new();
    for (domain, step) in plan.pending(known) {
        let done = match &step.concurrent_index {
            Some(index) => build(session, domain, step, index, clock).await,
            None => apply(session, domain, step, clock).await,
        };
        if done.map_err(|failure| step.failed(domain, failure.error))? {
            applied.push(Applied { domain, step: step.number, name: step.name });
        }
    }
    Ok(applied)
}

fn store(failure: Failure) -> MigrateError {
    MigrateError::Store(failure.error)
}

/// Begins a transaction that no other migration is in. One that waits for a table longer than 10 s gives up, since
/// everybody else would queue behind it.
async fn begin(session: &mut Session) -> Result<(), Failure> {
    // All that a connection's settings could be, since the one that comes may be a pooler's.
    let lock = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0; \
         SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL client_min_messages = error; \
         SET LOCAL TIME ZONE 'UTC'; SET LOCAL standard_conforming_strings = on; \
         SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock({LOCK}); SET LOCAL lock_timeout = '10s'"
    );
    session.batch(&lock).await
}

/// Applies one step; `false` when another process has done it meanwhile.
async fn apply(session: &mut Session, domain: &str, step: &Step, clock: &Clock) -> Result<bool, Failure> {
    let result = apply_in_transaction(session, domain, step, clock).await;
    if result.is_err() && !session.is_closed() {
        session.batch("ROLLBACK").await?;
    }
    result
}

/// Builds an index while the table is written to, which no transaction can; `false` when another process has done it
/// meanwhile. One that was broken off leaves an index that is not valid, and is in the way of the next.
async fn build(session: &mut Session, domain: &str, step: &Step, index: &str, clock: &Clock) -> Result<bool, Failure> {
    // Not within a transaction, and asked for again and again: the one who builds waits for every transaction there is.
    let until = Instant::now() + BUILD;
    loop {
        let got: Vec<(bool,)> = session.fetch("SELECT pg_try_advisory_lock($1)", &params![LOCK], 1).await?;
        if got.first().is_some_and(|(is_ours,)| *is_ours) {
            break;
        }
        if Instant::now() >= until {
            return Err(StoreError::Busy.into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let result = build_locked(session, domain, step, index, clock).await;
    if !session.is_closed() {
        session.batch(&format!("SELECT pg_advisory_unlock({LOCK})")).await?;
    }
    result
}

async fn build_locked(
    session: &mut Session,
    domain: &str,
    step: &Step,
    index: &str,
    clock: &Clock,
) -> Result<bool, Failure> {
    if is_done(session, domain, step).await? {
        return Ok(false);
    }
    session.batch(&format!("SET statement_timeout = 0; SET search_path = {}, public", quoted(domain))).await?;
    let broken = "SELECT 1::bigint FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND NOT i.indisvalid";
    let broken: Vec<(i64,)> = session.fetch(broken, &params![domain, index], 1).await?;
    if !broken.is_empty() {
        session.batch(&format!("DROP INDEX CONCURRENTLY {}.{}", quoted(domain), quoted(index))).await?;
    }
    for statement in &step.statements {
        session.batch(statement).await?;
    }
    session.batch("BEGIN").await?;
    note(session, domain, step, clock).await?;
    session.batch("COMMIT").await?;
    Ok(true)
}

async fn apply_in_transaction(
    session: &mut Session,
    domain: &str,
    step: &Step,
    clock: &Clock,
) -> Result<bool, Failure> {
    begin(session).await?;
    if is_done(session, domain, step).await? {
        session.batch("COMMIT").await?;
        return Ok(false);
    }
    session.batch(&format!("SET LOCAL search_path = {}, public", quoted(domain))).await?;
    for statement in &step.statements {
        session.batch(statement).await?;
    }
    note(session, domain, step, clock).await?;
    session.batch("COMMIT").await?;
    Ok(true)
}

async fn is_done(session: &mut Session, domain: &str, step: &Step) -> Result<bool, Failure> {
    let ask = "SELECT 1::bigint FROM mainstay.mainstay_migrations WHERE domain = $1 AND step = $2";
    let done: Vec<(i64,)> = session.fetch(ask, &params![domain, step.number], 1).await?;
    Ok(!done.is_empty())
}

/// Remembers that a step was applied.
async fn note(session: &mut Session, domain: &str, step: &Step, clock: &Clock) -> Result<(), Failure> {
    session
        .execute(
            "INSERT INTO mainstay.mainstay_migrations (domain, step, name, checksum, applied_at) \
             VALUES ($1, $2, $3, $4, $5)",
            &params![domain, step.number, step.name, &step.checksum, clock.now()],
        )
        .await?;
    Ok(())
}
