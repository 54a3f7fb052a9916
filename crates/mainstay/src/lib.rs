#![doc = include_str!("../README.md")]

pub use app::{
    Allocator, App, Boot, CheckContext, Command, CoreSettings, CpuPool, CpuPoolError, Database, Domain, Finding,
    Ignored, Invocation, LogFormat, LogSettings, Mode, OperationsSettings, Origin, PREFIX, RunningApp, Section,
    Settings, SettingsBuilder, SettingsError, SettingsOf, Severity, StartError, Turn, WhyIgnored,
};
pub use cli::run;
pub use macros::{ApiError, Resource, Row, delete, get, input, patch, post, put, settings, view};
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

#[doc(hidden)]
pub use app::__private;
