//! Posts.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::State;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::report::now;
use crate::store::{Post, fits_a_key};

#[derive(Deserialize, Validate)]
struct Draft {
    #[validate(
        length(min = 1, max = 200, message = "title must have between 1 and 200 characters"),
        custom(function = "storable")
    )]
    title: String,
    #[validate(
        length(max = 10000, message = "body must have at most 10000 characters"),
        custom(function = "storable")
    )]
    body: String,
    #[serde(default)]
    published: bool,
}

/// JSON may say `\u0000`; PostgreSQL cannot store it.
fn storable(text: &str) -> Result<(), ValidationError> {
    if text.contains('\0') {
        return Err(ValidationError::new("storable").with_message("text must not contain U+0000".into()));
    }
    Ok(())
}

#[derive(Deserialize, Validate)]
struct Range {
    #[validate(range(min = 1, max = 100, message = "limit must be between 1 and 100"))]
    limit: Option<u8>,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Post>,
}

// The caller comes first among the parameters: who has no token learns nothing about the rest.

#[get("/api/v1/posts")]
pub async fn list(_caller: Caller, range: Query<Range>, state: Data<State>) -> Result<Json<Page>, Problem> {
    range.validate()?;
    let items = state.store()?.newest(range.limit.unwrap_or(20)).await?;
    Ok(Json(Page { items }))
}

#[post("/api/v1/posts")]
pub async fn create(caller: Caller, draft: Json<Draft>, state: Data<State>) -> Result<HttpResponse, Problem> {
    draft.validate()?;
    let Draft { title, body, published } = draft.into_inner();
    let created_at = now();
    let post = Post {
        // Of version 7, which the index takes in order.
        id: Uuid::now_v7().to_string(),
        author_id: caller.sub,
        title,
        body,
        published,
        updated_at: created_at.clone(),
        created_at,
    };
    state.store()?.insert(&post).await?;
    Ok(HttpResponse::Created().json(post))
}

#[get("/api/v1/posts/{id}")]
pub async fn find(_caller: Caller, id: Path<String>, state: Data<State>) -> Result<Json<Post>, Problem> {
    let store = state.store()?;
    if !fits_a_key(&id) {
        return Err(Problem::NotFound);
    }
    store.find(&id).await?.map(Json).ok_or(Problem::NotFound)
}
