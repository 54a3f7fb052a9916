use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::{StoreError, Tx};

type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
type EventHandler = Arc<dyn Fn(Tx, Arc<dyn Any + Send + Sync>) -> HandlerFuture + Send + Sync>;

/// What domains do when another emits an event, inside the emitter's transaction. Built while the application
/// is put together and handed to [`Store::open`](crate::Store::open); the store keeps it for its lifetime.
#[derive(Default, Clone)]
pub struct EventHandlers {
    by_event: HashMap<TypeId, Vec<(&'static str, EventHandler)>>,
}

impl EventHandlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `domain` reacts to every `E` by `react`. Event handlers to one event run in the order of their registration; the
    /// first that fails ends the transaction.
    pub fn on<E, F, Fut>(&mut self, domain: &'static str, handle: F)
    where
        E: Send + Sync + 'static,
        F: Fn(Tx, Arc<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let handler: EventHandler = Arc::new(move |tx, event| match event.downcast::<E>() {
            Ok(event) => Box::pin(handle(tx, event)) as HandlerFuture,
            // The map is keyed by the event's type, so this does not happen.
            Err(_) => Box::pin(std::future::ready(Err(StoreError::internal("an event handler got another event")))),
        });
        self.by_event.entry(TypeId::of::<E>()).or_default().push((domain, handler));
    }

    /// Takes over the event handlers of `other`, after its own.
    pub fn extend(&mut self, other: EventHandlers) {
        for (event, event_handlers) in other.by_event {
            self.by_event.entry(event).or_default().extend(event_handlers);
        }
    }

    pub(crate) fn to<E: 'static>(&self) -> &[(&'static str, EventHandler)] {
        self.by_event.get(&TypeId::of::<E>()).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for EventHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_event.values().flatten().map(|(domain, _)| domain)).finish()
    }
}
