//! What goes wrong, as an answer.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use validator::ValidationErrors;

#[derive(Debug)]
pub enum Error {
    Unauthorized,
    NotFound,
    /// Not what the extractor expects: the framework's own status and words.
    Rejected(StatusCode, String),
    Invalid(ValidationErrors),
    NoDatabase,
    Internal(anyhow::Error),
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Unauthorized => {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
                let body = Json(Body { error: "a valid access token is needed".to_owned() });
                return (StatusCode::UNAUTHORIZED, challenge, body).into_response();
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".to_owned()),
            Self::Rejected(status, text) => (status, text),
            Self::Invalid(errors) => (StatusCode::UNPROCESSABLE_ENTITY, errors.to_string()),
            Self::NoDatabase => (StatusCode::SERVICE_UNAVAILABLE, "there is no database".to_owned()),
            Self::Internal(error) => {
                tracing::error!("{error:#}");
                (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned())
            }
        };
        (status, Json(Body { error })).into_response()
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<ValidationErrors> for Error {
    fn from(errors: ValidationErrors) -> Self {
        Self::Invalid(errors)
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        Self::Rejected(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::Rejected(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        Self::Rejected(rejection.status(), rejection.body_text())
    }
}
