//! The way to Redis: where it is ([`Route`]), one connection to it ([`Connection`]), what keeps such a connection ([`ConnectionManager`]),
//! and one on which other nodes are heard ([`Subscriber`]).

mod connection;
mod connection_manager;
mod subscriber;
#[cfg(test)]
mod tests;
mod topology;

pub(crate) use connection::Connection;
pub(crate) use connection_manager::{ConnectionManager, Status};
pub(crate) use subscriber::Subscriber;
pub(crate) use topology::{Established, RawConnection, Topology};
