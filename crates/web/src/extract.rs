use std::any::{TypeId, type_name};

use http::header::CONTENT_TYPE;
use kernel::{
    Ctx, Id, IdKind, Json, JsonError, RequestPart, Text, TextFault, TextProfile, ValidationErrors, nfc, parse_json,
    text,
};
use serde_json::Value;

use crate::openapi::{Operation, Parameter};
use crate::schema::{all_errors, read_value, unexplained, validate_value};
use crate::validate::Pointer;
use crate::{InputType, Problem, Request, RequestError, query};

/// An argument of an endpoint: how it is taken from a request, and how the document describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of an endpoint: nothing describes it in the API document",
    label = "not an endpoint argument",
    note = "take `Path<T>`, `Query<T>`, `Valid<T>` (with `T` an `#[input]` type), `Caller<Who>`, `Ctx`, \
            or a service (`impl Service for {Self} {{}}`)"
)]
pub trait Input: Sized + Send {
    /// Adds the argument to the operation's description.
    fn describe(op: &mut Operation<'_>);
    /// Takes the argument from a request.
    fn extract(request: &mut Request) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// Something a domain provides for its handlers: `Posts`, `Accounts`. Cheap to clone.
pub trait Service: Clone + Send + Sync + 'static {}

impl<T: Service> Input for T {
    fn describe(op: &mut Operation<'_>) {
        op.needs(TypeId::of::<T>(), type_name::<T>());
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        // `ApiBuilder::build` has checked that every needed service is there.
        request.api.state().get::<T>().cloned().ok_or_else(|| RequestError::Unwritable.into())
    }
}

impl Input for Ctx {
    fn describe(op: &mut Operation<'_>) {
        op.takes_ctx();
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        Ok(request.ctx.clone())
    }
}

/// A JSON body that was read and found good. A bad one never reaches the handler: all its errors go back at once.
#[derive(Debug)]
pub struct Valid<T>(pub T);

/// What can be wrong with a body.
const BODY_ERRORS: [&str; 7] = [
    "malformed_json",
    "repeated_field",
    "body_broken",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
    "invalid_request",
];

impl<T: InputType> Input for Valid<T> {
    fn describe(op: &mut Operation<'_>) {
        op.body::<T>();
        BODY_ERRORS.into_iter().for_each(|name| op.request_error(name));
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        must_be_json(request)?;
        let bytes = request.read_body().await?;
        Ok(Self(read_json(&bytes)?))
    }
}

/// A JSON body that may be left out: `None` when nothing was sent.
impl<T: InputType> Input for Option<Valid<T>> {
    fn describe(op: &mut Operation<'_>) {
        op.optional_body::<T>();
        BODY_ERRORS.into_iter().for_each(|name| op.request_error(name));
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        let bytes = request.read_body().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        must_be_json(request)?;
        Ok(Some(Valid(read_json(&bytes)?)))
    }
}

fn must_be_json(request: &Request) -> Result<(), RequestError> {
    let is_json = request.header(CONTENT_TYPE, "content-type")?.is_some_and(is_json);
    if is_json { Ok(()) } else { Err(RequestError::MediaType) }
}

fn read_json<T: InputType>(bytes: &[u8]) -> Result<T, RequestError> {
    let refused = match serde_json::from_slice::<T>(bytes) {
        Ok(mut value) => {
            let mut errors = ValidationErrors::new();
            value.check(TextProfile::default(), &mut Pointer::root(RequestPart::Body), &mut errors);
            if errors.is_empty() {
                return Ok(value);
            }
            errors
        }
        Err(_) => ValidationErrors::new(),
    };
    explain_body::<T>(bytes, refused)
}

/// `application/json`, with or without a charset of UTF-8 (RFC 8259 section 11).
fn is_json(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts.all(|p| {
            p.split_once('=').is_none_or(|(name, value)| {
                !name.trim().eq_ignore_ascii_case("charset")
                    || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

/// What is wrong with a body that was refused, in the words of the wire. Where the schema finds nothing, the body is read
/// once more, in the schema's own view of numbers.
fn explain_body<T: InputType>(bytes: &[u8], known: ValidationErrors) -> Result<T, RequestError> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(RequestError::MalformedJson { what: text!("not UTF-8") });
    }
    let was_read = !known.is_empty();
    let mut parsed = match parse_json(bytes) {
        Ok(parsed) => parsed,
        Err(JsonError::Repeated(name)) => return Err(RequestError::RepeatedField { name, is_parameter: false }),
        Err(JsonError::Syntax { line, column }) => return Err(broken(line, column)),
        Err(JsonError::TooDeep) => {
            return Err(RequestError::MalformedJson { what: text!("nested deeper than 128 levels") });
        }
        Err(JsonError::TooMany) if was_read => return Err(RequestError::Invalid(known.into())),
        Err(JsonError::TooMany) => return read_on(bytes),
    };
    let errors = all_errors::<T>(&mut parsed.value, parsed.is_cut, RequestPart::Body, known);
    if was_read || !errors.is_empty() {
        return Err(RequestError::Invalid(errors.into()));
    }
    if parsed.is_cut {
        return read_on(bytes);
    }
    let mut value = parsed.value;
    make_whole(&mut value);
    validate_value(value, RequestPart::Body).map_err(|errors| RequestError::Invalid(errors.into()))
}

fn broken(line: usize, column: usize) -> RequestError {
    RequestError::MalformedJson { what: text!("it breaks at line {line}, column {column}", line, column) }
}

/// What is wrong with a body beyond what a tree was made of: where it first is not what is asked for, found while it is read.
fn read_on<T: InputType>(bytes: &[u8]) -> Result<T, RequestError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => error,
        // It is good as far as it goes, and something follows.
        Ok(_) => {
            return Err(deserializer
                .end()
                .map_or_else(|e| broken(e.line(), e.column()), |()| RequestError::Unwritable));
        }
    };
    let inner = error.inner();
    if !inner.is_data() {
        return Err(broken(inner.line(), inner.column()));
    }
    if inner.to_string().starts_with("invalid type: floating point")
        && let Ok(value) = serde_json::from_slice::<Json>(bytes)
    {
        let mut value = value.into_inner();
        make_whole(&mut value);
        // Without the schema: there may be an error in each of a hundred thousand values.
        return read_value(value, RequestPart::Body).map_err(|errors| RequestError::Invalid(errors.into()));
    }
    Err(RequestError::Invalid(unexplained(&error, RequestPart::Body).into()))
}

/// To a schema `1.0` and `1e3` are whole numbers (JSON Schema 2020-12, section 6.1.1), to serde they are not: written as
/// whole ones, where 64 bits hold them.
fn make_whole(value: &mut Value) {
    const BITS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            if float.fract() == 0.0 && BITS.contains(&float) {
                *number = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        _ => {}
    }
}

/// The query string as a described type. Unknown, repeated and unreadable parameters are refused.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: InputType> Input for Query<T> {
    fn describe(op: &mut Operation<'_>) {
        op.query::<T>();
        for name in ["malformed_query", "repeated_field", "invalid_request"] {
            op.request_error(name);
        }
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(query::read(request.query())?))
    }
}

/// The query string as it is, for operations whose parameters are described from data (lists of resources).
#[derive(Debug)]
pub struct Verbatim(pub String);

impl Input for Verbatim {
    fn describe(op: &mut Operation<'_>) {
        for name in ["malformed_query", "repeated_field", "invalid_request"] {
            op.request_error(name);
        }
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(request.query().to_owned()))
    }
}

/// A parameter of the path, or several in their order: `Path(id): Path<PostId>`.
#[derive(Debug)]
pub struct Path<T>(pub T);

/// What can stand in a path.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a path parameter",
    note = "ids, whole numbers and `String` can"
)]
pub trait PathPart: Sized + Send + schemars::JsonSchema {
    /// Reads the decoded text.
    ///
    /// # Errors
    /// What the text should look like.
    fn read(text: &str) -> Result<Self, Text>;
}

impl<K: IdKind> PathPart for Id<K> {
    fn read(text: &str) -> Result<Self, Text> {
        text.parse().map_err(|e: kernel::IdError| e.text())
    }
}

impl PathPart for String {
    fn read(text: &str) -> Result<Self, Text> {
        if text.contains('\0') { Err(TextFault::Nul.text()) } else { Ok(nfc(text).into_owned()) }
    }
}

impl PathPart for i64 {
    fn read(text: &str) -> Result<Self, Text> {
        query::parse_whole(text).ok_or_else(|| text!("must be a whole number"))
    }
}

impl PathPart for u32 {
    fn read(text: &str) -> Result<Self, Text> {
        let number = query::parse_whole(text).and_then(|number| number.try_into().ok());
        number.ok_or_else(|| text!("must be a whole number from 0"))
    }
}

fn take_path<T: PathPart>(request: &mut Request) -> Result<T, Problem> {
    let (name, text) = request.next_path_param()?;
    T::read(&text).map_err(|message| {
        let mut errors = ValidationErrors::new();
        errors.add(RequestPart::Path, format!("/{name}"), "format", message);
        RequestError::Invalid(errors.into()).into()
    })
}

fn describe_path<T: PathPart>(op: &mut Operation<'_>) {
    let schema = op.schemas().input::<T>();
    let name = op.next_path_param();
    op.parameter(Parameter { place: RequestPart::Path, name, required: true, description: String::new(), schema });
}

impl<T: PathPart> Input for Path<T> {
    fn describe(op: &mut Operation<'_>) {
        describe_path::<T>(op);
        op.request_error("invalid_request");
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(take_path(request)?))
    }
}

impl<A: PathPart, B: PathPart> Input for Path<(A, B)> {
    fn describe(op: &mut Operation<'_>) {
        describe_path::<A>(op);
        describe_path::<B>(op);
        op.request_error("invalid_request");
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self((take_path(request)?, take_path(request)?)))
    }
}
