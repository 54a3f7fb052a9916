use std::cell::RefCell;

use testkit::{App, Backend, Setup, TestDatabase};
use tokio::runtime::{Builder, Runtime};

/// An app on SQLite, made once by each thread that asks, and the runtime it lives in.
pub(crate) struct Stage {
    // Goes before the runtime it lives in.
    app: App,
    runtime: Runtime,
}

impl Stage {
    fn new(setup: Setup, prepare: impl AsyncFnOnce(&App)) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
        let app = runtime.block_on(async {
            let app = setup.start(TestDatabase::fresh(Backend::Sqlite).await).await;
            prepare(&app).await;
            app
        });
        Self { app, runtime }
    }
}

/// Runs a test on this thread's stage, which is set up when it is first needed.
pub(crate) fn on<T>(
    stage: &'static std::thread::LocalKey<RefCell<Option<Stage>>>,
    setup: impl FnOnce() -> Setup,
    prepare: impl AsyncFnOnce(&App),
    test: impl AsyncFnOnce(App) -> T,
) -> T {
    stage.with_borrow_mut(|stage| {
        let Stage { app, runtime } = stage.get_or_insert_with(|| Stage::new(setup(), prepare));
        runtime.block_on(async { test(app.clone()).await })
    })
}
