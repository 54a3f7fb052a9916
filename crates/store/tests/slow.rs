//! What the log says of slow statements. A binary of its own: the log is the whole process's.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::{Clock, Ctx, Random};
use store::{EventHandlers, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what is logged.
struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Some milliseconds of work on both databases.
const LONG: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    SELECT count(*) FROM n WHERE i > $1";

#[test]
fn slow_statements_are_told_with_their_operation() {
    tracing::subscriber::set_global_default(Log).unwrap();
    testkit::run(async {
        for backend in [Backend::Sqlite, Backend::Postgres, Backend::Pooler] {
            let db = TestDatabase::fresh(backend).await;
            for (slow_statement_ms, is_told) in [(1, true), (60_000, false), (0, false)] {
                let settings = StoreSettings { slow_statement_ms, ..db.settings() };
                let store = Store::open(&settings, EventHandlers::new()).await.unwrap();
                for way in ["by_key", "scan", "transaction"] {
                    let ctx = Ctx::system("a_request", Duration::from_secs(30), &Clock::system(), &Random::os());
                    let ctx = ctx.of(way.into());
                    match way {
                        "by_key" => drop(store.read(&ctx).row::<(i64,)>(LONG, &params![7]).await.unwrap()),
                        "scan" => drop(store.read(&ctx).rows::<(i64,)>(LONG, &params![7]).await.unwrap()),
                        _ => {
                            let work = |tx: store::Tx| async move { tx.rows::<(i64,)>(LONG, &params![7]).await };
                            store.tx(&ctx, work).await.map_err(|error: StoreError| error).unwrap();
                        }
                    }
                    let lines = std::mem::take(&mut *LINES.lock().unwrap());
                    let told: Vec<_> = lines.iter().filter(|line| line.contains("message=a slow statement")).collect();
                    assert_eq!(!told.is_empty(), is_told, "{backend:?} {way} {slow_statement_ms}: {lines:?}");
                    let is_whole = |line: &&String| {
                        line.contains(&format!("operation=\"{way}\""))
                            && line.contains("request_id=\"a_request\"")
                            && line.contains("WITH RECURSIVE n (i) AS (SELECT 1")
                            && !line.contains('\n')
                    };
                    assert!(told.iter().all(is_whole), "{told:?}");
                }
                store.close().await;
            }
        }
    });
}
