//! Each transaction in a person's name proves inside itself that the person may still write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::{Clock, Identity, Role, SessionId, Time, UserId};
use store::{EventHandlers, Migrations, Reads as _, SessionCheck, Store, StoreError, Tx, params};
use testkit::{TestDatabase, everywhere};

use crate::ctx;

const TABLES: Migrations = Migrations {
    domain: "people",
    steps: &[(
        "0001_people",
        "CREATE TABLE logins (id id PRIMARY KEY, user_id id NOT NULL, ends_at time NOT NULL, role text NOT NULL);
        CREATE TABLE letters (user_id id NOT NULL, text text NOT NULL);
        CREATE INDEX letters_user_id ON letters (user_id);",
    )],
};
const CHECK: &str =
    "SELECT 1 FROM logins WHERE id = $1 AND user_id = $2 AND ends_at > $3 AND (role = $4 OR role = 'admin')";
const WRITE: &str = "INSERT INTO letters (user_id, text) VALUES ($1, $2)";

#[derive(Clone, Copy)]
struct Login {
    user_id: UserId,
    session_id: SessionId,
    role: Role,
}

impl Login {
    /// The operation of this person.
    fn ctx(self) -> kernel::Ctx {
        let Self { user_id, session_id, role } = self;
        ctx().by(Identity::User { user_id, session_id, role })
    }

    fn claims(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

async fn open(db: &TestDatabase) -> Store {
    let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
    store.migrate(&[TABLES], &Clock::system()).await.unwrap();
    store.checking_sessions(SessionCheck::new(CHECK))
}

async fn log_in(store: &Store, role: Role, ends_at: Time) -> Login {
    let login = Login { user_id: ctx().new_id(), session_id: ctx().new_id(), role };
    let add = move |tx: Tx| async move {
        let sql = "INSERT INTO logins (id, user_id, ends_at, role) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, &params![login.session_id, login.user_id, ends_at, role]).await
    };
    store.tx::<_, StoreError, _, _>(&ctx(), add).await.unwrap();
    login
}

async fn log_out(store: &Store, login: Login) {
    let remove = move |tx: Tx| async move {
        tx.execute("DELETE FROM logins WHERE id = $1", &params![login.session_id]).await?;
        tx.execute("DELETE FROM letters WHERE user_id = $1", &params![login.user_id]).await
    };
    store.tx::<_, StoreError, _, _>(&ctx(), remove).await.unwrap();
}

/// Writes in each way that there is, and says how each ended.
async fn write(store: &Store, login: Login) -> [Result<(), StoreError>; 3] {
    let id = login.user_id;
    let changed = store.tx(&login.ctx(), move |tx| async move { tx.execute(WRITE, &params![id, "tx"]).await }).await;
    let read_first = store
        .tx(&login.ctx(), move |tx| async move {
            tx.rows::<(String,)>("SELECT text FROM letters WHERE user_id = $1", &params![id]).await?;
            tx.execute(WRITE, &params![id, "read first"]).await
        })
        .await;
    let sql = format!("{WRITE} RETURNING text");
    let row = store.write_row::<(String,)>(&login.ctx(), sql, params![id, "row"].to_vec(), Vec::new()).await;
    [changed.map(drop), read_first.map(drop), row.map(drop)]
}

async fn letters(store: &Store, login: Login) -> i64 {
    let sql = "SELECT count(*) FROM letters WHERE user_id = $1";
    store.read(&ctx()).row::<(i64,)>(sql, &params![login.user_id]).await.unwrap().unwrap().0
}

fn soon() -> Time {
    ctx().now().plus(std::time::Duration::from_secs(60))
}

everywhere! {
    async fn who_has_a_live_session_writes_and_who_has_none_does_not(db: TestDatabase) {
        let store = open(&db).await;
        let (live, admin) = (log_in(&store, Role::User, soon()).await, log_in(&store, Role::Admin, soon()).await);
        let past = log_in(&store, Role::User, ctx().now()).await;
        let nobody = Login { session_id: ctx().new_id(), ..live };
        let another = Login { user_id: admin.user_id, ..live };
        // The same statements on the same connections, in turn.
        for round in 1..=3 {
            for login in [live, admin, admin.claims(Role::User)] {
                for written in write(&store, login).await {
                    written.unwrap();
                }
            }
            for login in [past, nobody, another, live.claims(Role::Admin)] {
                for written in write(&store, login).await {
                    assert!(matches!(written, Err(StoreError::SessionEnded)), "{written:?}");
                }
            }
            assert_eq!((letters(&store, live).await, letters(&store, admin).await), (3 * round, 6 * round));
        }
        assert_eq!(letters(&store, past).await, 0);
    }

    async fn who_is_no_person_has_nothing_to_prove(db: TestDatabase) {
        let store = open(&db).await;
        let id: UserId = ctx().new_id();
        for by in [Identity::Anonymous, Identity::System] {
            let ctx = ctx().by(by);
            store.tx::<_, StoreError, _, _>(&ctx, move |tx| async move { tx.execute(WRITE, &params![id, "x"]).await }).await.unwrap();
        }
    }

    /// What fails in a statement of one's own is not taken for a session that ended.
    async fn ones_own_division_by_zero_is_ones_own_fault(db: TestDatabase) {
        let store = open(&db).await;
        let live = log_in(&store, Role::User, soon()).await;
        let divide = |tx: Tx| async move { tx.rows::<(Option<i64>,)>("SELECT 1 / (count(*) - count(*)) FROM letters", &[]).await };
        let outcome = store.tx(&live.ctx(), divide).await;
        assert!(!matches!(outcome, Err(StoreError::SessionEnded)), "{outcome:?}");
        for written in write(&store, live).await {
            written.unwrap();
        }
    }

    /// A person may end their own session, and what they wrote before in the same transaction stays.
    async fn the_last_transaction_of_a_session_may_end_it(db: TestDatabase) {
        let store = open(&db).await;
        let live = log_in(&store, Role::User, soon()).await;
        let end = move |tx: Tx| async move {
            tx.execute(WRITE, &params![live.user_id, "bye"]).await?;
            tx.execute("DELETE FROM logins WHERE id = $1", &params![live.session_id]).await?;
            tx.execute(WRITE, &params![live.user_id, "gone"]).await
        };
        store.tx::<_, StoreError, _, _>(&live.ctx(), end).await.unwrap();
        for written in write(&store, live).await {
            assert!(matches!(written, Err(StoreError::SessionEnded)), "{written:?}");
        }
        assert_eq!(letters(&store, live).await, 2);
    }

    /// However a write and the end of its session meet, one of them comes first.
    async fn nothing_is_written_after_a_session_has_ended(db: TestDatabase) {
        let store = open(&db).await;
        for _ in 0..5 {
            let live = log_in(&store, Role::User, soon()).await;
            let has_ended = Arc::new(AtomicBool::new(false));
            let writers: Vec<_> = (0..6)
                .map(|_| {
                    let (store, has_ended) = (store.clone(), has_ended.clone());
                    tokio::spawn(async move {
                        loop {
                            let before = has_ended.load(Ordering::Acquire);
                            for written in write(&store, live).await {
                                match written {
                                    Ok(()) => assert!(!before, "written after the end was acknowledged"),
                                    Err(StoreError::SessionEnded) => return,
                                    Err(error) => panic!("{error:?}"),
                                }
                            }
                        }
                    })
                })
                .collect();
            while letters(&store, live).await < 6 {}
            log_out(&store, live).await;
            has_ended.store(true, Ordering::Release);
            for writer in writers {
                writer.await.unwrap();
            }
            assert_eq!(letters(&store, live).await, 0, "its end removed them all");
        }
    }
}
