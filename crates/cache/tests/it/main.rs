//! What nodes remember and share, held to its promises.

#[cfg(feature = "redis")]
mod bus;
mod values;
mod values_forget;
#[cfg(feature = "redis")]
mod values_redis;
