#![doc = include_str!("../README.md")]

// What the macros write names `::mainstay`; in this crate that is this crate.
extern crate self as mainstay;

mod allocator;
mod app;
mod cache_wiring;
mod check;
mod command;
mod cpu_pool;
mod database;
pub mod deployment;
mod domain;
mod erasure;
mod idempotency;
pub mod metrics;
mod settings;

pub use allocator::Allocator;
pub use app::{App, Boot, RunningApp, StartError};
pub use check::{CheckContext, Finding, Severity};
pub use command::{AskPassword, Command, Invocation, Invoked};
pub use cpu_pool::{CpuPool, CpuPoolError, Turn};
pub use database::Database;
pub use domain::{DoctorCheck, Domain};
pub use metrics::OperationsSettings;
pub use settings::{
    CoreSettings, Ignored, LogFormat, LogSettings, Mode, Origin, PREFIX, Section, Settings, SettingsBuilder,
    SettingsError, SettingsOf, WhyIgnored, shown_url,
};

#[doc(hidden)]
pub use {kernel, web};

/// What the macros write out needs; not for people.
#[doc(hidden)]
pub mod __private {
    pub use {regex, schemars, serde, serde_json};
}
