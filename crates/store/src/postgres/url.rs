//! What a URL of PostgreSQL may say, and what to do instead of what it may not: of parameters that other drivers and tools
//! take, each has its setting here, or needs none.

use tokio_postgres::Config;

use super::tls;

/// Parameters that libpq, Prisma, JDBC, SQLAlchemy, node-postgres, pgx, Rails and PgBouncer's users write, in small letters
/// and without `_` and `-`, and what to do about each.
const FOREIGN: &[(&[&str], &str)] = &[
    (
        &[
            "pgbouncer",
            "preparestatements",
            "preparedstatements",
            "preparethreshold",
            "statementcachesize",
            "statementcachecapacity",
            "preparedstatementcachesize",
            "preparedstatementcachequeries",
            "defaultqueryexecmode",
            "simpleprotocol",
            "noprepare",
        ],
        "leave it out, and set `database.prepared_statements = false` where a pooler (PgBouncer in transaction mode) stands before \
         the server",
    ),
    (
        &[
            "connectionlimit",
            "poolsize",
            "pool",
            "maxpoolsize",
            "maxconnections",
            "poolmaxconns",
            "minpoolsize",
            "poolminconns",
            "maxoverflow",
        ],
        "leave it out, and set `database.pool_size`",
    ),
    (
        &["pooltimeout", "pooltimeoutms", "acquiretimeout", "checkouttimeout"],
        "leave it out, and set `database.wait_ms`",
    ),
    (
        &["schema", "schemas", "currentschema", "searchpath"],
        "leave it out: each domain has a schema of its own, which is named in every statement",
    ),
    (
        &[
            "sockettimeout",
            "statementtimeout",
            "locktimeout",
            "idleintransactionsessiontimeout",
            "querytimeout",
            "commandtimeout",
            "timeout",
            "logintimeout",
            "readtimeout",
        ],
        "leave it out: every wait ends by its request's deadline (`server.request_timeout_ms`)",
    ),
    (&["fallbackapplicationname", "applicationname", "appname"], "write `application_name`"),
    (
        &["sslaccept", "tlsmode", "tls", "requiressl", "sslprefer"],
        "write `sslmode=require`, or `sslmode=verify-full` to have the server's certificate checked",
    ),
    (&["sslca", "sslrootcertificate", "rootcert", "cacert"], "write `sslrootcert`"),
    (
        &["sslcert", "sslkey", "sslcrl", "sslcrldir", "sslidentity", "sslpassword", "sslcertmode"],
        "leave it out, and use a password: clients' certificates and lists of revoked ones are not read yet",
    ),
    (
        &[
            "sslsni",
            "sslcompression",
            "sslminprotocolversion",
            "sslmaxprotocolversion",
            "gssencmode",
            "gsslib",
            "gssdelegation",
            "krbsrvname",
            "requireauth",
            "requirepeer",
            "clientencoding",
            "encoding",
            "charset",
            "timezone",
            "uselibpqcompat",
            "minprotocolversion",
            "maxprotocolversion",
            "reapingfrequency",
            "asyncfallback",
            "rewritebatchedinserts",
            "stringtype",
            "loadbalance",
            "targetservertype",
            "replication",
        ],
        "leave it out; nothing here needs it",
    ),
    (
        &["service", "servicefile", "passfile"],
        "write host, user, password and database themselves: files of libpq are not read",
    ),
];

/// Parameters that the driver or [`tls`] knows, and what they may be.
const KNOWN: &[(&str, &str)] = &[
    ("application_name", "a text"),
    ("channel_binding", "`disable`, `prefer` or `require`"),
    ("connect_timeout", "a whole number of seconds"),
    ("dbname", "the database's name"),
    ("host", "a name, an address, or the folder of a unix socket"),
    ("hostaddr", "an address"),
    ("keepalives", "`1` or `0`"),
    ("keepalives_idle", "a whole number of seconds"),
    ("keepalives_interval", "a whole number of seconds"),
    ("keepalives_retries", "a whole number"),
    ("load_balance_hosts", "`disable` or `random`"),
    ("options", "what a session is started with, as in `-c%20geqo%3Doff`"),
    ("password", "the password"),
    ("port", "a number from 1 to 65535"),
    ("sslmode", "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`"),
    ("sslnegotiation", "`postgres` or `direct`"),
    ("sslrootcert", "a file"),
    ("target_session_attrs", "`any`, `read-write` or `read-only`"),
    ("tcp_user_timeout", "a whole number of milliseconds"),
    ("user", "the role"),
];

/// Checks a URL before it is parsed, so that the error names what is wrong. No advice repeats a part of the URL that
/// could belong to the password: its end is not known if a character in it is not encoded.
pub(crate) fn check(url: &str) -> Result<(), String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    // The driver takes the first `@` for the end of the password, others the last.
    let (login, after) = rest.split_once('@').unwrap_or(("", rest));
    let user = login.split(':').next().unwrap_or_default();
    if after.contains('@') || user.contains(['/', '?', '#']) {
        return Err(
            "`url` has an `@` that does not stand between the password and the host; write `%40` for each in a \
                    user, a password or a parameter"
                .to_owned(),
        );
    }
    // Only then nothing behind the `?` belongs to a password.
    let Some(query) = query.filter(|_| place.contains('@') || !rest.contains('@')) else { return Ok(()) };
    query.split('&').filter(|parameter| !parameter.is_empty()).try_for_each(parameter)
}

fn parameter(parameter: &str) -> Result<(), String> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    if let Some((_, may_be)) = KNOWN.iter().find(|(known, _)| *known == name) {
        // By itself it shows whether the driver reads it. Those on encryption are read by us.
        let alone = format!("postgres://localhost/?{parameter}");
        let is_read = name.starts_with("sslmode") || name == "sslrootcert" || alone.parse::<Config>().is_ok();
        return if is_read && parameter.contains('=') {
            Ok(())
        } else {
            Err(format!("`url` has a `{name}` that cannot be; write {may_be}"))
        };
    }
    let lower = name.to_lowercase();
    if let Some((known, _)) = KNOWN.iter().find(|(known, _)| *known == lower) {
        return Err(format!("`url` has the parameter `{known}` in other letters; write it in small ones"));
    }
    let bare = lower.replace(['_', '-'], "");
    if bare == "ssl" || bare == "usessl" {
        let is_off = ["false", "0", "off", "no", "disable"].contains(&value.to_lowercase().as_str());
        let mode = if is_off { "sslmode=disable" } else { "sslmode=require" };
        return Err(format!("`url` has the parameter `ssl` of another driver; write `{mode}` instead"));
    }
    if let Some((_, advice)) = FOREIGN.iter().find(|(names, _)| names.contains(&bare.as_str())) {
        return Err(format!("`url` has the parameter `{lower}` of another driver; {advice}"));
    }
    let names: Vec<String> = KNOWN.iter().map(|(name, _)| format!("`{name}`")).collect();
    Err(format!(
        "`url` has a parameter behind the `?` that is not known; leave it out, or write one of {} (and `%3F` for a `?`, `%26` for \
         an `&` in a password)",
        names.join(", ")
    ))
}

/// The driver's configuration, and what the URL asks of encryption.
pub(crate) fn read(url: &str) -> Result<(Config, Option<tls::Asked>), String> {
    check(url)?;
    let (url, asked) = tls::take(url)?;
    // The parser's own message may quote a part of the URL, and with it the password.
    let config = url.parse::<Config>().map_err(|_| {
        "`url` cannot be read; write `postgres://user:password@host:5432/database`, with `%40` for an `@` in the \
         password, or `postgres:///database?host=/run/postgresql` for a unix socket"
            .to_owned()
    })?;
    Ok((config, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_tools_write_is_told_by_its_name() {
        for (parameters, says) in [
            ("pgbouncer=true", "set `database.prepared_statements = false`"),
            ("prepareThreshold=0", "set `database.prepared_statements = false`"),
            ("statement_cache_size=0", "set `database.prepared_statements = false`"),
            ("default_query_exec_mode=simple_protocol", "set `database.prepared_statements = false`"),
            ("ssl=true", "write `sslmode=require`"),
            ("ssl=1", "write `sslmode=require`"),
            ("ssl", "write `sslmode=require`"),
            ("ssl=false", "write `sslmode=disable`"),
            ("useSSL=true", "write `sslmode=require`"),
            ("sslaccept=strict", "write `sslmode=require`"),
            ("sslMode=require", "`sslmode` in other letters"),
            ("sslmode=no-verify", "`sslmode`"),
            ("sslcert=x.pem", "use a password"),
            ("schema=public", "a schema of its own"),
            ("currentSchema=app", "a schema of its own"),
            ("search_path=app", "a schema of its own"),
            ("connection_limit=5", "set `database.pool_size`"),
            ("pool_max_conns=5", "set `database.pool_size`"),
            ("pool_timeout=10", "set `database.wait_ms`"),
            ("statement_timeout=5000", "server.request_timeout_ms"),
            ("fallback_application_name=x", "write `application_name`"),
            ("client_encoding=utf8", "nothing here needs it"),
            ("gssencmode=disable", "nothing here needs it"),
            ("service=main", "files of libpq are not read"),
            ("target_session_attrs=primary", "a `target_session_attrs` that cannot be; write `any`, `read-write`"),
            ("channel_binding=yes", "a `channel_binding` that cannot be"),
            ("connect_timeout=soon", "a `connect_timeout` that cannot be; write a whole number"),
            ("port=x", "a `port` that cannot be"),
            ("nonsense=hunter2", "is not known; leave it out"),
            ("sslmode=require&pgbouncer=true", "set `database.prepared_statements = false`"),
        ] {
            for base in ["postgres://u:hunter2@h/d", "postgres://h/d", "postgresql:///d"] {
                let error = read(&format!("{base}?{parameters}")).unwrap_err();
                assert!(error.contains(says) && !error.contains("hunter2"), "{parameters}: {error}");
                assert!(!error.contains("%40"), "{parameters}: {error}");
            }
        }
    }

    #[test]
    fn what_the_driver_knows_is_taken() {
        for parameters in [
            "",
            "application_name=x&connect_timeout=5",
            "channel_binding=require",
            "options=-c%20geqo%3Doff",
            "target_session_attrs=read-write&load_balance_hosts=random",
            "host=/run/postgresql&port=5433&user=me&password=p%40ss",
            "keepalives=1&keepalives_idle=5&keepalives_interval=5&keepalives_retries=3&tcp_user_timeout=5000",
            "sslmode=disable&sslnegotiation=postgres",
        ] {
            assert!(read(&format!("postgres://u:p@h/d?{parameters}")).is_ok(), "{parameters}");
        }
        for url in ["postgres://u:p?ss@h/d", "postgres://u:p/ss@h/d", "postgres://u:p?pgbouncer=true@h/d"] {
            assert_eq!(read(url).unwrap().0.get_user(), Some("u"), "{url}");
        }
    }

    #[test]
    fn an_at_sign_where_none_may_be_is_told() {
        for url in [
            "postgres://u:hunter@2@h/d",
            "postgres://u@server:hunter2@h/d",
            "postgres://h/d?password=hunter@2",
            "postgres://u:hunter2@h/d?application_name=a@b",
        ] {
            let error = read(url).unwrap_err();
            assert!(error.contains("`%40`") && !error.contains("hunter"), "{url}: {error}");
        }
    }
}
