//! What nodes remember and share, held to its promises.

#[cfg(feature = "redis")]
mod bus;
mod limit;
#[cfg(feature = "redis")]
mod limit_redis;
mod values;
mod values_forget;
#[cfg(feature = "redis")]
mod values_redis;
mod write_behind;
