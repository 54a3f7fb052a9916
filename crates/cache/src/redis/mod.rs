//! The way to Redis: where it is ([`Route`]), one connection to it ([`Line`]), and what keeps such a connection
//! ([`Link`]).

mod line;
mod link;
mod route;
#[cfg(test)]
mod tests;

pub(crate) use line::Line;
pub(crate) use link::{Link, Status};
pub(crate) use route::{Met, Route, Wire};
