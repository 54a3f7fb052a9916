//! Brings the server's tables up to date, over a connection of its own.

use std::time::Duration;

use kernel::Clock;

use super::failure::Failure;
use super::pool::{Pool, Use};
use super::session::Session;
use crate::migrate::{Known, Plan, Step};
use crate::{Applied, MigrateError, StoreError, params};

/// "mainstay" in ASCII: nobody else's advisory lock.
const LOCK: i64 = 0x6d61_696e_7374_6179;
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
    let mut session = tokio::time::timeout(CONNECT, pool.connect(Use::Alone))
        .await
        .map_err(|_| StoreError::unavailable("the database server did not answer in time"))?
        .map_err(|error| Failure::from(error).error)?;
    let result = match prepare(&mut session, plan).await {
        Ok((path, known)) => {
            let result = apply_all(&mut session, plan, &known, clock).await;
            // Also after a failure: the steps before it stay.
            pool.set_search_path(path);
            result
        }
        Err(error) => Err(error),
    };
    // Whatever is open is rolled back by the server.
    session.leave().await;
    result
}

/// Makes the record and the schemas, and sets the search path; gives it, and what the database remembers.
async fn prepare(session: &mut Session, plan: &Plan) -> Result<(String, Vec<Known>), MigrateError> {
    let settings = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
                    SET default_transaction_read_only = off";
    session.batch(settings).await.map_err(store)?;
    begin(session).await.map_err(store)?;
    session.batch(TABLE).await.map_err(store)?;
    let known: Vec<Known> = session
        .fetch(
            "SELECT domain, step, name, checksum FROM mainstay.mainstay_migrations ORDER BY domain, step",
            &[],
            usize::MAX,
        )
        .await
        .map_err(store)?;
    plan.verify(&known)?;
    // A domain that the product no longer has keeps its tables, and its place in the path.
    let mut domains: Vec<&str> = plan.domains.iter().map(|plan| plan.domain).collect();
    for (domain, ..) in &known {
        if !domains.contains(&domain.as_str()) {
            domains.push(domain);
        }
    }
    for domain in &domains {
        session.batch(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(domain))).await.map_err(store)?;
    }
    let path = domains.iter().map(|domain| quoted(domain)).chain([quoted("public")]).collect::<Vec<_>>().join(", ");
    let database: Vec<(String,)> = session.fetch("SELECT current_database()::text", &[], 1).await.map_err(store)?;
    for (database,) in database {
        // For every later session of this role, through whatever pooler it comes.
        let alter = format!("ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path = {path}", quoted(&database));
        session.batch(&alter).await.map_err(store)?;
    }
    session.batch("COMMIT").await.map_err(store)?;
    Ok((path, known))
}

async fn apply_all(
    session: &mut Session,
    plan: &Plan,
    known: &[Known],
    clock: &Clock,
) -> Result<Vec<Applied>, MigrateError> {
    let mut applied = Vec::new();
    for (domain, step) in plan.steps() {
        if known.iter().any(|(of, number, ..)| of == domain && *number == step.number) {
            continue;
        }
        if apply(session, domain, step, clock).await.map_err(|failure| step.failed(domain, failure.error))? {
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
    let lock = format!(
        "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock({LOCK}); SET LOCAL lock_timeout = '10s'"
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

async fn apply_in_transaction(
    session: &mut Session,
    domain: &str,
    step: &Step,
    clock: &Clock,
) -> Result<bool, Failure> {
    begin(session).await?;
    let done: Vec<(i64,)> = session
        .fetch(
            "SELECT 1::bigint FROM mainstay.mainstay_migrations WHERE domain = $1 AND step = $2",
            &params![domain, step.number],
            1,
        )
        .await?;
    if !done.is_empty() {
        session.batch("COMMIT").await?;
        return Ok(false);
    }
    session.batch(&format!("SET LOCAL search_path = {}, public", quoted(domain))).await?;
    for statement in &step.statements {
        session.batch(statement).await?;
    }
    session
        .execute(
            "INSERT INTO mainstay.mainstay_migrations (domain, step, name, checksum, applied_at) \
             VALUES ($1, $2, $3, $4, $5)",
            &params![domain, step.number, step.name, &step.checksum, clock.now()],
        )
        .await?;
    session.batch("COMMIT").await?;
    Ok(true)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
