use std::time::Duration;

use store::{EventHandlers, OpenErrorKind, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase};

use crate::{FOR_EVER, ctx, ctx_for, open_with, set};

/// The variable that holds the path of the authority's certificate, which signed the server's, for `localhost`.
const AUTHORITY: &str = "MAINSTAY_TEST_AUTHORITY";

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where things are")]
fn authority() -> String {
    std::env::var(AUTHORITY).expect("run the tests with `cargo xtask test`, which makes certificates")
}

/// The test's database at this host, with these options.
fn at(db: &TestDatabase, host: &str, options: &str) -> StoreSettings {
    StoreSettings::at(format!("{}?{options}", db.url().replace("@127.0.0.1:", &format!("@{host}:"))))
}

async fn is_encrypted(store: &Store) -> (bool, bool) {
    let ask = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let shared: Option<(bool,)> = store.read(&ctx()).row(ask, &params![]).await.unwrap();
    let alone: Vec<(bool,)> = store.read(&ctx()).rows(ask, &params![]).await.unwrap();
    (shared.unwrap().0, alone[0].0)
}

#[test]
fn a_connection_is_encrypted_as_the_url_asks() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let root = authority();
        for (host, options, expected) in [
            ("127.0.0.1", "".to_owned(), false),
            ("localhost", "application_name=x".to_owned(), false),
            ("127.0.0.1", "sslmode=disable".to_owned(), false),
            ("127.0.0.1", "sslmode=prefer".to_owned(), true),
            ("127.0.0.1", "sslmode=require".to_owned(), true),
            ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={root}"), true),
            ("localhost", format!("sslmode=verify-full&sslrootcert={root}"), true),
            ("localhost", format!("sslrootcert={root}"), true),
        ] {
            let store = Store::open(&at(&db, host, &options), EventHandlers::new()).await.unwrap();
            assert_eq!(is_encrypted(&store).await, (expected, expected), "{host} {options}");
            store.close().await;
        }
    });
}

#[test]
fn a_server_that_is_not_the_one_is_refused() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let root = authority();
        for (host, options) in [
            // Its certificate is for another name.
            ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={root}")),
            // The system's authorities do not know it; where there are none, the error says so.
            ("localhost", "sslmode=verify-full".to_owned()),
            ("127.0.0.1", "sslmode=verify-ca".to_owned()),
            ("localhost", "sslrootcert=system".to_owned()),
        ] {
            let error = Store::open(&at(&db, host, &options), EventHandlers::new()).await.unwrap_err();
            assert!(matches!(error.kind(), OpenErrorKind::Tls | OpenErrorKind::Settings), "{options}: {error:?}");
        }
        for (file, says) in [("/nowhere/ca.pem", "/nowhere/ca.pem"), ("/dev/null", "no certificate")] {
            let options = format!("sslmode=verify-full&sslrootcert={file}");
            let error = Store::open(&at(&db, "localhost", &options), EventHandlers::new()).await.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        // The pooler of the tests speaks in clear.
        let pooler = TestDatabase::fresh(Backend::Pooler).await;
        let url = format!("{}?sslmode=require", pooler.settings().url.expose());
        let error = Store::open(&StoreSettings::at(url), EventHandlers::new()).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Tls, "{error:?}");
        assert!(error.to_string().contains("sslmode"), "{error}");
    });
}

#[test]
fn a_statement_is_called_off_in_secret_too() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let options = format!("sslmode=verify-full&sslrootcert={}", authority());
        let settings = StoreSettings { pool_size: 1, ..at(&db, "localhost", &options) };
        let store = open_with(&settings, EventHandlers::new()).await;
        let late = ctx_for(Duration::from_millis(200));
        let scan = store.read(&late).rows::<(i64,)>(FOR_EVER, &params![]).await;
        assert!(matches!(scan, Err(StoreError::Timeout)), "{scan:?}");
        // The only connection is of use again.
        set(&store, "a", 1).await.unwrap();
    });
}
