use std::ops::Deref;

use store::Store;
use web::Service;

/// The app's [`Store`] as an argument of an endpoint, always there: enough where a handler needs no service of its own.
#[derive(Debug, Clone)]
pub struct Database(pub(crate) Store);

// The store knows no HTTP and HTTP no store, so that neither can say this of the other.
impl Service for Database {}

impl Deref for Database {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}
