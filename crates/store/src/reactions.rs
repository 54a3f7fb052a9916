use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::{StoreError, Tx};

type Reacting = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
type Reaction = Arc<dyn Fn(Tx, Arc<dyn Any + Send + Sync>) -> Reacting + Send + Sync>;

/// What domains do when another announces something, inside the announcer's transaction. Built while the application
/// is put together and handed to [`Store::open`](crate::Store::open); the store keeps it for its lifetime.
#[derive(Default, Clone)]
pub struct Reactions {
    by_event: HashMap<TypeId, Vec<(&'static str, Reaction)>>,
}

impl Reactions {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `domain` reacts to every `E` by `react`. Reactions to one event run in the order of their registration; the
    /// first that fails ends the transaction.
    pub fn on<E, F, Fut>(&mut self, domain: &'static str, react: F)
    where
        E: Send + Sync + 'static,
        F: Fn(Tx, Arc<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let reaction: Reaction = Arc::new(move |tx, event| match event.downcast::<E>() {
            Ok(event) => Box::pin(react(tx, event)) as Reacting,
            // The map is keyed by the event's type, so this does not happen.
            Err(_) => Box::pin(std::future::ready(Err(StoreError::internal("a reaction got another event")))),
        });
        self.by_event.entry(TypeId::of::<E>()).or_default().push((domain, reaction));
    }

    /// Takes over the reactions of `other`, after its own.
    pub fn extend(&mut self, other: Reactions) {
        for (event, reactions) in other.by_event {
            self.by_event.entry(event).or_default().extend(reactions);
        }
    }

    pub(crate) fn to<E: 'static>(&self) -> &[(&'static str, Reaction)] {
        self.by_event.get(&TypeId::of::<E>()).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for Reactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_event.values().flatten().map(|(domain, _)| domain)).finish()
    }
}
