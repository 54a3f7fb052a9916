//! `/docs` and `/redoc`: what they may do in a browser, what they load, and how it is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use mainstay::kernel::Ctx;
use mainstay::prelude::*;
use mainstay::web::{AccessError, Api, Authenticate, Authentication, ServerSettings, SignIn};

use crate::{Answer, api, builder, call, get, with_settings};

/// What a page names as a file to load.
fn loaded(page: &str) -> Vec<String> {
    let links = page.split(['"', ' ']).filter(|word| word.starts_with("docs/assets/"));
    links.map(|link| format!("/{link}")).collect()
}

async fn text(api: &Arc<Api>, path: &str) -> (Answer, String) {
    let answer = call(api, get(path)).await;
    assert_eq!(answer.status, 200, "{path}");
    let text = String::from_utf8(answer.body.clone()).unwrap();
    (answer, text)
}

#[tokio::test]
async fn a_page_lets_the_browser_do_little() {
    let api = api(&[]);
    let mut nonces = BTreeSet::new();
    for (path, worker) in [("/docs", ""), ("/docs", ""), ("/redoc", "; worker-src blob:")] {
        let (answer, page) = text(&api, path).await;
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let policy = answer.header("content-security-policy");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert_eq!(nonce.len(), 32);
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; \
                 connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'{worker}"
            )
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        assert!(nonces.insert(nonce.to_owned()), "a nonce came twice");

        // Every script and style carries the nonce, nothing stands in the page itself, and nobody else is named.
        let tags = page.matches("<script").count() + page.matches("rel=\"stylesheet\"").count();
        assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), tags);
        assert_eq!(page.matches("</script>").count(), page.matches("defer></script>").count());
        assert!(!page.contains("//") && !page.contains("<style") && !page.contains('{'), "{page}");
        assert!(page.contains("<title>Mainstay</title>"));
    }
}

#[tokio::test]
async fn what_a_page_loads_is_kept_for_good() {
    let api = api(&[]);
    let mut files = BTreeSet::new();
    for path in ["/docs", "/redoc"] {
        let (_, page) = text(&api, path).await;
        files.extend(loaded(&page));
    }
    assert_eq!(files.len(), 8, "{files:?}");
    for file in files {
        let plain = call(&api, get(&file)).await;
        assert_eq!(plain.status, 200, "{file}");
        assert_eq!(plain.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(plain.header("content-encoding"), "");
        assert_eq!(plain.header("x-content-type-options"), "nosniff");
        let expected = match file.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/png",
        };
        assert_eq!(plain.header("content-type"), expected, "{file}");
        let tag = plain.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'));

        let mut request = get(&file);
        request.headers_mut().insert(ACCEPT_ENCODING, "gzip, deflate, br, zstd".parse().unwrap());
        let packed = call(&api, request).await;
        if packed.header("content-encoding").is_empty() {
            assert_eq!((packed.header("etag"), &packed.body), (tag.as_str(), &plain.body), "{file}");
        } else {
            assert!(packed.body.len() < plain.body.len(), "{file}");
            assert_eq!(packed.header("vary"), "accept-encoding", "{file}");
            assert_ne!(packed.header("etag"), tag, "{file}");
        }
        for known in [tag.as_str(), packed.header("etag"), "*"] {
            let mut again = get(&file);
            again.headers_mut().insert(IF_NONE_MATCH, known.parse().unwrap());
            let answer = call(&api, again).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{file} {known}");
            assert_eq!(answer.header("cache-control"), plain.header("cache-control"));
        }

        let mut head = get(&file);
        *head.method_mut() = http::Method::HEAD;
        let answer = call(&api, head).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), plain.body.len().to_string());
    }
}

#[tokio::test]
async fn the_large_files_are_sent_as_they_are_kept() {
    let api = api(&[]);
    let (_, page) = text(&api, "/docs").await;
    let bundle = loaded(&page).into_iter().find(|file| file.ends_with("swagger-ui-bundle.js")).unwrap();
    for (accept, encoding) in
        [("gzip", "gzip"), ("zstd;q=1, gzip;q=0.1", "gzip"), ("*", "gzip"), ("gzip;q=0", ""), ("", "")]
    {
        let mut request = get(&bundle);
        request.headers_mut().insert(ACCEPT_ENCODING, accept.parse().unwrap());
        let answer = call(&api, request).await;
        assert_eq!(answer.header("content-encoding"), encoding, "{accept}");
        assert_eq!(answer.body.starts_with(&[0x1f, 0x8b]), encoding == "gzip", "{accept}");
        assert_eq!(answer.header("vary"), "accept-encoding", "{accept}");
    }
    // The licences are where the scripts' first lines look for them.
    let licence = call(&api, get(&bundle.replace("bundle.js", "bundle.js.LICENSE.txt"))).await;
    assert_eq!((licence.status.as_u16(), licence.header("content-type")), (200, "text/plain; charset=utf-8"));
}

#[tokio::test]
async fn the_pages_are_like_everything_else_and_no_operations() {
    let api = api(&[]);
    let (_, page) = text(&api, "/docs").await;
    let asset = loaded(&page).remove(0);
    for path in ["/docs", "/redoc", &asset] {
        let mut request = get(path);
        *request.method_mut() = http::Method::POST;
        let answer = call(&api, request).await;
        assert_eq!(answer.errors().1, "method_not_allowed", "{path}");
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS", "{path}");
    }
    let version = asset.split('/').nth(3).unwrap();
    for absent in [
        "/docs/assets/000000000000000000000000/docs.js".to_owned(),
        format!("/docs/assets/{version}/absent.js"),
        format!("/docs/assets/{version}/../docs.js"),
        format!("/docs/assets/{version}"),
        "/docs/".to_owned(),
        "/".to_owned(),
    ] {
        assert_eq!(call(&api, get(&absent)).await.errors().1, "route_not_found", "{absent}");
    }
    let document = String::from_utf8(api.document().to_vec()).unwrap();
    assert!(!document.contains("/docs") && !document.contains("/redoc"));
    assert!(api.operations().iter().all(|(_, path, _)| !path.contains("doc")));
}

#[tokio::test]
async fn a_setting_turns_them_off() {
    let api = with_settings(ServerSettings { docs: false, ..ServerSettings::default() }, &[]);
    for path in ["/docs", "/redoc"] {
        assert_eq!(call(&api, get(path)).await.errors().1, "route_not_found", "{path}");
    }
    assert_eq!(call(&api, get("/openapi.json")).await.status, 200);
}

#[tokio::test]
async fn a_title_is_text() {
    let api = builder(ServerSettings::default()).info("<b>Cats & {nonce}</b>", "1", "").build().unwrap();
    let (_, page) = text(&api, "/docs").await;
    assert!(page.contains("<title>&lt;b&gt;Cats &amp; {nonce}&lt;/b&gt;</title>"), "{page}");
}

/// Something of one's own.
#[get("/docs", root)]
async fn get_docs() -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

#[test]
fn an_operation_in_a_pages_place_is_told() {
    let error = |settings| {
        let mut builder = builder(settings);
        builder.endpoint("test", mainstay::web::EndpointDef::endpoint(&get_docs));
        builder.build().map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(
        error(ServerSettings::default()).unwrap_err(),
        "an operation has the path /docs of a documentation page. Move it, or set server.docs to false."
    );
    assert_eq!(error(ServerSettings { docs: false, ..ServerSettings::default() }), Ok(()));
}

/// Lets nobody in, and names an operation to sign in with.
struct Door(&'static str);

impl Authenticate for Door {
    fn authenticate(&self, _: &Ctx, _: &str) -> Authentication {
        Authentication::Now(Err(AccessError::InvalidToken))
    }

    fn sign_in(&self) -> Option<SignIn> {
        Some(SignIn { register: None, login: self.0, refresh: self.0, logout: self.0 })
    }
}

#[test]
fn the_document_names_the_operations_that_sign_in() {
    let build = |door: Option<Door>| {
        let mut builder = builder(ServerSettings::default());
        if let Some(door) = door {
            builder.authenticator(Arc::new(door));
        }
        builder.build().map(|api| api.document_value()["components"]["securitySchemes"]["bearer"].clone())
    };
    assert!(build(None).unwrap().get("x-sign-in").is_none());
    let scheme = build(Some(Door("get_health_live"))).unwrap();
    let id = "get_health_live";
    assert_eq!(scheme["x-sign-in"], serde_json::json!({ "login": id, "refresh": id, "logout": id }));
    assert_eq!(scheme["description"], "The access token that `GET /health/live` answers with.");
    let error = build(Some(Door("absent"))).unwrap_err().to_string();
    assert_eq!(error, "signing in names the operation `absent` (login), and there is none of that name");
}
