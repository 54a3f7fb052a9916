//! The pages on which a person reads the API and tries it: Swagger UI at `/docs`, Redoc at `/redoc`. Everything they
//! need is in the binary, and their policy lets a browser ask nobody else. They are no operations: the document does
//! not name them. All links are relative, so they also work where a proxy puts a prefix before the paths.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};

use sha2::{Digest, Sha256};

use crate::compress::takes_gzip;
use crate::{Body, Endpoint, Method, Problem, Request, RequestError, Response};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where the pages are. What they load is below the first.
pub(crate) const PATHS: [&str; 3] = ["/docs", "/redoc", "/docs/assets/{version}/{name}"];

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Kept compressed with gzip; ours are not, they are small and the layer compresses them.
    is_packed: bool,
}

macro_rules! asset {
    ($folder:literal $name:literal, $type:expr) => {
        Asset {
            name: $name,
            content_type: $type,
            bytes: include_bytes!(concat!("../assets/", $folder, "/", $name)),
            is_packed: false,
        }
    };
    (gzip $folder:literal $name:literal, $type:expr) => {
        Asset {
            name: $name,
            content_type: $type,
            bytes: include_bytes!(concat!("../assets/", $folder, "/", $name, ".gz")),
            is_packed: true,
        }
    };
}

/// The licences are here because their texts must come with every copy, and the scripts' first lines name them.
const ASSETS: [Asset; 13] = [
    asset!(gzip "vendor" "swagger-ui-bundle.js", SCRIPT),
    asset!(gzip "vendor" "swagger-ui.css", STYLE),
    asset!(gzip "vendor" "redoc.standalone.js", SCRIPT),
    asset!("vendor" "favicon-32x32.png", "image/png"),
    asset!("vendor" "swagger-ui-bundle.js.LICENSE.txt", TEXT),
    asset!("vendor" "swagger-ui-dist.LICENSE.txt", TEXT),
    asset!("vendor" "swagger-ui-dist.NOTICE.txt", TEXT),
    asset!("vendor" "redoc.standalone.js.LICENSE.txt", TEXT),
    asset!("vendor" "redoc.LICENSE.txt", TEXT),
    asset!("own" "docs.js", SCRIPT),
    asset!("own" "docs.css", STYLE),
    asset!("own" "redoc.js", SCRIPT),
    asset!("own" "redoc.css", STYLE),
];

/// What the endpoints share, made when the first of them is asked.
#[derive(Debug, Default)]
struct DocsPages {
    title: String,
    version: OnceLock<String>,
    unpacked: [OnceLock<Bytes>; ASSETS.len()],
}

/// The pages and what they load, for the router alone.
pub(crate) fn endpoints(title: &str) -> [Endpoint; 3] {
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let shared = Arc::new(DocsPages { title, ..DocsPages::default() });
    let (docs, redoc, assets) = (shared.clone(), shared.clone(), shared);
    let [docs_path, redoc_path, assets_path] = PATHS;
    let undescribed = |path: &str, id: &str, handler| Endpoint::new(Method::Get, path, id, "", |_| {}, handler);
    [
        undescribed(
            docs_path,
            "docs",
            Arc::new(move |request| {
                let response = docs.page(include_str!("../assets/own/docs.html"), "", &request);
                Box::pin(std::future::ready(response))
            }),
        ),
        undescribed(
            redoc_path,
            "redoc",
            Arc::new(move |request| {
                // Its search runs in a worker that it makes from its own text.
                let response = redoc.page(include_str!("../assets/own/redoc.html"), "; worker-src blob:", &request);
                Box::pin(std::future::ready(response))
            }),
        ),
        undescribed(
            assets_path,
            "docs_asset",
            Arc::new(move |request| Box::pin(std::future::ready(assets.asset(&request)))),
        ),
    ]
}

impl DocsPages {
    /// Stands for the content of all files: in their paths, so that a browser may keep each for good.
    fn version(&self) -> &str {
        self.version.get_or_init(|| {
            let mut hash = Sha256::new();
            for asset in &ASSETS {
                hash.update(asset.name);
                hash.update(asset.bytes);
            }
            hex(&hash.finalize()[..12])
        })
    }

    fn page(&self, template: &str, more_policy: &str, request: &Request) -> Result<Response, Problem> {
        let nonce = hex(&request.ctx.random().bytes::<16>());
        let text = template
            .replace("{nonce}", &nonce)
            .replace("{assets}", &format!("docs/assets/{}", self.version()))
            .replace("{title}", &self.title);
        // Scripts and styles by nonce alone: 'self' would let in whatever else this origin may serve one day.
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'{more_policy}"
        );
        let mut response = Response::new(Body::new(text));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        for (name, value) in [
            // A nonce is good for one answer.
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "no-referrer"),
            (X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    fn asset(&self, request: &Request) -> Result<Response, Problem> {
        let wanted: Vec<&str> = request.params.iter().map(|(_, value)| value.as_str()).collect();
        let [version, name] = wanted[..] else { return Err(RequestError::NoRoute.into()) };
        let found = ASSETS.iter().position(|asset| asset.name == name);
        let Some(index) = found.filter(|_| version == self.version()) else {
            return Err(RequestError::NoRoute.into());
        };
        let asset = &ASSETS[index];
        let is_packed = asset.is_packed && takes_gzip(request.headers());
        let tag = if is_packed { format!("\"{version}-{name}-gzip\"") } else { format!("\"{version}-{name}\"") };

        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(ETAG, tag);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        *response.body_mut() = if is_packed {
            // Of one that is not, the layer says it.
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Body::new(Bytes::from_static(asset.bytes))
        } else if asset.is_packed {
            Body::new(self.unpacked[index].get_or_init(|| unpack(asset)).clone())
        } else {
            Body::new(Bytes::from_static(asset.bytes))
        };
        Ok(response)
    }
}

/// The few clients that do not take gzip share one copy.
fn unpack(asset: &Asset) -> Bytes {
    let mut plain = Vec::with_capacity(asset.bytes.len() * 4);
    // From memory, and `every_file_can_be_read` read it: this cannot fail.
    let _ = flate2::read::GzDecoder::new(asset.bytes).read_to_end(&mut plain);
    plain.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_read() {
        for asset in ASSETS.iter().filter(|asset| asset.is_packed) {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(asset.bytes).read_to_end(&mut plain).unwrap();
            assert!(plain.len() > asset.bytes.len(), "{}", asset.name);
            assert_eq!(unpack(asset), plain);
        }
    }

    #[test]
    fn no_template_names_a_file_that_is_not_there() {
        for template in [include_str!("../assets/own/docs.html"), include_str!("../assets/own/redoc.html")] {
            let named: Vec<&str> = template.split("{assets}/").skip(1).filter_map(|s| s.split('"').next()).collect();
            assert!(named.len() >= 3);
            for name in named {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            }
        }
    }
}
