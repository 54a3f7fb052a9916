//! stub
use crate::Loaders;
/// A resource.
pub trait Resource: Send + Sync + 'static {}
/// Its operations.
#[derive(Debug)]
pub struct Operations<R>(std::marker::PhantomData<fn() -> R>);
impl<R: Resource> Operations<R> {
    /// As endpoints.
    pub fn endpoints(&self, _: &Loaders) -> Result<Vec<http::Endpoint>, String> { Ok(vec![]) }
}
