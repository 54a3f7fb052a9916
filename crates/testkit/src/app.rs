use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use kernel::{Clock, Ctx, Identity, Random, Time};
use mainstay::{Domain, Origin, RunningApp, SettingsBuilder};
use store::Store;
use web::Api;

use crate::openapi_check::Contract;
use crate::{Call, Caller, Served, TestDatabase};

/// The moment at which a test begins, unless it says otherwise.
const START: &str = "2026-11-22T09:30:00Z";

/// From which a test's app derives its keys.
const SECRET_KEY: &str = "every key of a test's app comes from this line, 0123456789";

type Make = dyn Fn() -> mainstay::App + Send + Sync;
type Promotion = Pin<Box<dyn Future<Output = ()> + Send>>;
type Promote = dyn Fn(RunningApp, Ctx, String) -> Promotion + Send + Sync;

/// How an app is to be started: which domains, which settings, which moment.
#[derive(Clone)]
pub struct Setup {
    make: Arc<Make>,
    settings: Vec<(String, String)>,
    files: Vec<String>,
    start: Time,
    random: Random,
    promote: Option<Arc<Promote>>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("settings", &self.settings).field("start", &self.start).finish_non_exhaustive()
    }
}

impl Setup {
    /// Adds a domain.
    #[must_use]
    pub fn and(mut self, domain: impl Fn() -> Domain + Send + Sync + 'static) -> Self {
        let make = self.make;
        self.make = Arc::new(move || make().domain(domain()));
        self
    }

    /// Changes the app as a whole, for glue: `.app(|app| app.on::<Published, _, _>(…))`.
    #[must_use]
    pub fn app(mut self, change: impl Fn(mainstay::App) -> mainstay::App + Send + Sync + 'static) -> Self {
        let make = self.make;
        self.make = Arc::new(move || change(make()));
        self
    }

    /// Sets one setting by its dotted key: `.set("server.max_body_bytes", "100")`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Lays the text of a settings file over the defaults, under what [`Setup::set`] says.
    #[must_use]
    pub fn file(mut self, toml: &str) -> Self {
        self.files.push(toml.to_owned());
        self
    }

    /// The moment at which the clock stands.
    ///
    /// # Panics
    /// When it is not written like `2026-11-22T09:30:00Z`.
    #[must_use]
    pub fn at(mut self, moment: &str) -> Self {
        self.start = moment.parse().unwrap_or_else(|error| panic!("`{moment}`: {error}"));
        self
    }

    /// Takes randomness from a repeatable sequence. Ids then repeat too: not for two apps over one database.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.random = Random::seeded(seed);
        self
    }

    /// How the account with an e-mail address is made an administrator, for [`App::admin`]. Only the domain that owns
    /// accounts knows, so the test says it.
    #[must_use]
    pub fn promote<F, Fut>(mut self, promote: F) -> Self
    where
        F: Fn(RunningApp, Ctx, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.promote = Some(Arc::new(move |running, ctx, email| Box::pin(promote(running, ctx, email))));
        self
    }

    /// Starts the app over a fresh database.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self, database: TestDatabase) -> App {
        self.try_start(database).await.unwrap_or_else(|why| panic!("the app does not start: {why}"))
    }

    /// Starts the app over a fresh database, or says why it does not start: the message and each cause behind it.
    ///
    /// # Errors
    /// What an operator would read.
    pub async fn try_start(self, database: TestDatabase) -> Result<App, String> {
        let clock = Clock::fake(self.start);
        start(Arc::new(self), Arc::new(database), clock).await
    }
}

/// An app under test. Clones are the same app.
#[derive(Debug, Clone)]
pub struct App {
    setup: Arc<Setup>,
    running: RunningApp,
    clock: Clock,
    contract: Arc<Contract>,
    /// Where calls go, each in its turn; to this app alone where it is empty.
    nodes: Arc<[Arc<Api>]>,
    turn: Arc<AtomicUsize>,
    // Last, so that it goes after everything that is connected to it.
    database: Arc<TestDatabase>,
}

impl App {
    /// An app of one domain, to which [`Setup::and`] adds others. Give the function that makes it, since an app may be
    /// started several times: `App::with(notes::domain)`.
    pub fn with(domain: impl Fn() -> Domain + Send + Sync + 'static) -> Setup {
        Self::of(mainstay::App::new).and(domain)
    }

    /// Any app, by a function that makes it.
    pub fn of(make: impl Fn() -> mainstay::App + Send + Sync + 'static) -> Setup {
        let start = START.parse().expect("a constant that is a time");
        Setup {
            make: Arc::new(make),
            settings: Vec::new(),
            files: Vec::new(),
            start,
            random: Random::os(),
            promote: None,
        }
    }

    /// The clock by which the app lives. It stands still until the test moves it.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The database's store.
    pub const fn store(&self) -> &Store {
        &self.running.store
    }

    /// The database itself.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// The app as the server holds it: its API, settings, applied migrations.
    pub const fn running(&self) -> &RunningApp {
        &self.running
    }

    /// A service that a domain provides.
    ///
    /// # Panics
    /// When none does.
    pub fn service<T: Clone + Send + Sync + 'static>(&self) -> T {
        let found = self.running.api.state().get::<T>();
        found.unwrap_or_else(|| panic!("no domain provides `{}`", std::any::type_name::<T>())).clone()
    }

    /// A context in the process's own name.
    pub fn ctx(&self) -> Ctx {
        Ctx::system("test", Duration::from_secs(30), &self.clock, &self.setup.random)
    }

    /// A context in someone's name.
    pub fn ctx_of(&self, identity: Identity) -> Ctx {
        self.ctx().by(identity)
    }

    /// Stops the app and starts it again over the same database: what was in memory is lost, what was saved is not.
    /// Callers go over with [`Caller::on`].
    pub async fn restart(&self) -> App {
        self.running.close().await;
        self.second_node().await
    }

    /// The same on a machine whose clock says another time by then.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart_at(&self, moment: Time) -> App {
        self.running.close().await;
        start(self.setup.clone(), self.database.clone(), Clock::fake(moment))
            .await
            .unwrap_or_else(|why| panic!("the app does not start at {moment}: {why}"))
    }

    /// A second app over the same database, at the same clock.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn second_node(&self) -> App {
        start(self.setup.clone(), self.database.clone(), self.clock.clone())
            .await
            .unwrap_or_else(|why| panic!("the second app does not start: {why}"))
    }

    /// Another app over the same database and clock, set up otherwise; or why it does not start.
    ///
    /// # Errors
    /// What an operator would read.
    pub async fn another_node(&self, change: impl FnOnce(Setup) -> Setup) -> Result<App, String> {
        start(Arc::new(change((*self.setup).clone())), self.database.clone(), self.clock.clone()).await
    }

    /// The same app, whose calls go to these others and itself in turn, as through a proxy: one service of several nodes.
    #[must_use]
    pub fn among(&self, others: &[App]) -> App {
        let nodes = std::iter::once(self).chain(others).map(|node| node.running.api.clone()).collect();
        App { nodes, ..self.clone() }
    }

    /// Takes the database away: from now on it does not answer.
    pub async fn lose_database(&self) {
        self.running.store.close().await;
    }

    /// Puts a real socket in front of it, on a free port of this machine.
    pub fn serve(&self) -> Served {
        Served::start(self.running.api.clone())
    }

    /// A caller that has not signed in.
    pub fn anonymous(&self) -> Caller {
        Caller::anonymous(self)
    }

    /// Registers `name` and signs them in, through the API.
    ///
    /// # Panics
    /// When the API does not let them.
    pub async fn user(&self, name: &str) -> Caller {
        Caller::register(self, name).await
    }

    /// Registers somebody, makes them an administrator in the way [`Setup::promote`] says, and signs them in.
    ///
    /// # Panics
    /// When the test did not say how, or the API does not let them.
    pub async fn admin(&self) -> Caller {
        let Some(promote) = self.setup.promote.clone() else {
            panic!("who makes an administrator, and how? Say it with `Setup::promote` when starting the app")
        };
        let caller = self.user("Admin").await;
        promote(self.running.clone(), self.ctx(), caller.email().to_owned()).await;
        caller.sign_in().await
    }

    /// A request by nobody in particular.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let node = self.nodes.get(turn % self.nodes.len().max(1)).unwrap_or(&self.running.api);
        Call::new(node.clone(), self.contract.clone(), method, path)
    }

    /// A GET by nobody in particular.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST by nobody in particular.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A PUT by nobody in particular.
    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// A PATCH by nobody in particular.
    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    /// A DELETE by nobody in particular.
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }
}

async fn start(setup: Arc<Setup>, database: Arc<TestDatabase>, clock: Clock) -> Result<App, String> {
    let app = (setup.make)();
    let settings = settings(&setup, &database, app.sections())?;
    let running = app.start(settings, clock.clone(), setup.random.clone()).await.map_err(|e| with_causes(&e))?;
    let contract = Arc::new(Contract::new(&running.api));
    Ok(App { setup, running, clock, contract, nodes: Arc::default(), turn: Arc::default(), database })
}

fn settings(
    setup: &Setup,
    database: &TestDatabase,
    sections: Vec<mainstay::Section>,
) -> Result<mainstay::Settings, String> {
    let said = Origin::Flag("the test".to_owned());
    let mut builder = SettingsBuilder::new(sections);
    let of_database = database.settings();
    let own = [
        ("secret_key", SECRET_KEY.to_owned()),
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.workers", "1".to_owned()),
        // A test about them turns them on: others would meet them, as the clock stands still.
        ("limits.enabled", "false".to_owned()),
        // A machine that has much to do is no Redis that is slow: what nodes share is shared.
        ("cache.timeout_ms", "5000".to_owned()),
        ("database.url", of_database.url.expose().clone()),
        ("database.pool_size", of_database.pool_size.to_string()),
    ];
    for (key, value) in own {
        builder.set(key, &value, &said).map_err(|e| e.to_string())?;
    }
    for text in &setup.files {
        builder.file("the test's settings", text).map_err(|e| e.to_string())?;
    }
    for (key, value) in &setup.settings {
        builder.set(key, value, &said).map_err(|e| e.to_string())?;
    }
    builder.build().map_err(|e| e.to_string())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
