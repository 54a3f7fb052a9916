//! Compression of answers: zstd or gzip, as the client prefers (RFC 9110 section 12.5.3).

use std::io::Write;

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY,
};

use crate::{Body, Response};

/// A content coding that answers can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Zstd,
    Gzip,
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}
/// Whether this build has zstd.
const HAS_ZSTD: bool = cfg!(feature = "zstd");
/// The most codings of one request that are looked at. No client knows as many.
const MOST_CODINGS: usize = 32;

/// What the client says it takes, with its weight in thousandths.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (String, u16)> {
    let items = headers.get_all(ACCEPT_ENCODING).iter().flat_map(|value| value.to_str().unwrap_or("").split(','));
    items.take(MOST_CODINGS).map(|item| {
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
            "zstd" if HAS_ZSTD => Encoding::Zstd,
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
        (None, Some(q)) if q > 0 && HAS_ZSTD && !named[0] => Some(Encoding::Zstd),
        (None, Some(q)) if q > 0 && !named[1] => Some(Encoding::Gzip),
        (best, _) => best.map(|(encoding, _)| encoding),
    }
}

/// The coding that a response is worth and its client takes; `Vary` says that it depends on the client. Length and type alone
/// decide, so that a 304, and a HEAD, know the headers of the 200 they stand for. Answers that must not be stored hold
/// secrets, and a secret compressed beside chosen text leaks by its length (BREACH): those stay as they are.
pub(crate) fn choose(request: &HeaderMap, response: &mut Response, above: usize) -> Option<Encoding> {
    if response.body().is_empty() || response.body().len() < above || response.headers().contains_key(CONTENT_ENCODING)
    {
        return None;
    }
    let text = |v: &HeaderValue| {
        let v = v.as_bytes();
        v.starts_with(b"application/json") || v.starts_with(b"application/problem+json") || v.starts_with(b"text/")
    };
    let is_text = response.headers().get(CONTENT_TYPE).is_some_and(text);
    let no_store = |v: &HeaderValue| v.as_bytes().windows(8).any(|word| word.eq_ignore_ascii_case(b"no-store"));
    let is_secret = response.headers().get(CACHE_CONTROL).is_some_and(no_store);
    if !is_text || is_secret {
        return None;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    preferred(request)
}

/// A compressed answer is another representation and needs a tag of its own (RFC 9110 section 8.8.3.3).
pub(crate) fn mark(response: &mut HeaderMap, encoding: Encoding) {
    if let Some(tag) = response.get(ETAG).and_then(|t| t.to_str().ok()).and_then(|t| t.strip_suffix('"'))
        && let Ok(tag) = HeaderValue::try_from(format!("{tag}-{}\"", encoding.name()))
    {
        response.insert(ETAG, tag);
    }
}

/// Compresses a response. Also where that makes it a few bytes longer, which JSON and text of some length never get: what
/// depended on the outcome would have to be compressed to answer 304.
pub(crate) fn compress(response: &mut Response, encoding: Encoding) {
    let Some(bytes) = response.body().bytes() else { return };
    let packed = match encoding {
        #[cfg(feature = "zstd")]
        Encoding::Zstd => zstd::bulk::compress(bytes, 1),
        #[cfg(not(feature = "zstd"))]
        Encoding::Zstd => return,
        Encoding::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 3), flate2::Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
    };
    // Memory to memory: it cannot fail, and if it did the answer is whole without.
    let Ok(packed) = packed else { return };
    *response.body_mut() = Body::new(packed);
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    mark(response.headers_mut(), encoding);
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
        let many = |before: usize| {
            let value = HeaderValue::from_str(&format!("{}gzip", "br,".repeat(before))).unwrap();
            preferred(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]))
        };
        assert_eq!((many(MOST_CODINGS - 1), many(MOST_CODINGS)), (Some(Encoding::Gzip), None));
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
