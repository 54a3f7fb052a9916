//! The way to Redis: where it is ([`Route`]), one connection to it ([`Line`]), what keeps such a connection ([`Link`]),
//! and one on which other nodes are heard ([`Ear`]).

mod ear;
mod line;
mod link;
mod route;
#[cfg(test)]
mod tests;

pub(crate) use ear::Ear;
pub(crate) use line::Line;
pub(crate) use link::{Link, Status};
pub(crate) use route::{Met, Route, Wire};
