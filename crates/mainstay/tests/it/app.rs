//! How domains are put together, on both databases.

use std::sync::Arc;

use mainstay::prelude::*;
use mainstay::store::Migrations;
use serde_json::json;
use testkit::{App as TestApp, TestDatabase, both};

/// Announced when a ledger line is written.
#[derive(Debug, Clone)]
struct Written {
    text: String,
}

#[derive(Debug, Clone)]
struct Ledger(Store);
impl Service for Ledger {}

#[derive(Debug, ApiError)]
enum LedgerError {
    #[api(from)]
    Store(StoreError),
}

/// A line.
#[input]
#[derive(Debug)]
struct NewLine {
    /// What is written.
    text: String,
}

/// How many lines and echoes there are.
#[view]
#[derive(Debug)]
struct Count {
    /// Lines.
    lines: i64,
    /// Echoes.
    echoes: i64,
}

/// Write a line.
#[post("/lines")]
async fn create_line(ctx: Ctx, ledger: Ledger, Valid(new): Valid<NewLine>) -> Result<NoContent, LedgerError> {
    let text = new.text;
    ledger
        .0
        .tx(&ctx, move |tx| {
            let text = text.clone();
            async move {
                tx.execute("insert into lines (text) values ($1)", &params![text.clone()]).await?;
                tx.emit(Written { text }).await?;
                Ok::<_, LedgerError>(())
            }
        })
        .await?;
    Ok(NoContent)
}

/// Count.
#[get("/lines")]
async fn count_lines(ctx: Ctx, ledger: Ledger) -> Result<Json<Count>, LedgerError> {
    let sql = "select (select count(*) from lines), (select count(*) from echoes)";
    let counted: Vec<(i64, i64)> = ledger.0.read(&ctx).rows(sql, &params![]).await?;
    Ok(Json(Count { lines: counted[0].0, echoes: counted[0].1 }))
}

fn ledger() -> Domain {
    Domain::new("ledger")
        .migrations(Migrations {
            domain: "ledger",
            steps: &[("0001_lines", "create table lines (text text not null);")],
        })
        .provide(|boot: Boot| async move {
            boot.put(Ledger(boot.store().clone()));
            Ok(())
        })
        .endpoint(create_line)
        .endpoint(count_lines)
}

/// Knows nothing of the ledger; the product glues them.
fn echo() -> Domain {
    Domain::new("echo").migrations(Migrations {
        domain: "echo",
        steps: &[(
            "0001_echoes",
            "create table echoes (text text not null constraint echoes_text check (text <> 'refuse me'));",
        )],
    })
}

both! {
    /// An event handler runs inside the emitter's transaction: both are there, or neither.
    async fn glue_is_atomic(db: TestDatabase) {
        let app = TestApp::with(ledger)
            .and(echo)
            .app(|app| {
                app.on(|tx, written: Arc<Written>| async move {
                    tx.execute("insert into echoes (text) values ($1)", &params![written.text.as_str()]).await?;
                    Ok(())
                })
            })
            .start(db)
            .await;
        app.post("/api/v1/lines").json(&json!({"text": "hello"})).send().await.expect(204);
        app.post("/api/v1/lines").json(&json!({"text": "refuse me"})).send().await.expect_problem(500, "internal");
        let count = app.get("/api/v1/lines").send().await.expect(200).json();
        assert_eq!(count, json!({"lines": 1, "echoes": 1}));
    }

    /// Without glue nobody handles the event, and that is fine.
    async fn a_domain_stands_alone(db: TestDatabase) {
        let app = TestApp::with(ledger).and(echo).start(db).await;
        app.post("/api/v1/lines").json(&json!({"text": "hello"})).send().await.expect(204);
        assert_eq!(app.get("/api/v1/lines").send().await.json(), json!({"lines": 1, "echoes": 0}));
        app.get("/health/ready").send().await.expect(200);
        app.lose_database().await;
        let refused = app.get("/health/ready").send().await.expect_problem(503, "not_ready");
        assert!(refused.header("retry-after").is_some());
        let refused = app.get("/api/v1/lines").send().await;
        assert_eq!((refused.status(), refused.header("retry-after").is_some()), (503, true));
        app.get("/health/live").send().await.expect(200);
    }
}

/// Why an app does not start.
fn refusal(setup: testkit::Setup) -> String {
    testkit::run(async {
        let db = TestDatabase::fresh(testkit::Backend::Sqlite).await;
        setup.try_start(db).await.map(drop).unwrap_err()
    })
}

#[test]
fn what_is_missing_is_named() {
    let needy = || {
        Domain::new("needy").provide(|boot: Boot| async move {
            let _: Ledger = boot.get()?;
            Ok(())
        })
    };
    let message = refusal(TestApp::with(needy).and(ledger).and(echo));
    assert!(message.contains("needs `it::app::Ledger`") && message.contains("list it earlier"), "{message}");

    let message = refusal(TestApp::with(ledger).and(echo).and(ledger));
    assert!(message.contains("create_line") || message.contains("ledger"), "{message}");

    let broken = || {
        Domain::new("broken")
            .migrations(Migrations { domain: "broken", steps: &[("0001_x", "create tabel x (y int);")] })
    };
    let message = refusal(TestApp::with(broken));
    assert!(message.contains("broken") && message.contains("0001_x"), "{message}");
}
