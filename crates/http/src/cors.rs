//! Cross-origin requests: the Fetch standard's CORS protocol, closed unless an origin is named in the settings.

use http_types::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};

use crate::CorsSettings;

/// The sender's origin, where it is one that is let in. `null` never is: any sandboxed page has it.
fn allowed<'a>(settings: &CorsSettings, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    settings.origins.iter().any(|o| o.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// Whether the request is a preflight.
pub(crate) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds what a browser needs to let the page read the answer.
pub(crate) fn decorate(
    settings: &CorsSettings,
    request: &HeaderMap,
    reply: &mut HeaderMap,
    preflight_allow: Option<&str>,
) {
    if settings.origins.is_empty() {
        return;
    }
    reply.append(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = allowed(settings, request) else { return };
    reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if settings.credentials {
        reply.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    match preflight_allow {
        Some(allow) => {
            reply.insert(ACCESS_CONTROL_ALLOW_METHODS, crate::router::allow_header(allow));
            reply.insert(
                ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(
                    "authorization, content-type, idempotency-key, if-match, if-none-match, x-request-id, traceparent",
                ),
            );
            if settings.max_age_s > 0 {
                reply.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(settings.max_age_s));
            }
        }
        None => {
            reply.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(
                    "etag, idempotency-replayed, location, ratelimit, ratelimit-policy, retry-after, x-request-id",
                ),
            );
        }
    }
}
