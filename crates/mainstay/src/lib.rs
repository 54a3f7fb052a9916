#![doc = include_str!("../README.md")]

// What the macros write names `::mainstay`, here too.
extern crate self as mainstay;

mod allocator;
mod app;
mod database;
mod deployment;
mod domain;
mod erasure;
mod idempotency;
mod operations;
mod run;
mod settings;
mod shared;
mod work;

pub use allocator::Allocator;
pub use app::{App, Boot, Running, StartError};
pub use database::Database;
pub use domain::Domain;
pub use macros::{ApiError, Resource, Row, delete, get, input, patch, post, put, settings, view};
pub use operations::OperationsSettings;
pub use run::{Command, Finding, Invocation, Patient, Severity, run};
pub use settings::{
    Core, Ignored, LogFormat, LogSettings, Mode, Origin, PREFIX, Section, Settings, SettingsBuilder, SettingsError,
    SettingsOf, WhyIgnored,
};
pub use work::{Turn, Work, WorkError};
pub use {cache, kernel, resource, store, telemetry, web};

/// Everything a domain's code usually names.
pub mod prelude {
    pub use crate::{
        ApiError, App, Boot, Database, Domain, Resource, Row, StartError, Work, WorkError, delete, get, input, patch,
        post, put, view,
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
