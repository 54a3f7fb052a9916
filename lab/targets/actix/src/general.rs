//! Everything but posts.

use actix_web::http::header::ContentType;
use actix_web::web::{Data, Json, Query};
use actix_web::{HttpResponse, Responder, get};
use prometheus::TextEncoder;
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::State;
use crate::problem::Problem;
use crate::report::{Report, fibonacci};
use crate::store::Quote;

#[get("/api/health")]
pub async fn health() -> impl Responder {
    "ok"
}

#[derive(Deserialize, Validate)]
struct Compute {
    #[validate(range(max = 40, message = "n must be between 0 and 40"))]
    n: u8,
}

#[derive(Serialize)]
struct Computed {
    n: u8,
    fibonacci: u64,
}

#[get("/api/compute")]
pub async fn compute(query: Query<Compute>) -> Result<Json<Computed>, Problem> {
    query.validate()?;
    let n = query.n;
    Ok(Json(Computed { n, fibonacci: fibonacci(n).await? }))
}

#[get("/api/cache")]
pub async fn cached_report(state: Data<State>) -> Result<Json<Report>, Problem> {
    Ok(Json(state.reports.get().await?))
}

#[get("/api/db")]
pub async fn quote(state: Data<State>) -> Result<Json<Quote>, Problem> {
    let id = rand::random_range(1..=1000);
    Ok(Json(state.store()?.quote(id).await?))
}

/// What Prometheus' own library tells of the process.
#[get("/metrics")]
pub async fn metrics() -> HttpResponse {
    match TextEncoder::new().encode_to_string(&prometheus::gather()) {
        Ok(text) => HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(error) => {
            log::error!("{error}");
            HttpResponse::InternalServerError().content_type(ContentType::plaintext()).finish()
        }
    }
}
