#![doc = include_str!("../README.md")]

// What the macros write names `::mainstay`, here too.
extern crate self as mainstay;

mod allocator;
mod app;
mod cache_wiring;
mod cpu_pool;
mod database;
mod deployment;
mod domain;
mod erasure;
mod idempotency;
mod metrics;
mod run;
mod settings;

pub use allocator::Allocator;
pub use app::{App, Boot, RunningApp, StartError};
pub use cpu_pool::{CpuPool, CpuPoolError, Turn};
pub use database::Database;
pub use domain::Domain;
pub use macros::{ApiError, Resource, Row, delete, get, input, patch, post, put, settings, view};
pub use metrics::OperationsSettings;
pub use run::{CheckContext, Command, Finding, Invocation, Severity, run};
pub use settings::{
    CoreSettings, Ignored, LogFormat, LogSettings, Mode, Origin, PREFIX, Section, Settings, SettingsBuilder,
    SettingsError, SettingsOf, WhyIgnored,
};
pub use {cache, kernel, resource, store, telemetry, web};

/// Everything a domain's code usually names.
pub mod prelude {
    pub use crate::{
        ApiError, App, Boot, CpuPool, CpuPoolError, Database, Domain, Resource, Row, StartError, delete, get, input,
        patch, post, put, view,
    };
    pub use kernel::{Blob, Code, Ctx, Decimal, Id, IdKind, Role, Secret, Time, UserId, text};
    pub use resource::Loader;
    pub use store::{FromRow, Reads, Store, StoreError, Tx, migrations, params};
    pub use web::{
        Admin, Anyone, Caller, Created, CreatedFrom, Json, Limited, Limits, NoContent, NoStore, Page, PatchField, Path,
        Query, Service, Text, User, Valid,
    };
}

/// What the macros write out needs; not for people.
#[doc(hidden)]
pub mod __private {
    pub use {regex, schemars, serde, serde_json};
}
