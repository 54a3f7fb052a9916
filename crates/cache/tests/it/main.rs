//! What nodes remember and share, held to its promises.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked `#[test]` as tests")]

#[cfg(feature = "redis")]
mod bus;
#[cfg(feature = "redis")]
mod connection_manager;
mod limit;
#[cfg(feature = "redis")]
mod limit_redis;
#[cfg(feature = "redis")]
mod space;
mod values;
mod values_forget;
#[cfg(feature = "redis")]
mod values_redis;
mod write_behind;
