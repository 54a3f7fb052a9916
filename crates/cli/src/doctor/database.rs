//! What the database says of itself. It is opened as the server opens it, and nothing is applied.

use std::collections::BTreeMap;
use std::path::Path;

use kernel::{Ctx, Time};
use store::{Dialect, EventHandlers, MigrateError, OpenErrorKind, Reads, Store, StoreError};

use super::{TIMEOUT, indexes};
use crate::Program;
use app::Finding;
use app::Settings;

/// Findings after which a domain's tables may not be what this program thinks.
pub const HIDES_TABLES: &[&str] =
    &["migrations_pending", "migrations_differ", "database_of_others", "database_not_answering"];

/// Half of what there is.
const MOST_FROZEN_AGE: i64 = 1_000_000_000;

/// Ours end after a minute.
const LONGEST_IDLE_S: i64 = 600;

/// Opens the database if it is there. A missing one is no error: the first start makes it.
pub async fn check(program: &Program<'_>, settings: &Settings, ctx: &Ctx) -> (Option<Store>, Vec<Finding>) {
    if let Some(path) = settings.database.sqlite_file()
        && !Path::new(&path).exists()
    {
        let what = format!("There is no database at {path} yet.");
        let fix = format!("`{} migrate` makes it; ask again then, for what can only be seen inside.", program.name);
        return (None, vec![Finding::advice("database_absent", what, fix)]);
    }
    let opened = tokio::time::timeout(TIMEOUT, Store::open(&settings.database, EventHandlers::new())).await;
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(error)) if error.kind() == OpenErrorKind::Pooler => {
            return (
                None,
                vec![Finding::serious(
                    "database_behind_pooler",
                    format!("The server would not start: {error}."),
                    "Set database.prepared_statements = false, and database.admin_url to the server itself.",
                )],
            );
        }
        Ok(Err(error)) if error.kind() == OpenErrorKind::Foreign => {
            return (None, vec![of_others(&error.to_string())]);
        }
        Ok(Err(error)) => return (None, vec![away(&error.to_string())]),
        Err(_) => return (None, vec![away("it did not answer in time")]),
    };
    let mut found = Vec::new();
    match store.pending(ctx, &program.app().migration_sets()).await {
        Ok(steps) if steps.is_empty() => {}
        Ok(steps) => found.push(Finding::advice(
            "migrations_pending",
            format!("{} steps of the tables are not applied yet, the first is {}.", steps.len(), steps[0].name),
            format!("They are applied by `{} migrate`, or when the server starts.", program.name),
        )),
        Err(error @ (MigrateError::Newer { .. } | MigrateError::Changed { .. } | MigrateError::Text { .. })) => {
            found.push(Finding::serious(
                "migrations_differ",
                format!("The tables are not those of this program: {error}."),
                "Run the program they belong to; no other can be trusted with them.",
            ));
        }
        Err(error @ MigrateError::Refused(_)) => found.push(of_others(&error.to_string())),
        Err(error) => found.push(away(&error.to_string())),
    }
    if let Some(code) = store.trouble() {
        found.push(Finding::serious(
            "database_takes_no_writes",
            format!("The database takes no writes ({code}): they are answered with 503, and no node is ready."),
            "End what made it read-only: default_transaction_read_only of the server, the database or the role, or a standby \
             in database.url.",
        ));
    }
    if store.dialect() == Dialect::Postgres {
        match of_postgres(&store, ctx, settings).await {
            Ok(more) => found.extend(more),
            Err(error) => found.push(away(&error.to_string())),
        }
        // Where there are no tables yet, there is nothing to say of them.
        if !found.iter().any(|finding| HIDES_TABLES.contains(&finding.code)) {
            match indexes::check(&store, ctx, &settings.database.schema_prefix).await {
                Ok(more) => found.extend(more),
                Err(error) => found.push(away(&error.to_string())),
            }
        }
    }
    (Some(store), found)
}

fn of_others(why: &str) -> Finding {
    Finding::serious(
        "database_of_others",
        format!("The tables cannot be made: {}.", why.trim_end_matches('.')),
        "Do as it says; the server would not start, and nothing was made or changed.",
    )
}

fn away(why: &str) -> Finding {
    Finding::serious(
        "database_not_answering",
        format!("The database cannot be asked: {}.", why.trim_end_matches('.')),
        "Start it, or correct database.url; nothing works without it.",
    )
}

async fn of_postgres(store: &Store, ctx: &Ctx, settings: &Settings) -> Result<Vec<Finding>, StoreError> {
    let read = store.read(ctx);
    let sql = "select cast(name as text), cast(setting as text) from pg_settings where name in
        ('fsync', 'full_page_writes', 'synchronous_commit', 'max_connections', 'server_version_num', 'autovacuum',
         'shared_buffers')";
    let of_server: BTreeMap<String, String> = read.rows::<(String, String)>(sql, &[]).await?.into_iter().collect();
    let sql = "select rolsuper from pg_roles where rolname = current_user";
    let is_superuser = read.row::<(bool,)>(sql, &[]).await?.is_some_and(|(is,)| is);
    let sql = "select cast(pg_encoding_to_char(encoding) as text) from pg_database where datname = current_database()";
    let encoding = read.row::<(String,)>(sql, &[]).await?.map(|(encoding,)| encoding).unwrap_or_default();
    let sql = "select coalesce(host(inet_server_addr()), ''), now()";
    let (address, now) = read.row::<(String, Time)>(sql, &[]).await?.unwrap_or((String::new(), ctx.now()));
    let sql = "select age(datfrozenxid)::bigint, pg_database_size(oid)::bigint, coalesce((
            select extract(epoch from now() - min(xact_start))::bigint from pg_stat_activity
            where datname = current_database() and state like 'idle in transaction%'), 0)
        from pg_database where datname = current_database()";
    let (frozen_age, size_bytes, idle_s) = read.row::<(i64, i64, i64)>(sql, &[]).await?.unwrap_or_default();
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let is_encrypted = read.row::<(bool,)>(sql, &[]).await?.is_some_and(|(is,)| is);
    let facts = Facts {
        frozen_age,
        size_bytes,
        idle_s,
        is_encrypted,
        of_server,
        is_superuser,
        encoding,
        address,
        ahead_s: ctx.now().as_secs() - now.as_secs(),
    };
    // A pooler decides how many connections it makes.
    let connections = settings.database.prepared_statements.then_some(settings.database.pool_size);
    Ok(judge(&facts, connections))
}

/// What a server said.
struct Facts {
    of_server: BTreeMap<String, String>,
    is_superuser: bool,
    encoding: String,
    /// Its address as this connection sees it; empty for a socket of this machine.
    address: String,
    is_encrypted: bool,
    /// Transactions since the oldest that may still be looked at; at two thousand million the server stops.
    frozen_age: i64,
    size_bytes: i64,
    /// How long the oldest transaction has been open in which nothing is done, in seconds.
    idle_s: i64,
    /// How far this machine's clock is before the database's, in seconds; negative when it is behind.
    ahead_s: i64,
}

fn judge(facts: &Facts, pool_size: Option<usize>) -> Vec<Finding> {
    let said = |name: &str| facts.of_server.get(name).map_or("", String::as_str);
    let number = |name: &str| said(name).parse::<u64>().unwrap_or_default();
    let mut found = Vec::new();
    for (name, loses) in [
        ("fsync", "a crash of the machine can damage the whole database"),
        ("full_page_writes", "a crash of the machine can leave half-written pages"),
        ("synchronous_commit", "a crash of the server loses writes that were acknowledged"),
    ] {
        if said(name) == "off" {
            let what = format!("PostgreSQL runs with {name} = off: {loses}.");
            let fix = format!("alter system set {name} = on; and select pg_reload_conf();");
            found.push(Finding::serious(code_of(name), what, fix));
        }
    }
    if said("autovacuum") == "off" {
        found.push(Finding::serious(
            "postgres_autovacuum_off",
            "PostgreSQL runs with autovacuum = off: tables grow for ever, and in the end it takes no more writes.",
            "alter system set autovacuum = on; and select pg_reload_conf();",
        ));
    }
    if facts.frozen_age > MOST_FROZEN_AGE {
        found.push(Finding::serious(
            "postgres_wraparound",
            format!("{} million transactions are not put to rest; at 2000 PostgreSQL takes no more writes.", facts.frozen_age / 1_000_000),
            "Run vacuum (freeze) on the database now, and find what keeps autovacuum from it: old transactions, abandoned replication slots.",
        ));
    }
    // In units of 8 KiB, as the server tells it.
    let buffers_bytes = number("shared_buffers") as i64 * 8192;
    if buffers_bytes > 0 && buffers_bytes <= 128 << 20 && facts.size_bytes > 8 * buffers_bytes {
        found.push(Finding::advice(
            "postgres_shared_buffers",
            format!(
                "PostgreSQL keeps {} MiB of a database of {} MiB in memory: its default.",
                buffers_bytes >> 20,
                facts.size_bytes >> 20
            ),
            "alter system set shared_buffers = … to a quarter of the machine's memory, and restart PostgreSQL.",
        ));
    }
    if facts.idle_s > LONGEST_IDLE_S {
        found.push(Finding::advice(
            "postgres_idle_transaction",
            format!("A transaction has been open for {} minutes, and nothing is done in it: no row that was deleted since can go.", facts.idle_s / 60),
            "Find it in pg_stat_activity and end it; set idle_in_transaction_session_timeout for the role whose it is.",
        ));
    }
    if facts.is_superuser {
        found.push(Finding::serious(
            "postgres_superuser",
            "The server signs in to PostgreSQL as a superuser: whoever takes it over has every database there.",
            "Make a role of its own that owns this database alone, and name it in database.url.",
        ));
    }
    // A few are kept for superusers, and one node is the least there is.
    if let Some(pool_size) = pool_size
        && number("max_connections") < pool_size as u64 + 5
    {
        found.push(Finding::serious(
            "postgres_connections",
            format!(
                "PostgreSQL takes {} connections; each node asks for up to {pool_size}.",
                number("max_connections")
            ),
            "Raise max_connections above database.pool_size times the number of nodes, or lower pool_size.",
        ));
    }
    if (1..150_000).contains(&number("server_version_num")) {
        found.push(Finding::advice(
            "postgres_version",
            format!("PostgreSQL is version {}; this program is tested with 15.", number("server_version_num") / 10_000),
            "Move to 15 or later.",
        ));
    }
    if facts.encoding != "UTF8" {
        found.push(Finding::serious(
            "postgres_encoding",
            format!("The database keeps text as {}: some of what people write cannot be stored.", facts.encoding),
            "Make it anew with `create database … encoding 'UTF8' template template0`, and move the data.",
        ));
    }
    let is_near = facts.address.is_empty() || facts.address.starts_with("127.") || facts.address == "::1";
    if !is_near && !facts.is_encrypted {
        found.push(Finding::advice(
            "postgres_without_tls",
            format!("The connection to PostgreSQL at {} is not encrypted.", facts.address),
            "Write `sslmode=verify-full` into database.url, with `sslrootcert` where the server's authority is your own.",
        ));
    }
    if facts.ahead_s.unsigned_abs() > 2 {
        let way = if facts.ahead_s > 0 { "ahead of" } else { "behind" };
        let what = format!("This clock is {} seconds {way} the database's.", facts.ahead_s.unsigned_abs());
        let fix = "Let both machines keep time (chrony, systemd-timesyncd): tokens and sessions end by the clock.";
        let make = if facts.ahead_s.unsigned_abs() > 30 { Finding::serious } else { Finding::advice };
        found.push(make("clock_differs", what, fix));
    }
    found
}

fn code_of(setting: &str) -> &'static str {
    match setting {
        "fsync" => "postgres_fsync_off",
        "full_page_writes" => "postgres_full_page_writes_off",
        _ => "postgres_synchronous_commit_off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(change: impl Fn(&mut Facts)) -> Vec<&'static str> {
        let said = [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("max_connections", "100"),
            ("server_version_num", "150008"),
            ("autovacuum", "on"),
            ("shared_buffers", "16384"),
        ];
        let of_server = said.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut facts = Facts {
            is_encrypted: false,
            frozen_age: 50_000_000,
            size_bytes: 100 << 20,
            idle_s: 0,
            of_server,
            is_superuser: false,
            encoding: "UTF8".to_owned(),
            address: "127.0.0.1".to_owned(),
            ahead_s: 0,
        };
        change(&mut facts);
        judge(&facts, Some(16)).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_fault_of_a_server_is_told() {
        assert_eq!(codes(|_| {}), [""; 0]);
        for (name, value, code) in [
            ("fsync", "off", "postgres_fsync_off"),
            ("full_page_writes", "off", "postgres_full_page_writes_off"),
            ("synchronous_commit", "off", "postgres_synchronous_commit_off"),
            ("max_connections", "20", "postgres_connections"),
            ("server_version_num", "140011", "postgres_version"),
            ("autovacuum", "off", "postgres_autovacuum_off"),
        ] {
            let set = |facts: &mut Facts| drop(facts.of_server.insert(name.to_owned(), value.to_owned()));
            assert_eq!(codes(set), [code]);
        }
        assert_eq!(codes(|facts| facts.frozen_age = 1_200_000_000), ["postgres_wraparound"]);
        assert_eq!(codes(|facts| facts.size_bytes = 2 << 30), ["postgres_shared_buffers"]);
        assert_eq!(codes(|facts| facts.idle_s = 3600), ["postgres_idle_transaction"]);
        assert_eq!(codes(|facts| facts.is_superuser = true), ["postgres_superuser"]);
        assert_eq!(codes(|facts| facts.encoding = "SQL_ASCII".to_owned()), ["postgres_encoding"]);
        assert_eq!(codes(|facts| facts.address = "10.0.0.7".to_owned()), ["postgres_without_tls"]);
        let elsewhere = |facts: &mut Facts| (facts.address, facts.is_encrypted) = ("10.0.0.7".to_owned(), true);
        assert_eq!(codes(elsewhere), [""; 0]);
        assert_eq!(codes(|facts| facts.ahead_s = -3), ["clock_differs"]);
        assert_eq!(codes(|facts| facts.ahead_s = 31), ["clock_differs"]);
    }
}
