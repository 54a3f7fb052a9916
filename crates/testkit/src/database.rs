use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::{Random, Secret};
use store::StoreSettings;
use tokio_postgres::NoTls;

/// Which kind of database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A file in a folder of its own.
    Sqlite,
    /// A database of its own on the server that `cargo xtask test` starts.
    Postgres,
    /// The same, through a pooler that gives each transaction another connection; migrations go past it.
    Pooler,
}

/// An empty database that nobody else uses. Held by the test; when it is dropped the folder or the database goes, with
/// whatever is still connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    backend: Backend,
    settings: StoreSettings,
    place: DatabasePlace,
}

#[derive(Debug)]
enum DatabasePlace {
    Folder(PathBuf),
    Server { admin: String, name: String, url: String },
}

/// The variable for the test server: the URL of a superuser.
const SERVER: &str = "MAINSTAY_TEST_POSTGRES";

/// The variable for the URL of the pooler in front of it.
const POOLER: &str = "MAINSTAY_TEST_POOLER";

impl TestDatabase {
    /// Makes one.
    ///
    /// # Panics
    /// When it cannot be made; the message says what to do.
    pub async fn fresh(backend: Backend) -> Self {
        let name = unique_name();
        match backend {
            Backend::Sqlite => {
                let folder = std::env::temp_dir().join(&name);
                std::fs::create_dir(&folder).expect("a folder for the test can be made");
                let settings = StoreSettings::at(format!("sqlite://{}", folder.join("test.db").display()));
                Self { backend, settings, place: DatabasePlace::Folder(folder) }
            }
            Backend::Postgres | Backend::Pooler => {
                let admin = told(SERVER);
                run_on(&admin, &format!("CREATE DATABASE {name}")).await.expect("the test's database can be made");
                let url = with_database(&admin, &name);
                let settings = match backend {
                    Backend::Pooler => StoreSettings {
                        admin_url: Secret::new(url.clone()),
                        prepared_statements: false,
                        ..StoreSettings::at(with_database(&told(POOLER), &name))
                    },
                    _ => StoreSettings::at(url.clone()),
                };
                let settings = StoreSettings { pool_size: 8, ..settings };
                Self { backend, settings, place: DatabasePlace::Server { admin, name, url } }
            }
        }
    }

    /// Which kind it is.
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Settings that open it.
    pub fn settings(&self) -> StoreSettings {
        self.settings.clone()
    }

    /// The URL, for tools that go past the store and the pooler.
    pub fn url(&self) -> &str {
        match &self.place {
            DatabasePlace::Folder(_) => self.settings.url.expose(),
            DatabasePlace::Server { url, .. } => url,
        }
    }

    /// Does to a server's database what the store lets nobody do, as its administrator could. A file is for SQLite's own
    /// tools ([`TestDatabase::file`]).
    ///
    /// # Panics
    /// When it cannot be done.
    pub async fn change_on_server(&self, sql: &str) {
        run_on(self.url(), sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place {
            DatabasePlace::Folder(folder) => Some(folder.join("test.db")),
            DatabasePlace::Server { .. } => None,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.place {
            // What cannot be removed lies in the system's folder for such things.
            DatabasePlace::Folder(folder) => drop(std::fs::remove_dir_all(folder)),
            DatabasePlace::Server { admin, name, .. } => {
                let (admin, drop_it) = (admin.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                // The test's own runtime may be the one that is going.
                let thread = std::thread::spawn(move || run(async move { run_on(&admin, &drop_it).await }));
                if !matches!(thread.join(), Ok(Ok(()))) {
                    eprintln!("the test's database {name} could not be dropped");
                }
            }
        }
    }
}

/// Runs a test on a runtime of its own with two threads.
///
/// # Panics
/// When the runtime cannot be started.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be started")
        .block_on(test)
}

/// Makes each body a test on SQLite and a test on PostgreSQL: `both! { async fn name(db: TestDatabase) { … } }` gives
/// `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! both {
    ($($tests:tt)+) => { $crate::on! { [sqlite = Sqlite, postgres = Postgres] $($tests)+ } };
}

/// The same, and a test through a pooler: `name::pooler`. For what is between the store and the server.
#[macro_export]
macro_rules! everywhere {
    ($($tests:tt)+) => { $crate::on! { [sqlite = Sqlite, postgres = Postgres, pooler = Pooler] $($tests)+ } };
}

/// Each test on each of the databases named first.
#[doc(hidden)]
#[macro_export]
macro_rules! on {
    ($databases:tt) => {};
    ($databases:tt $(#[$meta:meta])* async fn $name:ident($db:ident: TestDatabase) $test:block $($more:tt)*) => {
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn test($db: TestDatabase) $test

            $crate::tests_on! { $databases }
        }
        $crate::on! { $databases $($more)* }
    };
}

/// A test of the function beside it for each database.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_on {
    ([$($test:ident = $backend:ident),+]) => {$(
        #[test]
        fn $test() {
            $crate::run(async { test($crate::TestDatabase::fresh($crate::Backend::$backend).await).await });
        }
    )+};
}

/// A name no other test has, in this process or another.
fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let random = u64::from_le_bytes(Random::os().bytes());
    format!("mainstay_test_{}_{}_{random:016x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the servers are")]
fn told(variable: &str) -> String {
    std::env::var(variable).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| {
        panic!(
            "{variable} is not set; run the tests with `cargo xtask test`, which starts a private PostgreSQL and \
             PgBouncer"
        )
    })
}

/// The same server, another database.
fn with_database(url: &str, name: &str) -> String {
    let authority = url.find("://").map_or(0, |i| i + 3);
    let (before, options) = url.split_once('?').map_or((url, None), |(before, options)| (before, Some(options)));
    let end = before[authority..].find('/').map_or(before.len(), |i| authority + i);
    let options = options.map_or(String::new(), |options| format!("?{options}"));
    format!("{}/{name}{options}", &before[..end])
}

async fn run_on(url: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let result = client.batch_execute(sql).await;
    drop(client);
    // It ends with the client, and what it has to say the client has said.
    let _ = driver.await;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_given_another_database() {
        for (url, expected) in [
            ("postgres://postgres@localhost:5433/postgres", "postgres://postgres@localhost:5433/x"),
            ("postgres://postgres@localhost", "postgres://postgres@localhost/x"),
            ("postgres://u:p@%2Ftmp%2Fpg/postgres?port=5433", "postgres://u:p@%2Ftmp%2Fpg/x?port=5433"),
            ("postgresql:///postgres?host=/tmp/pg&user=postgres", "postgresql:///x?host=/tmp/pg&user=postgres"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
