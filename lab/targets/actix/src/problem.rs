//! What errors say.

use actix_web::error::{BlockingError, JsonPayloadError, QueryPayloadError};
use actix_web::http::{StatusCode, header};
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError};
use serde_json::json;
use thiserror::Error;
use validator::ValidationErrors;

#[derive(Debug, Error)]
pub enum Problem {
    #[error("this needs an access token that is valid")]
    Unauthorized,
    #[error("there is nothing here")]
    NotFound,
    /// What could not be read, with the framework's status.
    #[error("{1}")]
    Unreadable(StatusCode, String),
    #[error("{0}")]
    Invalid(#[from] ValidationErrors),
    #[error("no database is configured")]
    NoDatabase,
    #[error("the database did not answer as it should")]
    Database(#[from] sqlx::Error),
    #[error("the server is stopping")]
    Stopping(#[from] BlockingError),
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unreadable(status, _) => *status,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoDatabase | Self::Stopping(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Database(error) = self {
            log::error!("{error}");
        }
        let mut response = HttpResponse::build(self.status_code());
        if let Self::Unauthorized = self {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(json!({ "error": self.to_string() }))
    }
}

pub fn json(error: JsonPayloadError, _request: &HttpRequest) -> Error {
    Problem::Unreadable(error.status_code(), error.to_string()).into()
}

pub fn query(error: QueryPayloadError, _request: &HttpRequest) -> Error {
    Problem::Unreadable(error.status_code(), error.to_string()).into()
}

/// For every path that is not ours.
pub async fn nowhere() -> Result<HttpResponse, Problem> {
    Err(Problem::NotFound)
}
