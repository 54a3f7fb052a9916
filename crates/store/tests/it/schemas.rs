//! A database that is others' as well: what is theirs is left alone, and nothing is made where not all can be.

use kernel::{Clock, Secret};
use store::{
    Applied, EventHandlers, MigrateError, Migrations, OpenErrorKind, Reads as _, Store, StoreError, StoreSettings,
    copy, params,
};
use testkit::{Backend, TestDatabase};

use crate::ctx;

const AUTH: Migrations =
    Migrations { domain: "auth", steps: &[("0001_accounts", "CREATE TABLE accounts (id id PRIMARY KEY, name text)")] };
const POSTS: Migrations = Migrations {
    domain: "posts",
    steps: &[
        ("0001_posts", "CREATE TABLE posts (id id PRIMARY KEY, title text NOT NULL)"),
        ("0002_title", "CREATE INDEX CONCURRENTLY posts_title ON posts (title)"),
    ],
};

async fn migrate(settings: &StoreSettings) -> (Store, Result<Vec<Applied>, MigrateError>) {
    let store = Store::open(settings, EventHandlers::new()).await.unwrap();
    let migrated = store.migrate(&[AUTH, POSTS], &Clock::system()).await;
    (store, migrated)
}

/// Why there is no room; `doctor` gets the same answer.
async fn refusal(settings: &StoreSettings) -> String {
    let (store, migrated) = migrate(settings).await;
    let Err(MigrateError::Refused(advice)) = migrated else { panic!("{migrated:?}") };
    let pending = store.pending(&ctx(), &[AUTH, POSTS]).await;
    assert!(matches!(&pending, Err(MigrateError::Refused(same)) if *same == advice), "{pending:?}: {advice}");
    store.close().await;
    advice
}

/// All tables but the server's own, as an administrator sees them: `schema.table`.
async fn tables(db: &TestDatabase) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(db.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let all = "SELECT schemaname || '.' || tablename FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    client.query(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn schemas(db: &TestDatabase) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(db.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let all =
        "SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
        ORDER BY 1";
    client.query(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// A role of this test's own, and settings by which it connects to the database.
async fn role(db: &TestDatabase) -> (String, StoreSettings) {
    // Roles are the whole server's.
    let role = db.url().rsplit('/').next().unwrap().to_owned();
    db.change_on_server(&format!("CREATE ROLE {role} LOGIN")).await;
    let url = db.url().replace("//postgres@", &format!("//{role}@"));
    (role, StoreSettings { pool_size: 2, ..StoreSettings::at(url) })
}

async fn drop_role(db: &TestDatabase, role: &str) {
    db.change_on_server(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
}

/// Adds an account, and counts them as a read by key, a read of rows and a transaction see them.
async fn uses(store: &Store) -> i64 {
    let id: kernel::UserId = ctx().new_id();
    let add = move |tx: store::Tx| async move {
        tx.execute("INSERT INTO accounts (id, name) VALUES ($1, 'x')", &params![id]).await?;
        tx.row::<(i64,)>("SELECT count(*) FROM accounts", &[]).await
    };
    let inside = store.tx::<_, StoreError, _, _>(&ctx(), add).await.unwrap().unwrap().0;
    let by_key = store.read(&ctx()).row::<(i64,)>("SELECT count(*) FROM accounts", &[]).await.unwrap().unwrap().0;
    let rows = store.read(&ctx()).rows::<(i64,)>("SELECT count(*) FROM accounts", &[]).await.unwrap()[0].0;
    assert_eq!((inside, by_key), (by_key, rows));
    rows
}

#[test]
fn schemas_of_others_are_told_and_nothing_is_made() {
    testkit::run(async {
        for backend in [Backend::Postgres, Backend::Pooler] {
            // Whichever role owns them: a platform's, or the very one that we connect as.
            for is_own in [false, true] {
                let db = TestDatabase::fresh(backend).await;
                let other = format!("{}_other", db.url().rsplit('/').next().unwrap());
                db.change_on_server(&format!("CREATE ROLE {other}")).await;
                let owner = if is_own { "postgres" } else { &other };
                let make = "CREATE TABLE auth.sessions (id int); CREATE TABLE auth.accounts (email text)";
                db.change_on_server(&format!("CREATE SCHEMA auth AUTHORIZATION {owner}; {make}")).await;
                let advice = refusal(&db.settings()).await;
                for words in ["`auth`", owner, "2 tables", "database.schema_prefix", "nothing was made"] {
                    assert!(advice.contains(words), "{words}: {advice}");
                }
                assert_eq!(tables(&db).await, ["auth.accounts", "auth.sessions"]);
                assert_eq!(schemas(&db).await, ["auth", "public"]);

                let prefixed = StoreSettings { schema_prefix: "mainstay_".to_owned(), ..db.settings() };
                let (store, migrated) = migrate(&prefixed).await;
                assert_eq!(migrated.unwrap().len(), 3);
                assert_eq!(uses(&store).await, 1);
                store.close().await;
                drop_role(&db, &other).await;
            }
        }
    });
}

#[test]
fn who_may_not_make_all_makes_nothing_and_is_told_what_to_do() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let (role, settings) = role(&db).await;
        let advice = refusal(&settings).await;
        for words in ["`mainstay`, `auth`, `posts`", "GRANT CREATE ON DATABASE", "admin_url", &role] {
            assert!(advice.contains(words), "{words}: {advice}");
        }
        // A platform's schema of that name which only happens to be empty, and is not ours to fill.
        db.change_on_server("CREATE SCHEMA posts").await;
        db.change_on_server(&format!("GRANT CREATE ON DATABASE {role} TO {role}")).await;
        let advice = refusal(&settings).await;
        assert!(advice.contains("`posts`") && advice.contains("postgres"), "{advice}");
        assert_eq!(schemas(&db).await, ["posts", "public"]);
        // As the advice says, without the right to make any.
        db.change_on_server(&format!("REVOKE CREATE ON DATABASE {role} FROM {role}; DROP SCHEMA posts")).await;
        for schema in ["mainstay", "auth", "posts"] {
            db.change_on_server(&format!("CREATE SCHEMA {schema} AUTHORIZATION {role}")).await;
        }
        let (store, migrated) = migrate(&settings).await;
        assert_eq!(migrated.unwrap().len(), 3);
        assert_eq!(uses(&store).await, 1);
        store.close().await;
        assert_eq!(tables(&db).await, ["auth.accounts", "mainstay.mainstay_migrations", "posts.posts"]);
        // A later step, and a role that does not own the tables.
        const MORE: &[(&str, &str)] = &[AUTH.steps[0], ("0002_more", "ALTER TABLE accounts ADD COLUMN x text")];
        let later = Migrations { steps: MORE, ..AUTH };
        db.change_on_server("ALTER TABLE auth.accounts OWNER TO postgres").await;
        let store = Store::open(&settings, EventHandlers::new()).await.unwrap();
        let refused = store.migrate(&[later, POSTS], &Clock::system()).await;
        assert!(
            matches!(&refused, Err(MigrateError::Refused(advice)) if advice.contains("`auth`") && advice.contains("admin_url")),
            "{refused:?}"
        );
        store.close().await;
        drop_role(&db, &role).await;
    });
}

/// What an earlier version did where the schema was another's.
#[test]
fn tables_that_landed_in_public_are_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let (store, migrated) = migrate(&db.settings()).await;
        migrated.unwrap();
        store.close().await;
        db.change_on_server("ALTER TABLE auth.accounts SET SCHEMA public").await;
        let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
        let refused = store.migrate(&[AUTH, POSTS], &Clock::system()).await;
        assert!(
            matches!(&refused, Err(MigrateError::Refused(advice)) if advice.contains("`auth`") && advice.contains("public")),
            "{refused:?}"
        );
        // And nothing of them is taken for ours meanwhile.
        let found = store.read(&ctx()).rows::<(i64,)>("SELECT 1::bigint FROM accounts", &[]).await;
        assert!(found.is_err(), "{found:?}");
        store.close().await;
        db.change_on_server("ALTER TABLE public.accounts SET SCHEMA auth").await;
        let (store, migrated) = migrate(&db.settings()).await;
        assert_eq!(migrated.unwrap(), []);
        assert_eq!(uses(&store).await, 1);
    });
}

#[test]
fn deployments_in_one_database_are_apart() {
    testkit::run(async {
        for backend in [Backend::Postgres, Backend::Pooler] {
            let db = TestDatabase::fresh(backend).await;
            let prefixed = |prefix: &str| StoreSettings { schema_prefix: prefix.to_owned(), ..db.settings() };
            let all = [prefixed(""), prefixed("shop_"), prefixed("blog_")];
            let mut stores = Vec::new();
            for settings in &all {
                let (store, migrated) = migrate(settings).await;
                assert_eq!(migrated.unwrap().len(), 3, "{backend:?} {}", settings.schema_prefix);
                stores.push(store);
            }
            for (store, count) in stores.iter().zip([1, 2, 3]) {
                for n in 1..=count {
                    assert_eq!(uses(store).await, n);
                }
            }
            // A process that brings nothing up to date finds its own.
            for (settings, count) in all.iter().zip([2, 3, 4]) {
                let store = Store::open(settings, EventHandlers::new()).await.unwrap();
                assert_eq!(uses(&store).await, count);
                assert_eq!(store.pending(&ctx(), &[AUTH, POSTS]).await.unwrap(), []);
                store.close().await;
            }
            let wanted: Vec<String> = ["blog_", "", "shop_"]
                .iter()
                .flat_map(|prefix| {
                    ["auth.accounts", "mainstay.mainstay_migrations", "posts.posts"]
                        .map(|name| format!("{prefix}{name}"))
                })
                .collect();
            let mut found = tables(&db).await;
            found.sort();
            let mut wanted = wanted;
            wanted.sort();
            assert_eq!(found, wanted);
        }
    });
}

/// Roles that are others' too are left as they are.
#[test]
fn a_roles_own_search_path_is_left_alone() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let (store, migrated) = migrate(&db.settings()).await;
        migrated.unwrap();
        let (client, connection) = tokio_postgres::connect(db.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let path: String = client.query_one("SHOW search_path", &[]).await.unwrap().get(0);
        assert_eq!(path, "\"$user\", public");
        assert_eq!(uses(&store).await, 1);
    });
}

#[test]
fn rows_are_copied_into_schemas_with_a_prefix() {
    testkit::run(async {
        let file = TestDatabase::fresh(Backend::Sqlite).await;
        let (store, migrated) = migrate(&file.settings()).await;
        migrated.unwrap();
        assert_eq!(uses(&store).await, 1);
        store.close().await;
        let db = TestDatabase::fresh(Backend::Postgres).await;
        db.change_on_server("CREATE SCHEMA auth; CREATE TABLE auth.accounts (id int)").await;
        let to = StoreSettings { schema_prefix: "own_".to_owned(), ..db.settings() };
        let copied = copy(&file.settings(), &to, &[AUTH, POSTS], &Clock::system(), &mut |_| {}).await.unwrap();
        assert_eq!((copied.tables, copied.rows), (2, 1));
        let (store, migrated) = migrate(&to).await;
        assert_eq!(migrated.unwrap(), []);
        assert_eq!(uses(&store).await, 2);
    });
}

#[test]
fn a_role_of_rows_alone_works_with_a_prefix() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let (role, settings) = role(&db).await;
        let settings =
            StoreSettings { admin_url: Secret::new(db.url().to_owned()), schema_prefix: "own_".to_owned(), ..settings };
        let (store, migrated) = migrate(&settings).await;
        assert_eq!(migrated.unwrap().len(), 3);
        assert_eq!(uses(&store).await, 1);
        store.close().await;
        // Later, without the other.
        let (store, migrated) = migrate(&StoreSettings { admin_url: Secret::new(String::new()), ..settings }).await;
        assert_eq!(migrated.unwrap(), []);
        assert_eq!(uses(&store).await, 2);
        store.close().await;
        drop_role(&db, &role).await;
    });
}

/// A file of SQLite's is one program's: another's is not even made to keep its log as ours does.
#[test]
fn a_file_of_another_program_is_left_as_it_is() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let file = db.file().unwrap();
        let theirs = rusqlite::Connection::open(&file).unwrap();
        theirs
            .execute_batch("CREATE TABLE accounts (email TEXT); INSERT INTO accounts VALUES ('a@example.com')")
            .unwrap();
        drop(theirs);
        let before = std::fs::read(&file).unwrap();
        let error = Store::open(&db.settings(), EventHandlers::new()).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Foreign);
        assert!(error.to_string().contains("`accounts`") && error.to_string().contains("another file"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
        let names: Vec<_> =
            std::fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names, [file], "and nothing is left beside it");
    });
}

/// Tables that somebody has put into a file of ours.
#[test]
fn tables_of_the_names_of_a_new_domain_are_told_and_nothing_is_made() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
        store.migrate(&[AUTH], &Clock::system()).await.unwrap();
        store.close().await;
        let theirs = rusqlite::Connection::open(db.file().unwrap()).unwrap();
        theirs.execute_batch("CREATE TABLE posts (x TEXT); CREATE TABLE _litestream_seq (id INTEGER)").unwrap();
        drop(theirs);
        let advice = refusal(&db.settings()).await;
        assert!(advice.contains("`posts`") && advice.contains("another file"), "{advice}");
        let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
        store.migrate(&[AUTH], &Clock::system()).await.unwrap();
        assert_eq!(uses(&store).await, 1, "what is ours goes on");
    });
}
