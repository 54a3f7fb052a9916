//! Compression of answers: zstd or gzip, as the client prefers (RFC 9110 section 12.5.3).

use std::io::Write;

use http_types::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY,
};

use crate::{Body, Reply};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Zstd,
    Gzip,
}

/// What the client says it takes, with its weight in thousandths.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (String, u16)> {
    headers.get_all(ACCEPT_ENCODING).iter().flat_map(|value| value.to_str().unwrap_or("").split(',')).map(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let q = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()).unwrap_or(0.0);
        (name.trim().to_ascii_lowercase(), (q.clamp(0.0, 1.0) * 1000.0) as u16)
    })
}

/// Whether the client takes gzip, however much it likes something else: for what is kept in that form.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight =
        |wanted: &[&str]| accepted(headers).filter(|(name, _)| wanted.contains(&name.as_str())).map(|(_, q)| q).max();
    weight(&["gzip", "x-gzip"]).or_else(|| weight(&["*"])).is_some_and(|q| q > 0)
}

/// The encoding the client likes best of those we have; zstd on a tie. `identity;q=1` alone means none.
fn preferred(headers: &HeaderMap) -> Option<Encoding> {
    let mut best: Option<(Encoding, u16)> = None;
    let mut any: Option<u16> = None;
    let mut named = [false, false];
    for (name, q) in accepted(headers) {
        let encoding = match name.as_str() {
            "zstd" => Encoding::Zstd,
            "gzip" | "x-gzip" => Encoding::Gzip,
            "*" => {
                any = Some(q);
                continue;
            }
            _ => continue,
        };
        named[encoding as usize] = true;
        let better = best.is_none_or(|(known, weight)| q > weight || (q == weight && known == Encoding::Gzip));
        if q > 0 && better {
            best = Some((encoding, q));
        }
    }
    match (best, any) {
        (None, Some(q)) if q > 0 && !named[0] => Some(Encoding::Zstd),
        (None, Some(q)) if q > 0 && !named[1] => Some(Encoding::Gzip),
        (best, _) => best.map(|(encoding, _)| encoding),
    }
}

/// Compresses a reply where it is worth it. Answers that must not be stored hold secrets, and a secret compressed beside
/// chosen text leaks by its length (BREACH): those stay as they are.
pub(crate) fn compress(request: &HeaderMap, reply: &mut Reply, above: usize) {
    if reply.body().len() < above || reply.headers().contains_key(CONTENT_ENCODING) {
        return;
    }
    let text = |v: &HeaderValue| {
        let v = v.as_bytes();
        v.starts_with(b"application/json") || v.starts_with(b"application/problem+json") || v.starts_with(b"text/")
    };
    let is_text = reply.headers().get(CONTENT_TYPE).is_some_and(text);
    let is_secret = reply.headers().get(CACHE_CONTROL).is_some_and(|v| v.as_bytes() == b"no-store");
    if !is_text || is_secret {
        return;
    }
    reply.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(encoding) = preferred(request) else { return };
    let Some(bytes) = reply.body().bytes() else { return };
    let (packed, name) = match encoding {
        Encoding::Zstd => (zstd::bulk::compress(bytes, 1), "zstd"),
        Encoding::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 3), flate2::Compression::fast());
            (encoder.write_all(bytes).and_then(|()| encoder.finish()), "gzip")
        }
    };
    let Ok(packed) = packed else { return };
    if packed.len() >= bytes.len() {
        return;
    }
    *reply.body_mut() = Body::new(packed);
    reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    if let Some(tag) = reply.headers().get(ETAG).and_then(|t| t.to_str().ok()).and_then(|t| t.strip_suffix('"'))
        && let Ok(tag) = HeaderValue::try_from(format!("{tag}-{name}\""))
    {
        reply.headers_mut().insert(ETAG, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_preference_wins() {
        for (accept, expected) in [
            ("gzip", Some(Encoding::Gzip)),
            ("gzip, zstd", Some(Encoding::Zstd)),
            ("gzip;q=1, zstd;q=0.5", Some(Encoding::Gzip)),
            ("br", None),
            ("*", Some(Encoding::Zstd)),
            ("zstd;q=0, *", Some(Encoding::Gzip)),
            ("identity", None),
            ("gzip;q=0", None),
            ("GZIP", Some(Encoding::Gzip)),
            ("", None),
            ("gzip;q=x", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
            assert_eq!(preferred(&headers), expected, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new()), None);
    }

    #[test]
    fn gzip_is_taken_unless_refused() {
        for (accept, expected) in [
            ("gzip", true),
            ("zstd, gzip;q=0.1", true),
            ("br, *", true),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("zstd", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
            assert_eq!(takes_gzip(&headers), expected, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
