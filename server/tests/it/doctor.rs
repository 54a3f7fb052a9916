use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use mainstay::kernel::{Clock, Ctx, Random, Time};
use mainstay::store::{EventHandlers, Store, Value as Stored};
use serde_json::Value;
use testkit::{Backend, RedisServer, TestDatabase, both};

use crate::process::{Folder, PASSWORD, Said, Server, mainstay, run};

/// Settings of which nothing is to be said.
const GOOD: [(&str, &str); 7] = [
    ("MAINSTAY_MODE", "production"),
    ("MAINSTAY_SECRET_KEY", "xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A"),
    ("MAINSTAY_PUBLIC_URL", "https://api.example.com"),
    ("MAINSTAY_SERVER__LISTEN", "127.0.0.1:0"),
    ("MAINSTAY_SERVER__MAX_CONNECTIONS", "100"),
    ("MAINSTAY_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ("MAINSTAY_AUTH__PASSWORD_MIN_CHARACTERS", "15"),
];

/// What depends on the machine the tests run on.
const OF_THE_MACHINE: [&str; 5] =
    ["open_files_limit", "database_in_memory", "database_on_network", "disk_nearly_full", "hash_memory"];

/// How the server for tests is set up.
const OF_THE_TESTS_SERVER: [&str; 5] = [
    "postgres_superuser",
    "postgres_fsync_off",
    "postgres_full_page_writes_off",
    "postgres_synchronous_commit_off",
    "postgres_connections",
];

fn doctor(folder: &Folder, variables: &[(&str, &str)]) -> (Said, BTreeSet<String>) {
    let said = run(mainstay(folder).args(["doctor", "--json"]).envs(variables.iter().copied()), "");
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let findings = report["findings"].as_array().unwrap();
    let serious = findings.iter().filter(|finding| finding["severity"] == "serious").count();
    assert_eq!(report["serious"], serious);
    assert_eq!(said.code, Some(i32::from(serious > 0)), "{}", said.out);
    for finding in findings {
        assert!(["what", "fix"].iter().all(|name| !finding[name].as_str().unwrap().is_empty()), "{finding}");
    }
    let codes = findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned());
    let codes = codes.filter(|code| !OF_THE_MACHINE.contains(&code.as_str())).collect();
    (said, codes)
}

/// The same without the findings about the test server.
fn of_database(folder: &Folder, variables: &[(&str, &str)]) -> BTreeSet<String> {
    doctor(folder, variables).1.difference(&set(OF_THE_TESTS_SERVER)).cloned().collect()
}

fn set<const N: usize>(codes: [&str; N]) -> BTreeSet<String> {
    codes.map(str::to_owned).into()
}

#[test]
fn a_fresh_folder_is_not_ready_and_stays_untouched() {
    let folder = Folder::new();
    let (_, codes) = doctor(&folder, &[]);
    assert_eq!(codes, set(["development_mode", "public_url_missing", "database_absent", "passwords_short"]));
    let said = run(mainstay(&folder).arg("doctor"), "");
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("serious  development_mode\n"), "{}", said.out);
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn settings_that_are_refused_are_the_finding() {
    let folder = Folder::new();
    let (said, codes) = doctor(&folder, &[("MAINSTAY_MODE", "production")]);
    assert_eq!(codes, set(["settings_refused"]));
    assert!(said.out.contains("secret_key"), "{}", said.out);
}

#[test]
fn files_that_others_may_read_are_told() {
    let folder = Folder::new();
    assert_eq!(run(mainstay(&folder).arg("migrate"), "").code, Some(0));
    folder.write("data/secret.key", "0123456789abcdefghijklmnopqrstuvwxyzABCD");
    for name in ["data/secret.key", "data/mainstay.db"] {
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let (said, codes) = doctor(&folder, &[]);
    assert!(codes.is_superset(&set(["secret_readable", "database_readable"])), "{}", said.out);
}

#[test]
fn files_and_variables_that_others_have_a_hand_in_are_told() {
    let folder = Folder::new();
    assert_eq!(run(mainstay(&folder).arg("migrate"), "").code, Some(0));
    folder.write("mainstay.toml", "[database]\nadmin_url = \"\"\n[cache]\nurl = \"memory:\"");
    let open = |name: &str, mode| {
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open("data", 0o777);
    let (said, codes) = doctor(&folder, &[&GOOD[..], &[("MAINSTAY_HOME", "/opt")]].concat());
    assert_eq!(codes, set(["database_folder_writable", "no_administrator", "variables_ignored"]), "{}", said.out);
    open("data", 0o700);
    folder.write("mainstay.toml", &format!("secret_key = \"{}\"", GOOD[1].1));
    open("mainstay.toml", 0o644);
    assert_eq!(doctor(&folder, &GOOD).1, set(["no_administrator", "settings_file_readable"]));
}

#[test]
fn a_database_that_is_away_is_told() {
    let folder = Folder::new();
    let url = ("MAINSTAY_DATABASE__URL", "postgres://someone:hidden@127.0.0.1:1/nothing");
    let (said, codes) = doctor(&folder, &[&GOOD[..], &[url]].concat());
    assert_eq!(codes, set(["database_not_answering"]));
    assert!(!said.out.contains("hidden"), "{}", said.out);
}

#[test]
fn what_is_wrong_with_limits_and_redis_is_told() {
    let folder = Folder::new();
    let mut redis = RedisServer::start().unwrap();
    let url = redis.url().to_owned();
    let codes = |more: &[(&str, &str)]| {
        let (_, codes) = doctor(&folder, &[&GOOD[..], &[("MAINSTAY_CACHE__URL", url.as_str())], more].concat());
        codes.into_iter().filter(|code| code != "database_absent").collect::<BTreeSet<_>>()
    };
    assert_eq!(codes(&[]), set([]));
    assert_eq!(codes(&[("MAINSTAY_LIMITS__ENABLED", "false")]), set(["limits_off"]));
    assert_eq!(codes(&[("MAINSTAY_SERVER__TRUSTED_PROXIES", "")]), set(["proxy_not_named"]));
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    assert_eq!(codes(&[]), set(["redis_evicts"]));
    redis.kill().unwrap();
    assert_eq!(codes(&[]), set(["redis_not_answering"]));
}

both! {
    async fn nothing_is_said_once_all_is_mended(db: TestDatabase) {
        let folder = Folder::new();
        let good = [&GOOD[..], &[("MAINSTAY_DATABASE__URL", db.url())]].concat();
        let codes = || of_database(&folder, &good);
        let first = codes();
        // A file that was never opened is not there; a database on a server is.
        assert!([set(["migrations_pending"]), set(["database_absent"])].contains(&first), "{first:?}");
        assert_eq!(codes(), first, "it makes and applies nothing");
        assert_eq!(run(mainstay(&folder).arg("migrate").envs(good.iter().copied()), "").code, Some(0));
        assert_eq!(codes(), set(["no_administrator"]));
        let create = ["admin", "create", "root@example.com"];
        let said = run(mainstay(&folder).args(create).envs(good.iter().copied()), &format!("{PASSWORD}\n"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert_eq!(codes(), set([]));
    }

    async fn what_only_the_tables_of_accounts_tell_is_told(db: TestDatabase) {
        let folder = Folder::new();
        let good = [&GOOD[..], &[("MAINSTAY_DATABASE__URL", db.url())]].concat();
        let create = ["admin", "create", "root@example.com"];
        let said = run(mainstay(&folder).args(create).envs(good.iter().copied()), &format!("{PASSWORD}\n"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert_eq!(of_database(&folder, &good), set([]));

        let (long_ago, later) = (Time::from_micros(0), Clock::system().now().plus(Duration::from_secs(600)));
        change(&db, "UPDATE signing_keys SET created_at = $1", vec![long_ago.into()]).await;
        assert_eq!(of_database(&folder, &good), set(["signing_key_old"]));
        change(&db, "UPDATE signing_keys SET created_at = $1", vec![later.into()]).await;
        let sql = "INSERT INTO sessions (id, account_id, created_at, last_used_at, expires_at)
            SELECT id, id, $1, $1, $1 FROM accounts";
        change(&db, sql, vec![later.into()]).await;
        assert_eq!(of_database(&folder, &good), set(["clock_set_back"]));
        let sql = "ALTER TABLE accounts RENAME COLUMN role TO gone";
        match db.file() {
            Some(file) => rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap(),
            None => db.change_on_server(&sql.replace("accounts", "auth.accounts")).await,
        }
        assert_eq!(of_database(&folder, &good), set(["accounts_not_readable"]));
    }
}

#[test]
fn what_a_servers_indexes_lack_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let folder = Folder::new();
        let good = [&GOOD[..], &[("MAINSTAY_DATABASE__URL", db.url())]].concat();
        assert_eq!(run(mainstay(&folder).arg("migrate").envs(good.iter().copied()), "").code, Some(0));
        assert_eq!(of_database(&folder, &good), set(["no_administrator"]));
        for (sql, code) in [
            ("CREATE INDEX again ON posts.posts (id)", "postgres_index_twice"),
            (
                "CREATE TABLE posts.notes (id uuid PRIMARY KEY, post_id uuid REFERENCES posts.posts (id), other_id uuid)",
                "postgres_key_without_index",
            ),
            (
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'posts.again'::regclass",
                "postgres_index_invalid",
            ),
        ] {
            db.change_on_server(sql).await;
            assert!(of_database(&folder, &good).contains(code), "{code}");
        }
        db.change_on_server("DROP INDEX posts.again; CREATE INDEX of_post ON posts.notes (post_id, other_id)").await;
        assert_eq!(of_database(&folder, &good), set(["no_administrator"]));
    });
}

#[test]
fn what_a_deployment_is_called_in_redis_is_told() {
    let folder = Folder::new();
    let redis = RedisServer::start().unwrap();
    let url = redis.url();
    let good = [&GOOD[..], &[("MAINSTAY_CACHE__URL", url.as_str())]].concat();
    let name = |variables: &[(&str, &str)]| {
        let (said, _) = doctor(&folder, variables);
        serde_json::from_str::<Value>(&said.out).unwrap()["redis_namespace"].clone()
    };
    assert_eq!(name(&good), Value::Null, "there is no database yet");
    // It says where it listens while it is developed with.
    let serve = [&good[..], &[("MAINSTAY_MODE", "development")]].concat();
    Server::run(mainstay(&folder).args(["serve", "--listen", "127.0.0.1:0"]).envs(serve.iter().copied())).kill();
    let own = name(&good);
    assert_eq!(own.as_str().map(str::len), Some(16), "{own}");
    assert!(
        redis.cli(&["--scan"]).unwrap().lines().all(|key| key.starts_with(&format!("ms:{}:", own.as_str().unwrap())))
    );
    let named = [&good[..], &[("MAINSTAY_CACHE__NAMESPACE", "shop")]].concat();
    assert_eq!(name(&named), "shop");
    let said = run(mainstay(&folder).arg("doctor").envs(named.iter().copied()), "");
    assert!(said.out.contains("begins with ms:shop:."), "{}", said.out);
}

#[test]
fn what_keeps_a_server_from_its_database_is_told() {
    testkit::run(async {
        // A schema of another program's.
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let folder = Folder::new();
        let good = [&GOOD[..], &[("MAINSTAY_DATABASE__URL", db.url())]].concat();
        db.change_on_server("CREATE SCHEMA auth; CREATE TABLE auth.users (id int)").await;
        assert!(of_database(&folder, &good).contains("database_of_others"));
        let said = run(mainstay(&folder).arg("migrate").envs(good.iter().copied()), "");
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains("`auth`") && said.err.contains("database.schema_prefix"), "{}", said.err);
        let good = [&good[..], &[("MAINSTAY_DATABASE__SCHEMA_PREFIX", "mainstay_")]].concat();
        assert_eq!(run(mainstay(&folder).arg("migrate").envs(good.iter().copied()), "").code, Some(0));
        assert_eq!(of_database(&folder, &good), set(["no_administrator"]));
        // An operator's word.
        let name = db.url().rsplit('/').next().unwrap();
        db.change_on_server(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
        assert_eq!(of_database(&folder, &good), set(["database_takes_no_writes", "no_administrator"]));
        // A pooler that the settings do not know of.
        let db = TestDatabase::fresh(Backend::Pooler).await;
        let settings = db.settings();
        let pooled = [&GOOD[..], &[("MAINSTAY_DATABASE__URL", settings.url.expose().as_str())]].concat();
        assert!(of_database(&folder, &pooled).contains("database_behind_pooler"));
        let said = run(mainstay(&folder).arg("migrate").envs(pooled.iter().copied()), "");
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains("prepared_statements = false"), "{}", said.err);
    });
}

/// Does something to the database past the program.
async fn change(db: &TestDatabase, sql: &'static str, params: Vec<Stored>) {
    let ctx = Ctx::system("test", Duration::from_secs(30), &Clock::system(), &Random::os());
    let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
    let done = store.tx(&ctx, move |tx| {
        let params = params.clone();
        async move { tx.execute(sql, &params).await }
    });
    done.await.unwrap();
    store.close().await;
}

#[test]
fn a_database_of_a_newer_program_is_told() {
    let folder = Folder::new();
    assert_eq!(run(mainstay(&folder).arg("migrate"), "").code, Some(0));
    let file = rusqlite::Connection::open(folder.path().join("data/mainstay.db")).unwrap();
    let sql = "insert into mainstay_migrations values ('auth', 99, '0099_later', 'x', 0)";
    file.execute(sql, []).unwrap();
    drop(file);
    let (said, codes) = doctor(&folder, &GOOD);
    assert_eq!(codes, set(["migrations_differ"]));
    assert!(said.out.contains("0099_later"), "{}", said.out);
}

/// Every finding in the sources is in the table of docs/operations.md and the other way round, and a test that expects it
/// stands beside it or here.
#[test]
fn each_finding_is_documented_and_has_a_test_that_causes_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files = vec![root.join("crates/cli/src/doctor.rs"), root.join("domains/auth/src/doctor_checks.rs")];
    let folder = std::fs::read_dir(root.join("crates/cli/src/doctor")).unwrap();
    files.extend(folder.map(|entry| entry.unwrap().path()));
    let (mut made, mut tests) = (BTreeSet::new(), String::new());
    for file in &files {
        let text = read(file);
        let (program, its_tests) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        // Whatever is made of a finding's words: `Finding::serious("…"`, `make("…"`, and a name chosen by a match.
        for opening in ["Finding::serious(", "Finding::advice(", "make(", "_ => ", "\" => "] {
            for (at, _) in program.match_indices(opening) {
                let rest = program[at + opening.len()..].trim_start();
                made.extend(rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
        tests.push_str(its_tests);
    }
    // A sentence is no name.
    made.retain(|name| name.contains('_') && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    let here = include_str!("doctor.rs");
    tests.push_str(&here[here.find("#[test]").unwrap()..]);

    let operations = read(&root.join("docs/operations.md"));
    let chapter = operations.split("## The doctor").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows =
        chapter.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2));
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), made, "docs/operations.md");
    let untested: Vec<_> = made.iter().filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
    assert!(untested.is_empty(), "add a test that causes each of these: {untested:?}");
}
