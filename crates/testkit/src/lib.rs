#![doc = include_str!("../README.md")]

mod app;
mod call;
mod caller;
mod database;
mod openapi_check;
mod raw_http;
mod redact;

mod resource_contract;
mod response;

pub use app::{App, Setup};
pub use call::Call;
pub use caller::{Caller, PASSWORD};
pub use database::{Backend, TestDatabase, run};
pub use devservers::{RedisCluster, RedisSentinel, RedisServer};
pub use raw_http::{RawHttp, Served};
pub use redact::redact;
pub use resource_contract::Subject;
pub use response::Response;
