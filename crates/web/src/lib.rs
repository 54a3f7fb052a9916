#![doc = include_str!("../README.md")]

mod accept_language;
mod addresses;
mod answers;
mod api;
mod auth;
mod base_path;
mod body;
mod body_limit;
mod body_memory;
mod client_ip;
mod compress;
mod conditional;
mod connection_timeouts;
mod cors;
mod docs_ui;
mod endpoint;
mod example;
mod extract;
mod framing;
mod head;
mod hex;
mod idempotency;
mod limits;
mod load_shedding;
mod openapi;
mod panic_guard;
mod patch_field;
mod pipeline;
mod problem;
mod pulse;
mod query;
mod request;
mod response;
mod router;
mod schema;
mod server;
mod settings;
mod strict_object;
mod unreadable;
pub mod validate;

/// What this crate's own texts are in other languages: a language's tag, and a TOML table of it.
pub const TEXTS: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];

pub use api::{Api, ApiBuilder, BuildError, State};
pub use auth::{
    Access, AccessError, Admin, Anyone, Authenticate, Authentication, Caller, Security, SignIn, SignedInUser, User,
};
pub use body::{Body, RequestBody};
pub use client_ip::ClientAddress;
pub use conditional::{ETag, ETags, Precondition, Stale};
pub use endpoint::{CacheFor, Endpoint, EndpointDef, Handler, Method, Response};
pub use extract::{Input, Path, PathPart, Query, Service, Valid, Verbatim};
pub use idempotency::{CreatedResponse, Fingerprint, IdempotencyStore, KeyUse, KeyedRun, StoredResponse, Storing};
pub use limits::{Allowance, LimitSettings, Limited, Limits, Policy, PolicyError, WhenBackendDown};
pub use openapi::{Operation, Parameter, Schemas};
pub use patch_field::PatchField;
pub use problem::{Problem, RequestError};
pub use query::{QueryPairs, parse_bool, parse_list, parse_pairs, parse_whole, time_text};
pub use request::Request;
pub use response::{Created, CreatedFrom, Json, NoContent, NoStore, Output, Page, Success, Text, WriteCreated};
pub use schema::{JsonValidator, validate_value};
pub use server::{Reserved, Server, ServerHandle};
pub use settings::{CorsSettings, RuntimeKind, ServerSettings};
#[doc(hidden)]
pub use strict_object::Object;
pub use validate::{Check, InputType};
