//! `/api/v1/posts`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::AppState;
use crate::auth::Caller;
use crate::database::{Post, is_key};
use crate::error::Error;
use crate::extract::{ValidJson, ValidQuery};

#[derive(Deserialize, Validate)]
pub struct NewPost {
    #[validate(
        length(min = 1, max = 200, message = "a title has 1 to 200 characters"),
        custom(function = "is_text", message = "a title has no NUL")
    )]
    title: String,
    #[validate(
        length(max = 10_000, message = "a body has at most 10000 characters"),
        custom(function = "is_text", message = "a body has no NUL")
    )]
    body: String,
    #[serde(default)]
    published: bool,
}

/// PostgreSQL's `text` cannot hold it.
fn is_text(value: &str) -> Result<(), ValidationError> {
    if value.contains('\0') { Err(ValidationError::new("nul")) } else { Ok(()) }
}

#[derive(Deserialize, Validate)]
pub struct Page {
    #[validate(range(min = 1, max = 100, message = "limit is 1 to 100"))]
    #[serde(default = "twenty")]
    limit: u8,
}

fn twenty() -> u8 {
    20
}

#[derive(Serialize)]
pub struct Posts {
    items: Vec<Post>,
}

pub async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    ValidJson(new): ValidJson<NewPost>,
) -> Result<(StatusCode, Json<Post>), Error> {
    let database = state.database.as_ref().ok_or(Error::NoDatabase)?;
    let created_at = now();
    let post = Post {
        // Ordered by time: new rows stand side by side in the index.
        id: Uuid::now_v7().to_string(),
        author_id: caller.id,
        title: new.title,
        body: new.body,
        published: new.published,
        updated_at: created_at.clone(),
        created_at,
    };
    database.insert(&post).await?;
    Ok((StatusCode::CREATED, Json(post)))
}

pub async fn get(
    State(state): State<Arc<AppState>>,
    _caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Post>, Error> {
    let database = state.database.as_ref().ok_or(Error::NoDatabase)?;
    let Path(id) = id?;
    if !is_key(&id) {
        return Err(Error::NotFound);
    }
    database.post(&id).await?.map(Json).ok_or(Error::NotFound)
}

pub async fn list(
    State(state): State<Arc<AppState>>,
    _caller: Caller,
    ValidQuery(page): ValidQuery<Page>,
) -> Result<Json<Posts>, Error> {
    let database = state.database.as_ref().ok_or(Error::NoDatabase)?;
    Ok(Json(Posts { items: database.newest_published(page.limit.into()).await? }))
}

/// RFC 3339 in UTC, always with six digits of a second: as text it sorts as time does.
pub fn now() -> String {
    format!("{:.6}", Timestamp::now())
}
