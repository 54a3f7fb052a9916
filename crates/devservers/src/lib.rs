#![doc = include_str!("../README.md")]

mod certificate;
#[cfg(feature = "harness")]
pub mod machine;
#[cfg(feature = "harness")]
pub mod mainstay;
mod nginx;
#[cfg(feature = "harness")]
pub mod nodes;
mod pgbouncer;
mod ports;
mod postgres;
mod process;
mod redis;
mod scratch;
pub mod tools;
#[cfg(feature = "harness")]
pub mod workspace;

pub use nginx::{Nginx, PROXY_ADDRESS};
pub use pgbouncer::PgBouncer;
pub use ports::free_port;
pub use postgres::{Durability, Part, Postgres, Tuning};
pub use process::{LONG, Process, Stop, output, shown, succeed, succeed_within, under};
pub use redis::{RedisCluster, RedisSentinel, RedisServer, find_or_install_redis};
pub use scratch::Scratch;
