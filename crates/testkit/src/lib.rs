#![doc = include_str!("../README.md")]

mod app;
mod call;
mod caller;
mod contract;
mod database;
mod redact;
mod redis;
mod reply;
mod suite;
mod wire;

pub use app::{App, Setup};
pub use call::Call;
pub use caller::{Caller, PASSWORD};
pub use database::{Backend, TestDatabase, run};
pub use redact::redact;
pub use redis::{RedisCluster, RedisSentinel, RedisServer};
pub use reply::Reply;
pub use suite::Subject;
pub use wire::{Served, Wire};
