//! What the database says of itself. It is opened as the server opens it, and nothing is applied.

use std::collections::BTreeMap;
use std::path::Path;

use kernel::{Ctx, Time};
use store::{Dialect, MigrateError, Reactions, Reads, Store, StoreError};

use super::{Finding, PATIENCE};
use crate::Settings;
use crate::run::Program;

/// Findings after which a domain's tables may not be what this program thinks.
pub const HIDES_TABLES: &[&str] = &["migrations_pending", "migrations_differ", "database_not_answering"];

/// Opens the database if it is there. One that is not is no fault: the first start makes it.
pub async fn examine(program: &Program<'_>, settings: &Settings, ctx: &Ctx) -> (Option<Store>, Vec<Finding>) {
    let url = settings.database.url.expose();
    if let Some(path) = url.strip_prefix("sqlite://")
        && !Path::new(path).exists()
    {
        let what = format!("There is no database at {path} yet.");
        let fix = format!("`{} migrate` makes it; ask again then, for what can only be seen inside.", program.name);
        return (None, vec![Finding::advice("database_absent", what, fix)]);
    }
    let opened = tokio::time::timeout(PATIENCE, Store::open(&settings.database, Reactions::new())).await;
    let store = match opened {
        Ok(Ok(store)) => store,
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
        Err(error) => found.push(away(&error.to_string())),
    }
    if store.dialect() == Dialect::Postgres {
        match of_postgres(&store, ctx, settings).await {
            Ok(more) => found.extend(more),
            Err(error) => found.push(away(&error.to_string())),
        }
    }
    (Some(store), found)
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
        ('fsync', 'full_page_writes', 'synchronous_commit', 'max_connections', 'server_version_num')";
    let of_server: BTreeMap<String, String> = read.rows::<(String, String)>(sql, &[]).await?.into_iter().collect();
    let sql = "select rolsuper from pg_roles where rolname = current_user";
    let is_superuser = read.row::<(bool,)>(sql, &[]).await?.is_some_and(|(is,)| is);
    let sql = "select cast(pg_encoding_to_char(encoding) as text) from pg_database where datname = current_database()";
    let encoding = read.row::<(String,)>(sql, &[]).await?.map(|(encoding,)| encoding).unwrap_or_default();
    let sql = "select coalesce(host(inet_server_addr()), ''), now()";
    let (address, now) = read.row::<(String, Time)>(sql, &[]).await?.unwrap_or((String::new(), ctx.now()));
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let is_encrypted = read.row::<(bool,)>(sql, &[]).await?.is_some_and(|(is,)| is);
    let facts = Facts {
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
        ];
        let of_server = said.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut facts = Facts {
            is_encrypted: false,
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
        ] {
            let set = |facts: &mut Facts| drop(facts.of_server.insert(name.to_owned(), value.to_owned()));
            assert_eq!(codes(set), [code]);
        }
        assert_eq!(codes(|facts| facts.is_superuser = true), ["postgres_superuser"]);
        assert_eq!(codes(|facts| facts.encoding = "SQL_ASCII".to_owned()), ["postgres_encoding"]);
        assert_eq!(codes(|facts| facts.address = "10.0.0.7".to_owned()), ["postgres_without_tls"]);
        let elsewhere = |facts: &mut Facts| (facts.address, facts.is_encrypted) = ("10.0.0.7".to_owned(), true);
        assert_eq!(codes(elsewhere), [""; 0]);
        assert_eq!(codes(|facts| facts.ahead_s = -3), ["clock_differs"]);
        assert_eq!(codes(|facts| facts.ahead_s = 31), ["clock_differs"]);
    }
}
