//! gzip for answers that are worth it. Actix's own `Compress` takes every answer, however short, and always flate2's
//! fastest level; neither can be set.

use std::io::{self, Write};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::problem::Problem;

const FROM: u64 = 1024;
const LEVEL: Compression = Compression::new(6);
/// What is longer takes more than about a millisecond, and is compressed beside the worker.
const QUICK: usize = 64 * 1024;

pub async fn gzip(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let long = matches!(response.response().body().size(), BodySize::Sized(size) if size >= FROM);
    if !long || response.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(response);
    }
    let (request, mut response) = response.into_parts();
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts_gzip(&request) {
        return Ok(ServiceResponse::new(request, response));
    }
    let (mut response, body) = response.into_parts();
    let response = match body.try_into_bytes() {
        Ok(plain) => {
            let packed = if plain.len() <= QUICK {
                pack(&plain)?
            } else {
                web::block(move || pack(&plain)).await.map_err(Problem::from)??
            };
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.set_body(BoxBody::new(packed))
        }
        Err(body) => response.set_body(body),
    };
    Ok(ServiceResponse::new(request, response))
}

fn accepts_gzip(request: &HttpRequest) -> bool {
    let gzip = Encoding::Known(ContentEncoding::Gzip);
    let Some(accepted) = request.get_header::<AcceptEncoding>() else { return false };
    accepted.negotiate([Encoding::identity(), gzip.clone()].iter()) == Some(gzip)
}

fn pack(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), LEVEL);
    encoder.write_all(plain)?;
    encoder.finish()
}
