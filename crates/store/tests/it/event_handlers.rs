use std::sync::Arc;

use store::{EventHandlers, Reads as _, StoreError, Tx, params};
use testkit::{TestDatabase, everywhere};

use crate::{count, ctx, get, open, open_with};

const INSERT: &str = "INSERT INTO counters (name, value) VALUES ($1, $2)";

struct Registered {
    name: &'static str,
}
struct Welcomed {
    value: i64,
}
struct Circle;

everywhere! {
    async fn reactions_run_in_the_same_transaction_and_in_order(db: TestDatabase) {
        let mut event_handlers = EventHandlers::new();
        event_handlers.on("first", |tx: Tx, event: Arc<Registered>| async move {
            let (seen,): (i64,) = tx.row("SELECT count(*) FROM counters", &params![]).await?.unwrap();
            tx.execute(INSERT, &params![format!("{} first", event.name), seen]).await?;
            tx.emit(Welcomed { value: 7 }).await
        });
        event_handlers.on("second", |tx: Tx, event: Arc<Registered>| async move {
            let (seen,): (i64,) = tx.row("SELECT count(*) FROM counters", &params![]).await?.unwrap();
            tx.execute(INSERT, &params![format!("{} second", event.name), seen]).await.map(drop)
        });
        event_handlers.on("third", |tx: Tx, event: Arc<Welcomed>| async move {
            tx.execute(INSERT, &params!["welcome", event.value]).await.map(drop)
        });
        let store = open_with(&db.settings(), event_handlers).await;
        let work = |fails: bool| {
            move |tx: Tx| async move {
                tx.execute(INSERT, &params!["ada", 0]).await?;
                tx.emit(Registered { name: "ada" }).await?;
                if fails { Err(StoreError::Busy) } else { Ok(()) }
            }
        };
        assert!(matches!(store.tx(&ctx(), work(true)).await, Err(StoreError::Busy)));
        assert_eq!(count(&store).await, 0);
        store.tx(&ctx(), work(false)).await.unwrap();
        assert_eq!(get(&store, "ada first").await, Some(1));
        assert_eq!(get(&store, "welcome").await, Some(7));
        assert_eq!(get(&store, "ada second").await, Some(3));
    }

    async fn a_reaction_that_fails_undoes_the_whole(db: TestDatabase) {
        let mut event_handlers = EventHandlers::new();
        event_handlers.on("bad", |tx: Tx, _: Arc<Registered>| async move {
            tx.execute(INSERT, &params!["event handler", 1]).await?;
            Err(StoreError::Full)
        });
        let store = open_with(&db.settings(), event_handlers).await;
        let result: Result<(), StoreError> = store
            .tx(&ctx(), |tx| async move {
                tx.execute(INSERT, &params!["ada", 1]).await?;
                tx.emit(Registered { name: "ada" }).await
            })
            .await;
        assert!(matches!(result, Err(StoreError::Full)), "{result:?}");
        // Also where the emitter ignores the error.
        let result: Result<(), StoreError> = store
            .tx(&ctx(), |tx| async move {
                tx.execute(INSERT, &params!["ada", 1]).await?;
                let _ = tx.emit(Registered { name: "ada" }).await;
                Ok(())
            })
            .await;
        assert!(matches!(result, Err(StoreError::Internal { .. })), "{result:?}");
        assert_eq!(count(&store).await, 0);
    }

    async fn an_event_nobody_reacts_to_is_fine(db: TestDatabase) {
        let store = open(&db).await;
        let result: Result<(), StoreError> =
            store.tx(&ctx(), |tx| async move { tx.emit(Registered { name: "ada" }).await }).await;
        result.unwrap();
    }

    async fn reactions_in_a_circle_are_an_error(db: TestDatabase) {
        let mut event_handlers = EventHandlers::new();
        event_handlers.on("a", |tx: Tx, _: Arc<Circle>| async move { tx.emit(Circle).await });
        let store = open_with(&db.settings(), event_handlers).await;
        let result: Result<(), StoreError> = store.tx(&ctx(), |tx| async move { tx.emit(Circle).await }).await;
        assert!(matches!(result, Err(StoreError::Internal { .. })), "{result:?}");
    }
}
