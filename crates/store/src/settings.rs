use std::borrow::Cow;

use kernel::Secret;
use percent_encoding::utf8_percent_encode;

use crate::Dialect;
use crate::schemas::Schemas;

/// The database, and limits on the store's load.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Database URL: `sqlite://path` (`sqlite://data/mainstay.db`, `sqlite:///var/lib/mainstay/mainstay.db`) or
    /// `postgres://user:password@host:port/database`. In a SQLite path, percent-encode characters that have a meaning
    /// in URLs, for example `%3F` for `?`. A PostgreSQL URL takes options as in libpq, for example
    /// `?sslmode=verify-full`. This is a secret, because it can contain a password.
    #[schemars(extend("x-secret" = "url"))]
    pub url: Secret<String>,
    /// PostgreSQL: URL of the same database for migrations. It names the role that owns the tables and connects
    /// directly to the server, not through a connection pooler. If it is empty, migrations use `url`. If it names
    /// another role than `url`, the role of `url` may only read and change rows.
    #[schemars(extend("x-secret" = "url"))]
    pub admin_url: Secret<String>,
    /// PostgreSQL: standbys of the same database, in one URL (`postgres://user@a:5432,b:5432/mainstay`). The server
    /// reads lists from a standby if it is at most `replica_max_lag_ms` behind and has everything that the caller wrote
    /// through this process. Each standby has `pool_size` connections. Empty means no standbys.
    #[schemars(extend("x-secret" = "url"))]
    pub replica_url: Secret<String>,
    /// PostgreSQL: prefix of the schema names, for a database that other applications also use. With `mainstay_`, the
    /// tables of `auth` are in the schema `mainstay_auth`. At most 23 lower-case letters, digits and `_`. Never change
    /// it for an existing database. If it is empty, each schema has the name of its domain.
    pub schema_prefix: String,
    /// Maximum lag of a standby, in milliseconds, 100–60000.
    pub replica_max_lag_ms: u64,
    /// SQLite: number of threads for reads that may scan, 1–64.
    pub readers: usize,
    /// PostgreSQL: size of the connection pool for transactions and for reads that may scan, 1–1000. Each core has one
    /// more connection, for reads by key. The total of all processes must stay below the server's `max_connections`.
    pub pool_size: usize,
    /// PostgreSQL: whether a connection keeps prepared statements and its session settings between transactions. Set
    /// `false` behind a pooler that gives each transaction another connection (PgBouncer's transaction mode). The
    /// database then parses every statement again, and reads by key have no separate connections.
    pub prepared_statements: bool,
    /// Maximum number of operations that wait for the writer, for a reader or for a connection, each 1–100000. Callers
    /// take turns. If the queue is full, one operation is answered `store_busy` at once: the new one, or the last one
    /// of the caller with the most waiting operations.
    pub queue: usize,
    /// How long an operation waits for a connection (PostgreSQL) or for a lock that another process holds (SQLite), in
    /// milliseconds, 1–60000. It never waits past its own deadline.
    pub wait_ms: u64,
    /// Time limit for a read that may scan, from its start, in milliseconds, 50–60000. A read never runs past its own
    /// deadline. A longer read is stopped and answered `scan_timeout`, because other operations wait for the resources
    /// it holds. The server's own reads have no limit.
    pub scan_ms: u64,
    /// Threshold of the slow statement log, in milliseconds, 0–60000. The server logs each statement that takes at
    /// least this long, with the operation that ran it. 0 disables this log.
    pub slow_statement_ms: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: Secret::new("sqlite://data/mainstay.db".to_owned()),
            admin_url: Secret::new(String::new()),
            replica_url: Secret::new(String::new()),
            schema_prefix: String::new(),
            replica_max_lag_ms: 1000,
            readers: 4,
            pool_size: 16,
            prepared_statements: true,
            queue: 1024,
            wait_ms: 2000,
            scan_ms: 2000,
            slow_statement_ms: 500,
        }
    }
}

impl StoreSettings {
    /// These settings, with another place.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: Secret::new(url.into()), ..Self::default() }
    }

    /// Checks what can be checked without opening anything.
    ///
    /// # Errors
    /// What is wrong and what to write instead; never the password.
    pub fn validate(&self) -> Result<(), String> {
        let ranges = [
            ("readers", self.readers as u64, 64),
            ("pool_size", self.pool_size as u64, 1000),
            ("queue", self.queue as u64, 100_000),
            ("wait_ms", self.wait_ms, 60_000),
        ];
        for (name, value, most) in ranges {
            if !(1..=most).contains(&value) {
                return Err(format!("`{name}` is {value}; it must be from 1 to {most}"));
            }
        }
        if !(50..=60_000).contains(&self.scan_ms) {
            return Err(format!("`scan_ms` is {}; it must be from 50 to 60000", self.scan_ms));
        }
        if !(100..=60_000).contains(&self.replica_max_lag_ms) {
            let ms = self.replica_max_lag_ms;
            return Err(format!("`replica_max_lag_ms` is {ms}; it must be from 100 to 60000"));
        }
        if self.slow_statement_ms > 60_000 {
            return Err(format!("`slow_statement_ms` is {}; it must be from 0 to 60000", self.slow_statement_ms));
        }
        Schemas::check_prefix(&self.schema_prefix)
            .map_err(|advice| format!("`schema_prefix` cannot begin the name of a schema: {advice}"))?;
        match self.place()? {
            DatabaseLocation::Sqlite(_) if !self.schema_prefix.is_empty() => {
                Err("`schema_prefix` is for PostgreSQL, and `url` names a file of SQLite; leave it out".to_owned())
            }
            DatabaseLocation::Sqlite(_) if self.admin().is_some() || self.replica().is_some() => Err(
                "`admin_url` and `replica_url` are for PostgreSQL, and `url` names a file of SQLite; leave them out"
                    .to_owned(),
            ),
            DatabaseLocation::Sqlite(_) => Ok(()),
            DatabaseLocation::Postgres(url) => crate::postgres::check_urls(url, self.admin(), self.replica()),
        }
    }

    /// The file that `url` names, where it is one of SQLite.
    pub fn sqlite_file(&self) -> Option<String> {
        match self.place() {
            Ok(DatabaseLocation::Sqlite(file)) => Some(file.into_owned()),
            _ => None,
        }
    }

    /// The URL of a file of SQLite, whatever signs its name has.
    pub fn sqlite_url(file: &str) -> String {
        // What means something in a URL, and what cannot be seen (RFC 3986 section 2.1).
        const SIGNS: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');
        format!("sqlite://{}", utf8_percent_encode(file, SIGNS))
    }

    /// Where standbys are, if there are any.
    pub(crate) fn replica(&self) -> Option<&str> {
        Some(self.replica_url.expose().as_str()).filter(|url| !url.is_empty())
    }

    /// Where migrations go, if that is another way.
    pub(crate) fn admin(&self) -> Option<&str> {
        Some(self.admin_url.expose().as_str()).filter(|url| !url.is_empty())
    }

    /// Which database the URL means.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn dialect(&self) -> Result<Dialect, String> {
        self.place().map(|place| match place {
            DatabaseLocation::Sqlite(_) => Dialect::Sqlite,
            DatabaseLocation::Postgres(_) => Dialect::Postgres,
        })
    }

    pub(crate) fn place(&self) -> Result<DatabaseLocation<'_>, String> {
        let url = self.url.expose().as_str();
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.contains(['?', '#']) {
                return Err(
                    "`url` has options after the path; SQLite takes none here, write only the path, with `%3F` \
                            for a `?` and `%23` for a `#` in a name"
                        .to_owned(),
                );
            }
            let Ok(file) = percent_encoding::percent_decode_str(path).decode_utf8() else {
                return Err("`url` names a file whose name is not UTF-8; choose another name".to_owned());
            };
            return match &*file {
                "" => Err("`url` names no file; write `sqlite://data/mainstay.db`".to_owned()),
                file if file.starts_with(":memory:") || file == "file::memory:" => {
                    Err("`url` asks for a database in memory, which the writer and \
                     the readers could not share; name a file: `sqlite://data/mainstay.db`"
                        .to_owned())
                }
                file if file.contains('\0') => {
                    Err("`url` names a file with a NUL in its name, which no file has".to_owned())
                }
                _ => Ok(DatabaseLocation::Sqlite(file)),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(DatabaseLocation::Postgres(url));
        }
        Err("`url` must begin with `sqlite://` or `postgres://`: `sqlite://data/mainstay.db`, \
             `postgres://mainstay:…@localhost:5432/mainstay`"
            .to_owned())
    }
}

/// Where the URL points.
#[derive(Debug)]
pub(crate) enum DatabaseLocation<'a> {
    Sqlite(Cow<'a, str>),
    Postgres(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_with_advice() {
        assert_eq!(StoreSettings::default().validate(), Ok(()));
        for (url, says) in [
            ("", "must begin with"),
            ("mysql://x", "must begin with"),
            ("sqlite://", "names no file"),
            ("sqlite://:memory:", "name a file"),
            ("sqlite://a.db?mode=ro", "options"),
            ("sqlite://a.db#top", "%23"),
            ("sqlite://a%00.db", "NUL"),
            ("sqlite://a%ff.db", "not UTF-8"),
            ("sqlite://%3Amemory:", "name a file"),
            ("postgres://u:hunter2@h:notaport/d", "postgres://"),
            ("postgres://u@h/d?sslmode=yes", "sslmode"),
        ] {
            let error = StoreSettings::at(url).validate().unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{url}: {error}");
        }
        let with_admin = |url: &str, admin: &str| StoreSettings {
            admin_url: Secret::new(admin.to_owned()),
            ..StoreSettings::at(url)
        };
        let encrypted = StoreSettings::at("postgres://u@h/d?sslmode=require").validate();
        assert_eq!(encrypted.is_ok(), cfg!(feature = "tls"), "{encrypted:?}");
        assert_eq!(with_admin("postgres://a@h/d", "postgres://b@h:6432/d").validate(), Ok(()));
        for (url, admin, says) in [
            ("sqlite://x.db", "postgres://a@h/d", "are for PostgreSQL"),
            ("postgres://a@h/d", "sqlite://x.db", "`admin_url`"),
            ("postgres://a@h/d", "postgres://a:hunter2@h/other", "`other`"),
        ] {
            let error = with_admin(url, admin).validate().unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{url}: {error}");
        }
        let prefixed =
            |url: &str, prefix: &str| StoreSettings { schema_prefix: prefix.to_owned(), ..StoreSettings::at(url) };
        assert_eq!(prefixed("postgres://a@h/d", "mainstay_").validate(), Ok(()));
        assert!(prefixed("postgres://a@h/d", "Mainstay-").validate().unwrap_err().contains("`schema_prefix`"));
        assert!(prefixed("sqlite://x.db", "mainstay_").validate().unwrap_err().contains("is for PostgreSQL"));
        assert!(StoreSettings { readers: 0, ..StoreSettings::default() }.validate().unwrap_err().contains("readers"));
        assert!(StoreSettings { scan_ms: 49, ..StoreSettings::default() }.validate().unwrap_err().contains("scan_ms"));
        assert!(StoreSettings { wait_ms: 0, ..StoreSettings::default() }.validate().unwrap_err().contains("wait_ms"));
    }

    #[test]
    fn a_file_may_have_any_name() {
        for file in ["a.db", "/a b/c.db", "q?x=1/c.db", "50%/c.db", "a%20b.db", "c#1.db", "줄\n바꿈.db", "a&b=c@d:e.db"]
        {
            let settings = StoreSettings::at(StoreSettings::sqlite_url(file));
            assert_eq!(settings.validate(), Ok(()), "{file}");
            assert_eq!(settings.sqlite_file().as_deref(), Some(file));
        }
        assert_eq!(StoreSettings::at("sqlite://100%.db").sqlite_file().as_deref(), Some("100%.db"));
        assert_eq!(StoreSettings::at("postgres://h/d").sqlite_file(), None);
    }

    #[test]
    fn settings_do_not_print_the_password() {
        let settings = StoreSettings::at("postgres://u:hunter2@h/d");
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
    }
}
