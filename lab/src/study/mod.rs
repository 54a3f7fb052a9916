//! FastServe: the same small product in many frameworks, held to one contract, measured while one thing is changed at a
//! time. Which backend is fastest, and what makes it so?
//!
//! [`plan`] says what is measured; [`fixtures`] has the databases, Redis and nginx; [`contract`] comes first; [`drivers`] put on
//! the load; [`run`] gives everyone a turn and writes into the [`run log`]; [`analysis`] and [`report`] make of it what people
//! read; [`live`] tells Prometheus.

pub mod analysis;
pub mod contract;
pub mod drivers;
pub mod fixtures;
pub mod live;
pub mod plan;
pub mod report;
pub mod run;
pub mod run_log;
mod token;
