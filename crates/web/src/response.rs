use std::any::Any;
use std::borrow::Cow;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use kernel::ApiError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Body, Operation, Problem, RequestError, Response};

/// Writes the answer to what a transaction returned; none where it is of another type.
pub type WriteCreated = fn(&dyn Any) -> Option<Result<Response, Problem>>;

/// What an endpoint may return: `Result<Success, ApiError>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of an endpoint: nothing describes it in the API document",
    label = "not an endpoint result",
    note = "return `Result<S, E>` with `S` one of `Json<T>`, `Created<T>`, `NoContent`, `Page<T>`, `Text<T>`, and `E` an error with \
            `#[derive(ApiError)]`"
)]
pub trait Output {
    /// Adds every answer to the operation's description.
    fn describe(op: &mut Operation<'_>);
    /// The answer, or the problem.
    ///
    /// # Errors
    /// What goes wrong, as the caller shall see it.
    fn into_response(self) -> Result<Response, Problem>;

    /// Of what makes something: how its answer is written from what the transaction returns.
    fn write_created() -> Option<WriteCreated> {
        None
    }
}

/// A described success.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the success of an endpoint: nothing describes it in the API document",
    label = "not a described success",
    note = "wrap it: `Json<T>` (200), `Created<T>` (201), `Page<T>` (200), `NoContent` (204) or `Text<T>` (200)"
)]
pub trait Success {
    /// Adds the answer to the operation's description.
    fn describe(op: &mut Operation<'_>);
    /// The answer.
    ///
    /// # Errors
    /// When the value cannot be written; a bug in the server.
    fn into_response(self) -> Result<Response, Problem>;

    /// See [`Output::write_created`].
    fn write_created() -> Option<WriteCreated> {
        None
    }
}

impl<T: Success, E: ApiError> Output for Result<T, E> {
    fn describe(op: &mut Operation<'_>) {
        T::describe(op);
        let mut docs = Vec::new();
        E::describe(&mut docs);
        docs.into_iter().for_each(|doc| op.error(doc));
    }

    fn into_response(self) -> Result<Response, Problem> {
        self?.into_response()
    }

    fn write_created() -> Option<WriteCreated> {
        T::write_created()
    }
}

pub(crate) fn json_response<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Result<Response, Problem> {
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, value).map_err(|_| RequestError::Unwritable)?;
    let mut response = Response::new(Body::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// 200 with a JSON body. A GET answered so carries a strong `ETag` of its bytes.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema> Success for Json<T> {
    fn describe(op: &mut Operation<'_>) {
        let schema = op.schemas().output::<T>();
        op.success(200, "OK", Some(schema), json!({}));
    }

    fn into_response(self) -> Result<Response, Problem> {
        json_response(StatusCode::OK, &self.0)
    }
}

/// 200 with a JSON body that nobody may keep: tokens and other secrets (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct NoStore<T>(pub T);

impl<T: Serialize + JsonSchema> Success for NoStore<T> {
    fn describe(op: &mut Operation<'_>) {
        Json::<T>::describe(op);
    }

    fn into_response(self) -> Result<Response, Problem> {
        let mut response = json_response(StatusCode::OK, &self.0)?;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// 200 with plain text, for what only a person or a probe reads: `Text("ok")`. What a program reads is [`Json`].
#[derive(Debug, Clone)]
pub struct Text<T>(pub T);

impl<T: Into<Cow<'static, str>>> Success for Text<T> {
    fn describe(op: &mut Operation<'_>) {
        op.success_as(200, "OK", PLAIN_TEXT, json!({ "type": "string" }));
    }

    fn into_response(self) -> Result<Response, Problem> {
        let body = match self.0.into() {
            Cow::Borrowed(text) => Body::new(text),
            Cow::Owned(text) => Body::new(text),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN_TEXT));
        Ok(response)
    }
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The answer for a thing that was created: to the caller that created it, and to one that asks again with the same
/// `Idempotency-Key`.
///
/// ```ignore
/// impl CreatedFrom for NoteView {
///     type Source = Note;
///
///     fn created(note: &Note) -> Created<Self> {
///         Created::at(format!("/api/v1/notes/{}", note.id), note.view())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it is made of, so that the answer could be saved with it",
    label = "not `CreatedFrom`",
    note = "write `impl CreatedFrom for {Self}` with `Source` the type that the transaction returns, and answer `{Self}::created(&it)`"
)]
pub trait CreatedFrom: Serialize + JsonSchema + Sized + 'static {
    /// What the transaction that makes it returns: the answer is written from it and saved before that transaction is
    /// committed. Where none returns it, the answer is saved a moment later, and a crash in between may lose it.
    type Source: Any + Send;

    /// The answer.
    fn created(of: &Self::Source) -> Created<Self>;
}

/// 201 with the thing that was made, and where it is. An operation that answers so takes an `Idempotency-Key`.
#[derive(Debug)]
pub struct Created<T> {
    location: String,
    value: T,
}

impl<T> Created<T> {
    /// The thing made, at this path.
    pub fn at(location: impl Into<String>, value: T) -> Self {
        Self { location: location.into(), value }
    }
}

impl<T: CreatedFrom> Success for Created<T> {
    fn describe(op: &mut Operation<'_>) {
        let schema = op.schemas().output::<T>();
        let location = json!({
            "Location": { "description": "Where the new thing is.", "schema": { "type": "string", "format": "uri-reference" } }
        });
        op.success(201, "Created", Some(schema), location);
    }

    fn into_response(self) -> Result<Response, Problem> {
        let mut response = json_response(StatusCode::CREATED, &self.value)?;
        let location = HeaderValue::try_from(self.location).map_err(|_| RequestError::Unwritable)?;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }

    fn write_created() -> Option<WriteCreated> {
        Some(|value| value.downcast_ref::<T::Source>().map(|of| T::created(of).into_response()))
    }
}

/// 204: done, nothing to say.
#[derive(Debug, Clone, Copy)]
pub struct NoContent;

impl Success for NoContent {
    fn describe(op: &mut Operation<'_>) {
        op.success(204, "Done", None, json!({}));
    }

    fn into_response(self) -> Result<Response, Problem> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

/// 200 with a part of a list, and the cursor of the next part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// This part.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next part; null at the end.
    pub next_cursor: Option<String>,
}

impl<T: JsonSchema> JsonSchema for Page<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Page", T::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("mainstay::Page<{}>", T::schema_id()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let item = generator.subschema_for::<T>();
        schemars::json_schema!({
            "type": "object",
            "description": "A part of a list.",
            "properties": {
                "items": { "type": "array", "items": item },
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Send it as `cursor` to get the next part; null at the end.",
                },
            },
            "required": ["items", "next_cursor"],
            "additionalProperties": false,
            "x-rust-type": format!("mainstay::{}Page", T::schema_name()),
        })
    }
}

impl<T: Serialize + JsonSchema> Success for Page<T> {
    fn describe(op: &mut Operation<'_>) {
        let schema: Value = op.schemas().output::<Self>();
        op.success(200, "OK", Some(schema), json!({}));
    }

    fn into_response(self) -> Result<Response, Problem> {
        json_response(StatusCode::OK, &self)
    }
}
