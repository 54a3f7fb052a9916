//! Brings the server's tables up to date, over a connection of its own.

use std::time::{Duration, Instant};

use kernel::Clock;

use super::failure::Failure;
use super::pool::Pool;
use super::room::{self, Room};
use super::session::Session;
use crate::migrate::{Known, MigrationPlan, Step};
use crate::schemas::Schemas;
use crate::sql::quoted;
use crate::{Applied, MigrateError, StoreError, params};

/// How long another process's index is waited for.
const BUILD: Duration = Duration::from_secs(600);
/// How long the connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The record, in its schema.
const TABLE: &str = "(
    domain text COLLATE \"C\" NOT NULL,
    step bigint NOT NULL,
    name text COLLATE \"C\" NOT NULL,
    checksum text COLLATE \"C\" NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (domain, step)
)";

pub(crate) async fn run(pool: &Pool, plan: &MigrationPlan, clock: &Clock) -> Result<Vec<Applied>, MigrateError> {
    let schemas = pool.schemas();
    let mut session = connect(pool).await?;
    let result = match prepare(&mut session, schemas, plan).await {
        Ok((domains, known)) => {
            let mut result = match pool.admin_is_direct() {
                true => apply_all(&mut session, schemas, plan, &known, clock).await,
                false => match plan.pending(&known).find(|(_, step)| step.concurrent_index.is_some()) {
                    Some((domain, step)) => Err(MigrateError::Text {
                        domain: domain.to_owned(),
                        step: step.name.to_owned(),
                        advice:
                            "an index is built `CONCURRENTLY` on one connection from beginning to end, which a pooler \
                                 does not give; set `database.admin_url` to the server itself"
                                .to_owned(),
                    }),
                    None => apply_all(&mut session, schemas, plan, &known, clock).await,
                },
            };
            if let (Ok(_), Some(role)) = (&result, pool.role())
                && let Err(failure) = grant(&mut session, schemas, plan, role).await
            {
                result = Err(store(failure));
            }
            // Also after a failure: the steps before it stay.
            pool.set_domains(domains);
            result
        }
        Err(error) => Err(error),
    };
    // Whatever is open is rolled back by the server.
    session.leave().await;
    result
}

/// Checks whether the pending steps could be applied: a role that may not gets an error, and nothing is created.
pub(crate) async fn check(pool: &Pool, plan: &MigrationPlan) -> Result<(), MigrateError> {
    let mut session = connect(pool).await?;
    let checked = async {
        let known = known(&mut session, pool.schemas()).await.map_err(store)?;
        let room = Room::look(&mut session, pool.schemas(), plan).await.map_err(store)?;
        room.judge(pool.schemas(), plan, known.as_deref()).map(drop)
    }
    .await;
    session.leave().await;
    checked
}

async fn connect(pool: &Pool) -> Result<Session, StoreError> {
    tokio::time::timeout(CONNECT, pool.connect_admin())
        .await
        .map_err(|_| StoreError::unavailable("the database server did not answer in time"))?
        .map_err(|error| Failure::from(error).error)
}

/// Makes the record and the schemas where there is room for all of them, and none otherwise; gives the domains of the search
/// path, and what the database remembers. What is there already is left alone, so that nobody waits for another, and a role
/// that may change rows alone comes through: most starts are of this kind.
async fn prepare(
    session: &mut Session,
    schemas: &Schemas,
    plan: &MigrationPlan,
) -> Result<(Vec<String>, Vec<Known>), MigrateError> {
    if room::is_there(session, &schemas.copies()).await.map_err(store)? {
        return Err(MigrateError::HalfCopied);
    }
    if let Some(known) = known(session, schemas).await.map_err(store)? {
        plan.verify(&known)?;
        let room = Room::look(session, schemas, plan).await.map_err(store)?;
        if room.judge(schemas, plan, Some(&known)).is_ok_and(|missing| missing.is_empty()) {
            return Ok((domains(plan, &known), known));
        }
    }
    // Nobody else makes anything meanwhile, so that what is found is whole: another may just have been at it. Not where all
    // is there: who builds an index waits for every transaction there is, also for one that waits for the lock.
    begin(session, schemas).await.map_err(store)?;
    let made = make_room(session, schemas, plan).await;
    session.batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await.map_err(store)?;
    made
}

async fn make_room(
    session: &mut Session,
    schemas: &Schemas,
    plan: &MigrationPlan,
) -> Result<(Vec<String>, Vec<Known>), MigrateError> {
    let known = known(session, schemas).await.map_err(store)?;
    if let Some(known) = &known {
        plan.verify(known)?;
    }
    let room = Room::look(session, schemas, plan).await.map_err(store)?;
    for schema in room.judge(schemas, plan, known.as_deref())? {
        session.batch(&format!("CREATE SCHEMA {}", quoted(&schema))).await.map_err(store)?;
    }
    if known.is_none() {
        session.batch(&format!("CREATE TABLE {} {TABLE}", schemas.migrations())).await.map_err(store)?;
    }
    let known = known.unwrap_or_default();
    Ok((domains(plan, &known), known))
}

/// What the database remembers, if it remembers anything.
async fn known(session: &mut Session, schemas: &Schemas) -> Result<Option<Vec<Known>>, Failure> {
    if !room::is_there(session, &schemas.migrations()).await? {
        return Ok(None);
    }
    let all = format!("SELECT domain, step, name, checksum FROM {} ORDER BY domain, step", schemas.migrations());
    session.fetch(&all, &[], usize::MAX).await.map(Some)
}

/// Every domain of the plan, and those that the product no longer has: they keep their tables, and their place in the path.
fn domains(plan: &MigrationPlan, known: &[Known]) -> Vec<String> {
    let mut domains: Vec<String> = plan.domains.iter().map(|plan| plan.domain.to_owned()).collect();
    for (domain, ..) in known {
        if !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    domains
}

/// Lets the role that queries run as read and change the rows of the plan's domains, where another role owns them.
async fn grant(session: &mut Session, schemas: &Schemas, plan: &MigrationPlan, role: &str) -> Result<(), Failure> {
    let mut missing = Vec::new();
    let record = schemas.record();
    if !is_granted(session, role, &record, &["SELECT"]).await? {
        let record = quoted(&record);
        missing.push(format!(
            "GRANT USAGE ON SCHEMA {record} TO {{role}}; GRANT SELECT ON ALL TABLES IN SCHEMA {record} TO {{role}}"
        ));
    }
    for domain in &plan.domains {
        let schema = schemas.of(domain.domain);
        if !is_granted(session, role, &schema, &["SELECT", "INSERT", "UPDATE", "DELETE"]).await? {
            let schema = quoted(&schema);
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
    begin(session, schemas).await?;
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
    schemas: &Schemas,
    plan: &MigrationPlan,
    known: &[Known],
    clock: &Clock,
) -> Result<Vec<Applied>, MigrateError> {
    let mut applied = Vec::new();
    for (domain, step) in plan.pending(known) {
        let done = match &step.concurrent_index {
            Some(index) => build(session, schemas, domain, step, index, clock).await,
            None => apply(session, schemas, domain, step, clock).await,
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
async fn begin(session: &mut Session, schemas: &Schemas) -> Result<(), Failure> {
    let lock = schemas.lock();
    // All that a connection's settings could be, since the one that comes may be a pooler's.
    let lock = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0; \
         SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL client_min_messages = error; \
         SET LOCAL TIME ZONE 'UTC'; SET LOCAL standard_conforming_strings = on; \
         SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock({lock}); SET LOCAL lock_timeout = '10s'"
    );
    session.batch(&lock).await
}

/// Applies one step; `false` when another process has done it meanwhile.
async fn apply(
    session: &mut Session,
    schemas: &Schemas,
    domain: &str,
    step: &Step,
    clock: &Clock,
) -> Result<bool, Failure> {
    let result = apply_in_transaction(session, schemas, domain, step, clock).await;
    if result.is_err() && !session.is_closed() {
        session.batch("ROLLBACK").await?;
    }
    result
}

/// Builds an index while the table is written to, which no transaction can; `false` when another process has done it
/// meanwhile. One that was broken off leaves an index that is not valid, and is in the way of the next.
async fn build(
    session: &mut Session,
    schemas: &Schemas,
    domain: &str,
    step: &Step,
    index: &str,
    clock: &Clock,
) -> Result<bool, Failure> {
    let lock = schemas.lock();
    // Not within a transaction, and asked for again and again: the one who builds waits for every transaction there is.
    let until = Instant::now() + BUILD;
    loop {
        let got: Vec<(bool,)> = session.fetch("SELECT pg_try_advisory_lock($1)", &params![lock], 1).await?;
        if got.first().is_some_and(|(is_ours,)| *is_ours) {
            break;
        }
        if Instant::now() >= until {
            return Err(StoreError::Busy.into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let result = build_locked(session, schemas, domain, step, index, clock).await;
    if !session.is_closed() {
        session.batch(&format!("SELECT pg_advisory_unlock({lock})")).await?;
    }
    result
}

async fn build_locked(
    session: &mut Session,
    schemas: &Schemas,
    domain: &str,
    step: &Step,
    index: &str,
    clock: &Clock,
) -> Result<bool, Failure> {
    if is_done(session, schemas, domain, step).await? {
        return Ok(false);
    }
    let path = schemas.path([domain]);
    session.batch(&format!("SET statement_timeout = 0; SET search_path = {path}")).await?;
    let broken = "SELECT 1::bigint FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND NOT i.indisvalid";
    let broken: Vec<(i64,)> = session.fetch(broken, &params![schemas.of(domain), index], 1).await?;
    if !broken.is_empty() {
        session.batch(&format!("DROP INDEX CONCURRENTLY {path}.{}", quoted(index))).await?;
    }
    for statement in &step.statements {
        session.batch(statement).await?;
    }
    session.batch("BEGIN").await?;
    note(session, schemas, domain, step, clock).await?;
    session.batch("COMMIT").await?;
    Ok(true)
}

async fn apply_in_transaction(
    session: &mut Session,
    schemas: &Schemas,
    domain: &str,
    step: &Step,
    clock: &Clock,
) -> Result<bool, Failure> {
    begin(session, schemas).await?;
    if is_done(session, schemas, domain, step).await? {
        session.batch("COMMIT").await?;
        return Ok(false);
    }
    // The domain's schema alone: what cannot be made there is made nowhere.
    session.batch(&format!("SET LOCAL search_path = {}", schemas.path([domain]))).await?;
    for statement in &step.statements {
        session.batch(statement).await?;
    }
    note(session, schemas, domain, step, clock).await?;
    session.batch("COMMIT").await?;
    Ok(true)
}

async fn is_done(session: &mut Session, schemas: &Schemas, domain: &str, step: &Step) -> Result<bool, Failure> {
    let ask = format!("SELECT 1::bigint FROM {} WHERE domain = $1 AND step = $2", schemas.migrations());
    let done: Vec<(i64,)> = session.fetch(&ask, &params![domain, step.number], 1).await?;
    Ok(!done.is_empty())
}

/// Remembers that a step was applied.
async fn note(
    session: &mut Session,
    schemas: &Schemas,
    domain: &str,
    step: &Step,
    clock: &Clock,
) -> Result<(), Failure> {
    let insert = format!(
        "INSERT INTO {} (domain, step, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
        schemas.migrations()
    );
    session.execute(&insert, &params![domain, step.number, step.name, &step.checksum, clock.now()]).await?;
    Ok(())
}
