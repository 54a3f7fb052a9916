use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use cache::Cache;
use resource::{Loader, Loaders};
use store::{EventHandlers, Migrations, SessionCheck, StoreError, Tx};
use web::{ETags, Endpoint, EndpointDef};

use crate::erasure::OwnedTable;
use crate::settings::SettingsOf;
use crate::{Boot, CheckContext, Command, Finding, Section, StartError};

pub(crate) type Provide = Box<dyn FnOnce(Boot) -> Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>> + Send>;
/// A check that a domain brings to the doctor.
pub type DoctorCheck = Arc<dyn Fn(CheckContext) -> Pin<Box<dyn Future<Output = Vec<Finding>> + Send>> + Send + Sync>;
/// Also says which kinds of things the endpoints keep.
pub(crate) type MakeEndpoints =
    Box<dyn Fn(&Loaders, &Cache, ETags, &mut HashSet<String>) -> Result<Vec<Endpoint>, String> + Send>;

/// One subject of a product, whole: its endpoints, tables, event handlers, loaders, services and settings. Each domain crate
/// exports one, and an [`App`](crate::App) is a list of them.
pub struct Domain {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) migrations: Option<Migrations>,
    pub(crate) endpoints: Vec<MakeEndpoints>,
    pub(crate) event_handlers: EventHandlers,
    pub(crate) loaders: Vec<Loader>,
    pub(crate) provide: Vec<Provide>,
    pub(crate) section: Option<Section>,
    pub(crate) texts: Vec<(&'static str, &'static str)>,
    pub(crate) commands: Vec<Command>,
    pub(crate) doctor_checks: Vec<DoctorCheck>,
    pub(crate) limits: Vec<&'static str>,
    pub(crate) session_check: Option<SessionCheck>,
    pub(crate) owned: Vec<OwnedTable>,
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.name)
    }
}

impl Domain {
    /// An empty domain. The name is its tag in the document, its schema on PostgreSQL and its heading in the settings.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            about: "",
            migrations: None,
            endpoints: Vec::new(),
            event_handlers: EventHandlers::new(),
            loaders: Vec::new(),
            provide: Vec::new(),
            section: None,
            texts: Vec::new(),
            commands: Vec::new(),
            doctor_checks: Vec::new(),
            limits: Vec::new(),
            session_check: None,
            owned: Vec::new(),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is about, in a sentence or a few: the document says it of the domain's tag, above its operations. What
    /// one operation does, its own doc comment says.
    #[must_use]
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Its tables.
    #[must_use]
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = Some(migrations);
        self
    }

    /// States that each row of a table belongs to the account in its column `owner` and goes with it: `key` is the column
    /// of its primary key. They are removed in batches right after the account has ended; what must be gone in the same
    /// transaction, [`Domain::on`] removes. The table of a resource with an owner does so by itself, and shows none of them
    /// from the end on. An index on `owner` keeps it quick.
    #[must_use]
    pub fn owned_table(mut self, table: &'static str, key: &'static str, owner: &'static str) -> Self {
        self.owned.push(OwnedTable::new(table, key, owner, &[]));
        self
    }

    /// Adds an operation: the name of an `async fn` with `#[get]` or one of its siblings.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl EndpointDef) -> Self {
        let endpoint = endpoint.endpoint();
        self.endpoints.push(Box::new(move |_, _, _, _| Ok(vec![endpoint.clone()])));
        self
    }

    /// Adds the operations of a resource. Where it has an owner, its rows go with the owner's account. Any one can be left out and replaced by an endpoint:
    /// `resource::of::<Post>().without(Op::Create)`.
    #[must_use]
    pub fn resource<R: resource::Resource>(mut self, operations: resource::Operations<R>) -> Self {
        let spec = R::SPEC;
        self.owned.extend(spec.owner.map(|owner| {
            let [key, owner] = [spec.columns[0].name, spec.columns[owner].name];
            OwnedTable::new(spec.table, key, owner, &[spec.table, spec.lists])
        }));
        self.endpoints.push(Box::new(move |loaders, cache, etags, kinds| {
            kinds.extend(spec.cache_s.map(|_| spec.table.to_owned()));
            kinds.extend(spec.cache_lists_s.map(|_| spec.lists.to_owned()));
            operations.endpoints(loaders, cache, etags)
        }));
        self
    }

    /// Handles an event that another part emits, inside the emitter's transaction.
    #[must_use]
    pub fn on<E, F, Fut>(mut self, handle: F) -> Self
    where
        E: Send + Sync + 'static,
        F: Fn(Tx, Arc<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.event_handlers.on(self.name, handle);
        self
    }

    /// Lets others include this domain's things by the loader's name.
    #[must_use]
    pub fn loader(mut self, loader: Loader) -> Self {
        self.loaders.push(loader);
        self
    }

    /// Makes the domain's services once the store is open and migrated: `boot.put(Posts::new(boot.store()))`. Domains
    /// are asked in the order in which the app lists them.
    #[must_use]
    pub fn provide<F, Fut>(mut self, provide: F) -> Self
    where
        F: FnOnce(Boot) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), StartError>> + Send + 'static,
    {
        self.provide.push(Box::new(move |boot| Box::pin(provide(boot))));
        self
    }

    /// What its texts are in another language: the language's tag and a TOML table, each English text with its
    /// translation, `"There is no user with this id." = "이 id의 사용자가 없습니다."`. What is not there is said in English.
    #[must_use]
    pub fn texts(mut self, language: &'static str, table: &'static str) -> Self {
        self.texts.push((language, table));
        self
    }

    /// Declares a limit: `NAME: QUOTA/WINDOW by PARTS`, as in `reports: 10/1m by user`. Operations name it
    /// (`#[post("/reports", limit = "reports")]`), or a handler takes from it for a subject of its own
    /// ([`Limits::take`](crate::web::Limits::take)). `limits.policies` may say another quota, or take it away.
    #[must_use]
    pub fn limit(mut self, line: &'static str) -> Self {
        self.limits.push(line);
        self
    }

    /// States how a transaction proves that a person's session is live: for the one domain that owns sessions. Every
    /// transaction in a person's name is refused without it, see [`SessionCheck`].
    #[must_use]
    pub fn session_check(mut self, check: SessionCheck) -> Self {
        self.session_check = Some(check);
        self
    }

    /// Adds what `doctor` looks at in this domain's settings and tables.
    #[must_use]
    pub fn check<F, Fut>(mut self, check: F) -> Self
    where
        F: Fn(CheckContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Finding>> + Send + 'static,
    {
        self.doctor_checks.push(Arc::new(move |context| Box::pin(check(context))));
        self
    }

    /// Adds a command to every program the domain is part of.
    #[must_use]
    pub fn command(mut self, command: Command) -> Self {
        self.commands.push(command);
        self
    }

    /// Its settings, under its name. Read with `boot.settings::<S>()`.
    #[must_use]
    pub fn settings<S: SettingsOf>(mut self) -> Self {
        self.section = Some(Section::of::<S>(self.name));
        self
    }
}
