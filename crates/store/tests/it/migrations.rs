use kernel::Clock;
use store::{Applied, EventHandlers, MigrateError, Migrations, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase, everywhere};

use crate::ctx;

const ONE: (&str, &str) = ("0001_one", "CREATE TABLE one (id id PRIMARY KEY, name text NOT NULL);");
const TWO: (&str, &str) = (
    "0002_two",
    "ALTER TABLE one ADD COLUMN age int NOT NULL DEFAULT 7;\n-- safe: tables of tests are small\nCREATE INDEX one_age ON one (age);",
);

const fn of(domain: &'static str, steps: &'static [(&'static str, &'static str)]) -> Migrations {
    Migrations { domain, steps }
}

async fn open(db: &TestDatabase) -> Store {
    Store::open(&db.settings(), EventHandlers::new()).await.unwrap()
}

async fn migrate(store: &Store, sets: &[Migrations]) -> Result<Vec<Applied>, MigrateError> {
    store.migrate(sets, &Clock::system()).await
}

async fn can_read(store: &Store, sql: &str) -> bool {
    store.read(&ctx()).rows::<(i64,)>(sql, &params![]).await.is_ok()
}

everywhere! {
    async fn steps_are_applied_once_and_in_order(db: TestDatabase) {
        let store = open(&db).await;
        let applied = migrate(&store, &[of("a", &[ONE])]).await.unwrap();
        assert_eq!(applied, [Applied { domain: "a", step: 1, name: "0001_one" }]);
        assert_eq!(migrate(&store, &[of("a", &[ONE])]).await.unwrap(), []);
        let both = [of("a", &[ONE, TWO]), of("b", &[("0001_x", "CREATE TABLE x (id id PRIMARY KEY)")])];
        let applied = migrate(&store, &both).await.unwrap();
        assert_eq!(applied.iter().map(|step| (step.domain, step.step)).collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
        assert!(can_read(&store, "SELECT age FROM one").await);
        assert!(can_read(&store, "SELECT 1 FROM x").await);
        // Another process, later.
        let again = open(&db).await;
        assert!(can_read(&again, "SELECT age FROM one").await);
        assert_eq!(migrate(&again, &both).await.unwrap(), []);
    }

    async fn a_changed_file_is_noticed(db: TestDatabase) {
        let store = open(&db).await;
        migrate(&store, &[of("a", &[ONE])]).await.unwrap();
        let windows = of("a", &[("0001_one", "CREATE TABLE one (id id PRIMARY KEY, name text NOT NULL);\r")]);
        assert_eq!(migrate(&store, &[windows]).await.unwrap(), []);
        let changed = of("a", &[("0001_one", "CREATE TABLE one (id id PRIMARY KEY)"), TWO]);
        let error = migrate(&store, &[changed]).await.unwrap_err();
        assert!(matches!(&error, MigrateError::Changed { domain, step } if domain == "a" && step == "0001_one"), "{error}");
        assert!(error.to_string().contains("a/migrations/0001_one.sql"), "{error}");
        assert!(!can_read(&store, "SELECT age FROM one").await);
    }

    async fn an_older_program_is_noticed(db: TestDatabase) {
        let store = open(&db).await;
        migrate(&store, &[of("a", &[ONE, TWO])]).await.unwrap();
        let error = migrate(&store, &[of("a", &[ONE])]).await.unwrap_err();
        assert!(matches!(&error, MigrateError::Newer { step, .. } if step == "0002_two"), "{error}");
        // A domain that is not linked any more is no contradiction.
        assert_eq!(migrate(&store, &[of("b", &[])]).await.unwrap(), []);
    }

    async fn a_broken_step_leaves_nothing_half_done(db: TestDatabase) {
        let store = open(&db).await;
        let broken = of("a", &[ONE, ("0002_broken", "CREATE TABLE half (id id PRIMARY KEY); \n-- safe: it comes to nothing\nCREATE INDEX i ON nowhere (x);")]);
        let error = migrate(&store, &[broken]).await.unwrap_err();
        assert!(matches!(&error, MigrateError::Step { step, .. } if step == "0002_broken"), "{error}");
        assert!(can_read(&store, "SELECT 1 FROM one").await);
        assert!(!can_read(&store, "SELECT 1 FROM half").await);
        let mended = of("a", &[ONE, ("0002_broken", "CREATE TABLE half (id id PRIMARY KEY);")]);
        assert_eq!(migrate(&store, &[mended]).await.unwrap().len(), 1);
        assert!(can_read(&store, "SELECT 1 FROM half").await);
    }

    async fn a_text_that_breaks_the_rules_is_refused_before_anything_is_done(db: TestDatabase) {
        let store = open(&db).await;
        let sets = [of("a", &[ONE]), of("b", &[("0001_x", "CREATE TABLE x (y varchar(3))")])];
        let error = migrate(&store, &sets).await.unwrap_err();
        assert!(error.to_string().starts_with("b/migrations/0001_x.sql: "), "{error}");
        assert!(!can_read(&store, "SELECT 1 FROM one").await);
    }

    async fn ten_may_migrate_at_once(db: TestDatabase) {
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let settings = db.settings();
                tokio::spawn(async move {
                    let store = Store::open(&settings, EventHandlers::new()).await.unwrap();
                    let sets = [of("a", &[ONE, TWO]), of("b", &[("0001_x", "CREATE TABLE x (id id PRIMARY KEY)")])];
                    let applied = migrate(&store, &sets).await.unwrap().len();
                    assert!(can_read(&store, "SELECT age FROM one").await);
                    assert!(can_read(&store, "SELECT 1 FROM x").await);
                    applied
                })
            })
            .collect();
        let mut applied = 0;
        for task in tasks {
            applied += task.await.unwrap();
        }
        assert_eq!(applied, 3);
    }

    async fn dialect_only_blocks_are_for_their_own(db: TestDatabase) {
        let store = open(&db).await;
        let text = "CREATE TABLE docs (id id PRIMARY KEY, body text NOT NULL);
-- sqlite:
CREATE TABLE only_sqlite (n INTEGER PRIMARY KEY);
CREATE TRIGGER docs_count AFTER INSERT ON docs BEGIN
    INSERT INTO only_sqlite (n) VALUES (NULL);
END;
-- end
-- postgres:
CREATE TABLE only_postgres (n bigserial PRIMARY KEY);
CREATE FUNCTION docs_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO only_postgres DEFAULT VALUES; RETURN NULL; END $$;
CREATE TRIGGER docs_count AFTER INSERT ON docs FOR EACH ROW EXECUTE FUNCTION docs_count();
-- end";
        let steps: &'static [(&str, &str)] = Box::leak(Box::new([("0001_docs", text)]));
        migrate(&store, &[of("docs", steps)]).await.unwrap();
        let id: kernel::UserId = ctx().new_id();
        let insert = "INSERT INTO docs (id, body) VALUES ($1, 'x')";
        store.tx(&ctx(), move |tx| async move { tx.execute(insert, &params![id]).await }).await.map_err(|e: StoreError| e).unwrap();
        assert_eq!(can_read(&store, "SELECT n FROM only_sqlite").await, db.backend() == Backend::Sqlite);
        assert_eq!(can_read(&store, "SELECT n FROM only_postgres").await, db.backend() != Backend::Sqlite);
    }

    /// The way SQLite's own documentation alters a table that it cannot alter: the children stay.
    async fn a_table_is_rebuilt_and_keeps_its_children(db: TestDatabase) {
        let store = open(&db).await;
        let first = ("0001_tables", "CREATE TABLE mothers (id id PRIMARY KEY);
            CREATE TABLE kids (id id PRIMARY KEY, mother_id id NOT NULL REFERENCES mothers (id) ON DELETE CASCADE);");
        let rebuild = ("0002_rebuild", "-- sqlite:
CREATE TABLE mothers_new (id BLOB PRIMARY KEY CONSTRAINT size CHECK (length(id) = 16), age INT) STRICT;
INSERT INTO mothers_new (id) SELECT id FROM mothers;
DROP TABLE mothers;
ALTER TABLE mothers_new RENAME TO mothers;
-- end
-- postgres:
ALTER TABLE mothers ADD COLUMN age bigint;
-- end");
        // A table made in a block is the block's own affair, `STRICT` included.
        let rebuild = (rebuild.0, &*Box::leak(rebuild.1.replace(") STRICT;", ");").into_boxed_str()));
        let steps: &'static [(&str, &str)] = Box::leak(Box::new([first, rebuild]));
        let (mother, kid): (kernel::UserId, kernel::UserId) = (ctx().new_id(), ctx().new_id());
        migrate(&store, &[of("a", &steps[..1])]).await.unwrap();
        let family = move |tx: store::Tx| async move {
            tx.execute("INSERT INTO mothers (id) VALUES ($1)", &params![mother]).await?;
            tx.execute("INSERT INTO kids (id, mother_id) VALUES ($1, $2)", &params![kid, mother]).await
        };
        store.tx(&ctx(), family).await.map_err(|e: StoreError| e).unwrap();
        migrate(&store, &[of("a", steps)]).await.unwrap();
        let kids: Vec<(kernel::UserId,)> = store.read(&ctx()).rows("SELECT id FROM kids", &params![]).await.unwrap();
        assert_eq!(kids, [(kid,)]);
        // And the foreign key is watched again.
        let delete = move |tx: store::Tx| async move { tx.execute("DELETE FROM mothers", &params![]).await };
        store.tx(&ctx(), delete).await.map_err(|e: StoreError| e).unwrap();
        assert!(store.read(&ctx()).rows::<(kernel::UserId,)>("SELECT id FROM kids", &params![]).await.unwrap().is_empty());
    }

    /// Statements prepared before a migration go on after it.
    async fn prepared_statements_survive_a_migration(db: TestDatabase) {
        let (store, other) = (open(&db).await, open(&db).await);
        migrate(&store, &[of("a", &[ONE])]).await.unwrap();
        // The other was opened before there were tables: its first connection may not know where they are.
        let _ = other.read(&ctx()).rows::<(i64,)>("SELECT 1 FROM one", &params![]).await;
        let all = "SELECT * FROM one";
        for _ in 0..20 {
            assert!(other.read(&ctx()).rows::<(i64,)>(all, &params![]).await.is_ok());
        }
        let changed = ("0002_change", "ALTER TABLE one ADD COLUMN extra text;");
        let steps: &'static [(&str, &str)] = Box::leak(Box::new([ONE, changed]));
        migrate(&store, &[of("a", steps)]).await.unwrap();
        for _ in 0..20 {
            assert!(other.read(&ctx()).rows::<(i64,)>(all, &params![]).await.is_ok());
            let work = move |tx: store::Tx| async move { tx.rows::<(i64,)>(all, &params![]).await };
            store.tx(&ctx(), work).await.map_err(|e: StoreError| e).unwrap();
            other.tx(&ctx(), work).await.map_err(|e: StoreError| e).unwrap();
        }
    }
}

#[test]
fn each_domain_has_its_own_schema_on_postgres() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        migrate(&store, &[of("a", &[ONE]), of("b", &[("0001_x", "CREATE TABLE x (id id PRIMARY KEY)")])])
            .await
            .unwrap();
        let select = "SELECT table_schema::text, table_name::text FROM information_schema.tables
            WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2";
        let tables: Vec<(String, String)> = store.read(&ctx()).rows(select, &params![]).await.unwrap();
        let tables: Vec<_> = tables.iter().map(|(schema, table)| (schema.as_str(), table.as_str())).collect();
        assert_eq!(tables, [("a", "one"), ("b", "x"), ("mainstay", "mainstay_migrations")]);
    });
}

/// An index on a table that is written to, by three at once; and one that was broken off before.
#[test]
fn an_index_is_built_beside_the_traffic_and_after_one_that_was_broken_off() {
    testkit::run(async {
        const INDEX: (&str, &str) = ("0002_index", "CREATE UNIQUE INDEX CONCURRENTLY one_name ON one (name)");
        for backend in [Backend::Sqlite, Backend::Postgres] {
            let db = TestDatabase::fresh(backend).await;
            let store = open(&db).await;
            migrate(&store, &[of("a", &[ONE])]).await.unwrap();
            let add = |name: &'static str| {
                let store = store.clone();
                let id: kernel::UserId = ctx().new_id();
                let add = move |tx: store::Tx| async move {
                    tx.execute("INSERT INTO one (id, name) VALUES ($1, $2)", &params![id, name]).await
                };
                async move { store.tx(&ctx(), add).await }
            };
            let _: Result<u64, StoreError> = add("twice").await;
            let _: Result<u64, StoreError> = add("twice").await;
            let failed = migrate(&store, &[of("a", &[ONE, INDEX])]).await.unwrap_err();
            assert!(matches!(&failed, MigrateError::Step { step, .. } if step == "0002_index"), "{failed:?}");
            let clear =
                |tx: store::Tx| async move { tx.execute("DELETE FROM one WHERE name = 'twice'", &params![]).await };
            assert_eq!(store.tx(&ctx(), clear).await.map_err(|e: StoreError| e).unwrap(), 2);
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let settings = db.settings();
                    tokio::spawn(async move {
                        let store = Store::open(&settings, EventHandlers::new()).await.unwrap();
                        migrate(&store, &[of("a", &[ONE, INDEX])]).await.unwrap().len()
                    })
                })
                .collect();
            let mut applied = 0;
            for task in tasks {
                applied += task.await.unwrap();
            }
            assert_eq!(applied, 1);
            add("once").await.unwrap();
            assert!(matches!(add("once").await, Err(StoreError::Violation(_))));
        }
    });
}

/// A process that serves one domain, as a role that another one brings its tables up to date for.
#[test]
fn a_role_of_one_domain_reaches_no_other() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let owner = open(&db).await;
        let b = of("b", &[("0001_x", "CREATE TABLE x (id id PRIMARY KEY)")]);
        migrate(&owner, &[of("a", &[ONE]), b]).await.unwrap();
        // Roles are the whole server's.
        let role = db.url().rsplit('/').next().unwrap().to_owned();
        db.change_on_server(&format!("CREATE ROLE {role} LOGIN")).await;
        let url = db.url().replace("//postgres@", &format!("//{role}@"));

        // Before anybody has let it.
        let lone = StoreSettings { pool_size: 2, ..StoreSettings::at(&url) };
        let refused = Store::open(&lone, EventHandlers::new()).await.unwrap();
        assert!(migrate(&refused, &[of("a", &[ONE])]).await.is_err());

        let told = StoreSettings { admin_url: kernel::Secret::new(db.url().to_owned()), ..lone.clone() };
        for settings in [told, lone] {
            let store = Store::open(&settings, EventHandlers::new()).await.unwrap();
            migrate(&store, &[of("a", &[ONE, TWO])]).await.unwrap();
            let id: kernel::UserId = ctx().new_id();
            let add = move |tx: store::Tx| async move {
                tx.execute("INSERT INTO one (id, name, age) VALUES ($1, 'x', 1)", &params![id]).await?;
                tx.execute("UPDATE one SET age = 2 WHERE id = $1", &params![id]).await?;
                tx.execute("DELETE FROM one WHERE id = $1", &params![id]).await
            };
            assert_eq!(store.tx(&ctx(), add).await.map_err(|e: StoreError| e).unwrap(), 1);
            assert!(can_read(&store, "SELECT age FROM one").await);
            for sql in ["SELECT 1 FROM x", "SELECT 1 FROM b.x"] {
                assert!(!can_read(&store, sql).await, "{sql}");
            }
            for sql in ["DELETE FROM b.x", "DELETE FROM mainstay.mainstay_migrations"] {
                let change = move |tx: store::Tx| async move { tx.execute(sql, &params![]).await };
                assert!(store.tx(&ctx(), change).await.map_err(|e: StoreError| e).is_err(), "{sql}");
            }
            store.close().await;
        }
        db.change_on_server(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    });
}

#[test]
fn the_macro_reads_files_of_the_calling_crate() {
    const SET: Migrations = store::migrations!("example", "0001_example");
    assert_eq!(SET.domain, "example");
    assert!(SET.steps[0].0 == "0001_example" && SET.steps[0].1.contains("CREATE TABLE example"));
}
