use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache::{Backend, Bus, Cache};
use kernel::{Catalogue, Clock, Ctx, KeyedHash, Random, SecretKey};
use resource::{Cursors, Loaders};
use store::{Applied, EventHandlers, Migrations, Store, StoreError, Tx};
use web::{Api, ApiBuilder, Authenticate, ETags, State};

use crate::cache_wiring::{Answers as CachedResponses, CacheWiring};
use crate::erasure::{self, Eraser, Erasing};
use crate::idempotency::{self, Answers, Cleanup};
use crate::settings::{Settings, SettingsError, SettingsOf};
use crate::{Command, Database, Domain, Section, allocator, deployment};

/// A product: a list of domains, and the glue between them.
pub struct App {
    title: String,
    version: String,
    description: String,
    domains: Vec<Domain>,
    glue: EventHandlers,
    texts: Vec<(&'static str, &'static str)>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("domains", &self.domains).finish_non_exhaustive()
    }
}

/// Why an app does not start, or a command of its does not end well: a sentence that says what to do, and the cause.
#[derive(Debug)]
pub struct StartError {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StartError {
    /// With a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// With a sentence and what lies behind it.
    pub fn caused(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { message: message.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as _)
    }
}

impl From<SettingsError> for StartError {
    fn from(error: SettingsError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::caused("the database did not answer during start-up", error)
    }
}

/// What a domain finds when it makes its services.
#[derive(Clone)]
pub struct Boot {
    store: Store,
    settings: Arc<Settings>,
    clock: Clock,
    random: Random,
    secret: SecretKey,
    state: Arc<Mutex<State>>,
    authenticator: Arc<Mutex<Option<Arc<dyn Authenticate>>>>,
    shared: CacheWiring,
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boot")
    }
}

impl Boot {
    /// The store, open and migrated.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What this node remembers, and nodes share: for values of a domain's own.
    pub const fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    /// Messages between nodes.
    pub const fn bus(&self) -> &Bus {
        &self.shared.bus
    }

    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The randomness.
    pub const fn random(&self) -> &Random {
        &self.random
    }

    /// The deployment's secret, from which keys are derived by purpose.
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// All settings.
    pub fn all_settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings of one domain.
    ///
    /// # Errors
    /// When the domain did not declare them.
    pub fn settings<S: SettingsOf>(&self, domain: &str) -> Result<S, StartError> {
        Ok(self.settings.section(domain)?)
    }

    /// A context for work during start-up.
    pub fn ctx(&self) -> Ctx {
        Ctx::system("start", Duration::from_secs(30), &self.clock, &self.random)
    }

    /// Puts a service in for handlers to take.
    pub fn put<T: Any + Send + Sync>(&self, service: T) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).insert(service);
    }

    /// A service that a domain listed earlier has put in.
    ///
    /// # Errors
    /// When none has, saying which type is missing.
    pub fn get<T: Any + Send + Sync + Clone>(&self) -> Result<T, StartError> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).get::<T>().cloned().ok_or_else(|| {
            StartError::new(format!(
                "a domain needs `{}`, which no domain listed before it provides; add that domain, or list it earlier",
                std::any::type_name::<T>()
            ))
        })
    }

    /// States who tells what a token stands for.
    pub fn authenticator(&self, authenticator: Arc<dyn Authenticate>) {
        *self.authenticator.lock().unwrap_or_else(PoisonError::into_inner) = Some(authenticator);
    }
}

/// A started app: it answers requests in process; a [`Server`](web::Server) puts a socket in front.
#[derive(Debug, Clone)]
pub struct RunningApp {
    /// What answers.
    pub api: Arc<Api>,
    /// What it stands on.
    pub store: Store,
    /// What migrations were applied on the way.
    pub applied: Vec<Applied>,
    /// With which settings.
    pub settings: Arc<Settings>,
    cleanup: Arc<Cleanup>,
    erasing: Arc<Erasing>,
    shared: CacheWiring,
}

impl RunningApp {
    /// What the node remembers.
    pub const fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    pub(crate) const fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// Lets go of what it stands on: the database, when all that is queued is saved, and what nodes share.
    pub async fn close(&self) {
        self.store.close().await;
        self.shared.close().await;
    }

    /// Removes what is no longer needed, as the app does by itself every ten minutes or so: answers that were kept for an
    /// `Idempotency-Key` and whose time is up; and what is left of accounts that were deleted.
    ///
    /// # Errors
    /// When the database does not let it; what is left goes next time.
    pub async fn clean_up(&self) -> Result<(), StoreError> {
        self.cleanup.now().await?;
        self.erasing.now().await
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// An app without domains.
    pub fn new() -> Self {
        Self {
            title: "Mainstay".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            description: String::new(),
            domains: vec![erasure::domain(), idempotency::domain(), deployment::domain()],
            glue: EventHandlers::new(),
            texts: Vec::new(),
        }
    }

    /// What the document says of the API as a whole.
    #[must_use]
    pub fn info(mut self, title: &str, version: &str, description: &str) -> Self {
        (self.title, self.version, self.description) = (title.into(), version.into(), description.into());
        self
    }

    /// Adds a domain. One that uses another's services comes after it.
    #[must_use]
    pub fn domain(mut self, domain: Domain) -> Self {
        self.domains.push(domain);
        self
    }

    /// Glue: an event handler between two domains that know nothing of each other.
    #[must_use]
    pub fn on<E, F, Fut>(mut self, react: F) -> Self
    where
        E: Send + Sync + 'static,
        F: Fn(Tx, Arc<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.glue.on("app", react);
        self
    }

    /// What texts are in another language, or otherwise in English: a product's own word on those of the platform and
    /// of its domains. See [`Domain::texts`].
    #[must_use]
    pub fn texts(mut self, language: &'static str, table: &'static str) -> Self {
        self.texts.push((language, table));
        self
    }

    /// What the whole is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Which version of it this is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it is, in a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The commands that its domains bring.
    pub fn commands(&self) -> Vec<Command> {
        self.domains.iter().flat_map(|domain| domain.commands.iter().cloned()).collect()
    }

    /// What `doctor` looks at in its domains.
    #[doc(hidden)]
    pub fn doctor_checks(&self) -> Vec<crate::DoctorCheck> {
        self.domains.iter().flat_map(|domain| domain.doctor_checks.iter().cloned()).collect()
    }

    /// The tables of its domains, and its own.
    pub fn migration_sets(&self) -> Vec<Migrations> {
        self.domains.iter().filter_map(|domain| domain.migrations).collect()
    }

    /// The settings of all domains, for reading a settings file.
    pub fn sections(&self) -> Vec<Section> {
        self.domains.iter().filter_map(|d| d.section.clone()).collect()
    }

    /// Opens the database and brings its tables up to date, and no more.
    ///
    /// # Errors
    /// What stands in the way, and what to do.
    pub async fn migrate(self, settings: &Settings, clock: &Clock) -> Result<(Store, Vec<Applied>), StartError> {
        let sets = self.migration_sets();
        let store = Store::open(&settings.database, EventHandlers::new())
            .await
            .map_err(|e| StartError::caused("the database cannot be opened", e))?;
        let applied = migrate(&store, &sets, clock).await?;
        Ok((store, applied))
    }

    /// Opens the database, migrates it, makes every service, and assembles the API.
    ///
    /// # Errors
    /// What stands in the way, and what to do.
    pub async fn start(self, settings: Settings, clock: Clock, random: Random) -> Result<RunningApp, StartError> {
        let settings = Arc::new(settings);
        let secret = SecretKey::new(settings.secret_key.expose()).map_err(StartError::new)?;
        // That took some megabytes.
        allocator::give_back();
        let mut event_handlers = EventHandlers::new();
        let mut sets = Vec::new();
        let mut loaders = Loaders::default();
        let mut parts = Vec::new();
        let mut limits = Vec::new();
        let mut texts = platform_texts()?;
        let mut session_check = None;
        let mut owned = Vec::new();
        for domain in self.domains {
            let of = format!("the domain `{}`", domain.name);
            texts.extend(catalogues(&of, &domain.texts)?);
            event_handlers.extend(domain.event_handlers);
            sets.extend(domain.migrations);
            loaders.link(domain.name);
            for loader in domain.loaders {
                loaders.add(domain.name, loader).map_err(StartError::new)?;
            }
            limits.extend(domain.limits);
            owned.extend(domain.owned);
            if let Some(check) = domain.session_check
                && session_check.replace(check).is_some()
            {
                return Err(StartError::new(format!(
                    "{of} and one before it both say how sessions are checked; one domain of an app owns sessions"
                )));
            }
            parts.push((domain.name, domain.about, domain.endpoints, domain.provide));
        }
        event_handlers.extend(self.glue);
        // Last: what a domain does by hand with its rows comes first.
        let eraser = Eraser::new(owned);
        eraser.react(&mut event_handlers);
        texts.extend(catalogues("the app", &self.texts)?);

        let store = Store::open(&settings.database, event_handlers)
            .await
            .map_err(|e| StartError::caused("the database cannot be opened", e))?;
        let applied = migrate(&store, &sets, &clock).await?;
        let ctx = Ctx::system("start", Duration::from_secs(30), &clock, &random);
        let space = deployment::key_space(&settings.cache, &secret, deployment::id(&store, &ctx).await?);
        let shared = CacheWiring::open(&settings, &space.map_err(StartError::new)?, &random).await?;
        let store = store.watched_by(shared.watch());
        let store = match session_check {
            Some(check) => store.checking_sessions(check),
            None => store,
        };
        let limits = shared.limits(&settings, &limits, secret.derive("subjects of rate limits"))?;

        let mut api = ApiBuilder::new(settings.server.clone(), clock.clone(), random.clone()).info(
            &self.title,
            &self.version,
            &self.description,
        );
        texts.into_iter().for_each(|catalogue| api.texts(catalogue));
        api.base_path(&settings.base_path());
        api.client_address(settings.log.client_address);
        let boot = Boot {
            store: store.clone(),
            settings: settings.clone(),
            clock,
            random,
            state: Arc::default(),
            authenticator: Arc::default(),
            secret,
            shared: shared.clone(),
        };
        boot.put(store.clone());
        boot.put(Database(store.clone()));
        boot.put(limits.clone());
        api.limits(limits);
        boot.put(Cursors::new(boot.secret.derive("list cursors")));
        let etags = ETags::new(boot.secret.derive("entity tags"));
        boot.put(etags);
        let answers = CachedResponses::new(shared.cache.clone());
        let mut kinds = HashSet::new();
        for (name, about, endpoints, provide) in parts {
            api.about(name, about);
            for provide in provide {
                provide(boot.clone()).await?;
            }
            for make in endpoints {
                let told = |e: String| StartError::new(format!("the domain `{name}`: {e}"));
                for endpoint in make(&loaders, &shared.cache, etags, &mut kinds).map_err(told)? {
                    kinds.extend(endpoint.kept().and_then(|kept| kept.of).map(ToOwned::to_owned));
                    api.endpoint(name, answers.keep(endpoint).map_err(told)?);
                }
            }
        }
        shared.wants(kinds);
        *api.state_mut() = std::mem::take(&mut *boot.state.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(authenticator) = boot.authenticator.lock().unwrap_or_else(PoisonError::into_inner).take() {
            api.authenticator(authenticator);
        }
        let hash = KeyedHash::new(boot.secret.derive("idempotency keys"));
        api.keeper(Arc::new(Answers::new(store.clone(), hash)));
        let cleanup = Cleanup::start(store.clone(), boot.clock.clone(), boot.random.clone());
        let erasing = Erasing::start(eraser, store.clone(), boot.clock.clone(), boot.random.clone());
        let writes = Arc::new(deployment::Writes::new(store.clone()));
        api.ready_check(Arc::new(move |ctx| {
            let writes = writes.clone();
            Box::pin(async move { writes.are_taken(&ctx).await })
        }));
        let api = api.build().map_err(|e| StartError::new(e.to_string()))?;
        Ok(RunningApp { api, store, applied, settings, cleanup: Arc::new(cleanup), erasing: Arc::new(erasing), shared })
    }
}

async fn migrate(store: &Store, sets: &[Migrations], clock: &Clock) -> Result<Vec<Applied>, StartError> {
    store
        .migrate(sets, clock)
        .await
        .map_err(|e| StartError::caused("the database's tables cannot be brought up to date", e))
}

/// What the platform's own crates say in other languages.
fn platform_texts() -> Result<Vec<Catalogue>, StartError> {
    let own: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];
    let tables = [kernel::TEXTS, web::TEXTS, store::TEXTS, resource::TEXTS, own];
    catalogues("the platform", &tables.concat())
}

fn catalogues(of: &str, tables: &[(&str, &str)]) -> Result<Vec<Catalogue>, StartError> {
    let read = |&(language, table): &(&str, &str)| {
        let texts: BTreeMap<String, String> =
            toml::from_str(table).map_err(|e| StartError::new(format!("{of}: texts in `{language}`: {e}")))?;
        Catalogue::new(language, texts).map_err(|e| StartError::new(format!("{of}: texts in `{language}`: {e}")))
    };
    tables.iter().map(read).collect()
}
