use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use kernel::{Ctx, Id, IdKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::{Store, StoreError};
use uuid::Uuid;
use web::Schemas;

/// What was found, by the id it was asked for.
pub type Loaded = HashMap<Uuid, Vec<Value>>;

type Load =
    dyn Fn(Ctx, Store, Vec<Uuid>) -> Pin<Box<dyn Future<Output = Result<Loaded, StoreError>> + Send>> + Send + Sync;

/// A batch loader that a domain exports: many ids in, views out, in one query, with the domain's own visibility. Others
/// include its things by the loader's name, `domain.what`, and never import the domain.
#[derive(Clone)]
pub struct Loader {
    pub(crate) name: &'static str,
    pub(crate) is_many: bool,
    pub(crate) schema: fn(&mut Schemas) -> Value,
    load: Arc<Load>,
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loader({})", self.name)
    }
}

impl Loader {
    /// The most things a `many` loader gives for one parent.
    pub const MOST_PER_PARENT: usize = 20;

    /// At most one thing for each id.
    pub fn one<K, V, F, Fut>(name: &'static str, load: F) -> Self
    where
        K: IdKind,
        V: Serialize + JsonSchema,
        F: Fn(Ctx, Store, Vec<Id<K>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<(Id<K>, V)>, StoreError>> + Send + 'static,
    {
        Self::new(name, false, load)
    }

    /// Up to [`Self::MOST_PER_PARENT`] things for each id. The loader itself keeps to the bound in its query; what comes
    /// beyond it is cut.
    pub fn many<K, V, F, Fut>(name: &'static str, load: F) -> Self
    where
        K: IdKind,
        V: Serialize + JsonSchema,
        F: Fn(Ctx, Store, Vec<Id<K>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<(Id<K>, V)>, StoreError>> + Send + 'static,
    {
        Self::new(name, true, load)
    }

    fn new<K, V, F, Fut>(name: &'static str, is_many: bool, load: F) -> Self
    where
        K: IdKind,
        V: Serialize + JsonSchema,
        F: Fn(Ctx, Store, Vec<Id<K>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<(Id<K>, V)>, StoreError>> + Send + 'static,
    {
        let load = Arc::new(load);
        let load: Arc<Load> = Arc::new(move |ctx, store, ids| {
            let load = load.clone();
            Box::pin(async move {
                let found = load(ctx, store, ids.into_iter().map(Id::from_uuid).collect()).await?;
                let most = if is_many { Self::MOST_PER_PARENT } else { 1 };
                let mut loaded = Loaded::new();
                for (id, view) in found {
                    let views = loaded.entry(id.as_uuid()).or_default();
                    if views.len() < most {
                        views.push(serde_json::to_value(view).map_err(StoreError::internal)?);
                    }
                }
                Ok(loaded)
            })
        });
        Self { name, is_many, schema: |schemas| schemas.output::<V>(), load }
    }

    /// Its name: `domain.what`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Loads what belongs to these ids.
    pub(crate) async fn load(&self, ctx: &Ctx, store: &Store, mut ids: Vec<Uuid>) -> Result<Loaded, StoreError> {
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Loaded::new());
        }
        (self.load)(ctx.clone(), store.clone(), ids).await
    }
}

/// Every loader of an app, by name, and the domains that are linked.
#[derive(Debug, Default)]
pub struct Loaders {
    by_name: BTreeMap<&'static str, Loader>,
    domains: Vec<&'static str>,
}

impl Loaders {
    /// States that a domain is linked, whether it exports loaders or not.
    pub fn link(&mut self, domain: &'static str) {
        self.domains.push(domain);
    }

    /// Adds a loader.
    ///
    /// # Errors
    /// When its name is taken, or not `domain.what` of a linked domain.
    pub fn add(&mut self, domain: &str, loader: Loader) -> Result<(), String> {
        if loader.name.split_once('.').is_none_or(|(d, _)| d != domain) {
            return Err(format!("the loader `{}` of the domain `{domain}` must be named `{domain}.…`", loader.name));
        }
        match self.by_name.insert(loader.name, loader) {
            None => Ok(()),
            Some(other) => Err(format!("two loaders are named `{}`", other.name)),
        }
    }

    /// The loader of this name; none when its domain is not linked into this app.
    ///
    /// # Errors
    /// When the domain is there but has no such loader.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Loader>, String> {
        if let Some(loader) = self.by_name.get(name) {
            return Ok(Some(loader.clone()));
        }
        let domain = name.split('.').next().unwrap_or_default();
        if self.domains.contains(&domain) {
            return Err(format!("an include names the loader `{name}`, but `{domain}` exports none of that name"));
        }
        Ok(None)
    }
}
