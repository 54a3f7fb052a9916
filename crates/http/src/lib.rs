#![doc = include_str!("../README.md")]

mod addresses;
mod answers;
mod api;
mod base_path;
mod bodies;
mod body;
mod bound;
mod caller;
mod change;
pub mod check;
mod client;
mod compress;
mod conditional;
mod cors;
mod endpoint;
mod example;
mod framing;
mod head;
mod idempotency;
mod input;
mod language;
mod layer;
mod limits;
mod object;
mod openapi;
mod output;
mod pages;
mod patience;
mod pressure;
mod problem;
mod pulse;
mod query;
mod request;
mod router;
mod schema;
mod server;
mod settings;
mod unreadable;

/// What this crate's own texts are in other languages: a language's tag, and a TOML table of it.
pub const TEXTS: &[(&str, &str)] = &[("ko", include_str!("../texts/ko.toml"))];

pub use api::{Api, ApiBuilder, BuildError, State};
pub use body::{Body, RequestBody};
pub use caller::{
    AccessError, Admin, Anyone, Authenticate, Authentication, Caller, Person, Security, SignIn, User, Who,
};
pub use change::Change;
pub use check::{Check, InputType};
pub use client::ClientAddress;
pub use conditional::{ETag, ETags, Precondition, Stale};
pub use endpoint::{Endpoint, EndpointDef, Handler, KeptFor, Method, Reply};
pub use idempotency::{Fingerprint, KeepAnswers, Keeping, KeptAnswer, KeyUse, KeyedRun, MadeReply};
pub use input::{Input, Path, PathPart, Query, Service, Valid, Verbatim};
pub use limits::{Allowance, LimitSettings, Limited, Limits, Policy, PolicyError, WithoutRedis};
#[doc(hidden)]
pub use object::Object;
pub use openapi::{Operation, Parameter, Schemas};
pub use output::{Created, Json, Made, NoContent, Output, Page, Private, Success, Text, WriteMade};
pub use problem::{Problem, RequestError};
pub use query::{QueryPairs, parse_bool, parse_list, parse_pairs, parse_whole, time_text};
pub use request::Request;
pub use schema::{JsonValidator, validate_value};
pub use server::{Reserved, Server, ServerHandle};
pub use settings::{CorsSettings, RuntimeKind, ServerSettings};
