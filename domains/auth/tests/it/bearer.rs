//! Hostile bearer tokens: each is a 401 with its challenge, and costs no I/O.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mainstay::prelude::*;
use serde_json::{Value, json};
use testkit::{App, Caller, TestDatabase};

use crate::setup;

const PATH: &str = "/api/v1/who";

async fn refuse(app: &App, what: &str, token: &str) {
    let response = app.get(PATH).bearer(token).await;
    assert!(response.status == 401 && response.code().as_deref() == Some("invalid_token"), "{what}: {response}");
    let challenge = response.header("www-authenticate").unwrap();
    // RFC 6750 section 3.1.
    assert!(challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""), "{challenge}");
}

fn claims(caller: &Caller) -> Value {
    let payload = caller.access_token().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Every hostile token there is for a key set of one key.
async fn hostile(app: &App, ada: &Caller) -> Vec<(String, String)> {
    let claims = claims(ada);
    let genuine = jsonwebtoken::decode_header(ada.access_token()).unwrap();
    let jwk = app.get("/.well-known/jwks.json").await.expect(200).json()["keys"][0].clone();
    let public = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    // RFC 8410 section 4.
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(&public);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
    let mut all = Vec::new();

    // Algorithm confusion: our public key as the secret, in every spelling.
    for (spelling, secret) in [
        ("raw", public.clone()),
        ("DER", der),
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line end", pem.trim_end().as_bytes().to_vec()),
        ("JWK", jwk.to_string().into_bytes()),
        ("x", jwk["x"].as_str().unwrap().as_bytes().to_vec()),
        ("nothing", vec![]),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let header = Header { alg: algorithm, ..genuine.clone() };
            let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
            all.push((format!("{algorithm:?} with our public key, {spelling}"), token));
        }
    }

    // Headers that would let the token bring its own key, under the genuine signature and without one.
    let (message, signature) = ada.access_token().rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": genuine.kid });
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("NONE")),
        ("alg", json!("")),
        ("alg", json!("RS256")),
        ("alg", json!(null)),
        ("typ", json!("JWT")),
        ("typ", json!("id_token+jwt")),
        ("typ", json!(null)),
        ("kid", json!("../../../../etc/passwd")),
        ("kid", json!("' UNION SELECT sealed FROM signing_keys --")),
        ("kid", json!("x".repeat(65_536))),
        ("kid", json!("sgk_01h455vb4pex5vsknk084sn02q")),
        ("kid", json!(null)),
        ("jwk", jwk.clone()),
        ("jku", json!("https://evil.example.com/jwks.json")),
        ("x5u", json!("https://evil.example.com/x.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
    ] {
        let mut header = header.clone();
        header[name] = value.clone();
        let what: String = format!("{name}: {value}").chars().take(80).collect();
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        all.push((what.clone(), format!("{head}.{payload}.{signature}")));
        all.push((format!("{what}, without a signature"), format!("{head}.{payload}.")));
    }

    // Changed claims under the genuine signature.
    for (name, value) in
        [("sub", json!("usr_01h455vb4pex5vsknk084sn02q")), ("role", json!("admin")), ("exp", json!(9_999_999_999i64))]
    {
        let mut claims = claims.clone();
        claims[name] = value;
        let head = message.split_once('.').unwrap().0;
        all.push((
            format!("changed {name}"),
            format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string())),
        ));
    }
    for garbled in ["x", ".", "..", "a.b.c", "....", "eyJ.eyJ.x", message, &format!("{}=", ada.access_token())] {
        all.push((format!("garbled: {garbled}"), garbled.to_owned()));
    }
    all.push(("a refresh token".to_owned(), ada.refresh_token().to_owned()));
    all.push(("twice as long as is read".to_owned(), "A".repeat(8192)));
    all
}

testkit::both! {
    async fn a_hostile_token_is_refused_without_io(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        ada.get(PATH).await.expect(200);
        let all = hostile(&app, &ada).await;
        assert!(all.len() > 50);
        // Headers larger than the server reads do not reach us; what does, is ours to refuse.
        let (heard, too_large): (Vec<_>, Vec<_>) = all.iter().partition(|(_, token)| token.len() < 15_000);
        for (what, token) in &heard {
            refuse(&app, what, token).await;
        }
        for (_, token) in too_large {
            app.get(PATH).bearer(token).await.expect_problem(431, "headers_too_large");
        }
        // With the database away, whatever needed it would be a 503.
        app.lose_database().await;
        for (what, token) in &heard {
            refuse(&app, what, token).await;
        }
    }

    async fn a_token_is_good_until_it_expires(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.clock().advance(Duration::from_secs(899));
        ada.get(PATH).await.expect(200);
        app.clock().advance(Duration::from_secs(1));
        // Remembered or not.
        ada.get(PATH).await.expect_problem(401, "invalid_token");
        let second = app.second_node().await;
        ada.on(&second).get(PATH).await.expect_problem(401, "invalid_token");
    }

    async fn a_token_of_another_issuer_is_refused_though_its_key_is_ours(db: TestDatabase) {
        let app = setup().set("public_url", "https://api.example.com").start(db).await;
        let other = app.another_node(|setup| setup.set("public_url", "https://evil.example.com")).await.unwrap();
        let ada = other.user("Ada").await;
        ada.get(PATH).await.expect(200);
        refuse(&app, "another issuer", ada.access_token()).await;
    }

    async fn a_remembered_token_is_judged_without_the_database_for_two_seconds(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let new = ada.sign_in().await;
        ada.get(PATH).await.expect(200);
        app.lose_database().await;
        app.clock().advance(Duration::from_secs(1));
        ada.get(PATH).await.expect(200);
        new.get(PATH).await.expect_problem(503, "authentication_unavailable");
        app.clock().advance(Duration::from_secs(1));
        ada.get(PATH).await.expect_problem(503, "authentication_unavailable");
    }

    async fn a_session_is_what_the_database_says_whatever_its_token_says(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let (ctx, now) = (app.ctx(), app.clock().now());
        let (ada_id, bob_id) = (ada.id().parse::<UserId>().unwrap(), bob.id().parse::<UserId>().unwrap());
        ada.get(PATH).await.expect(200);
        bob.get(PATH).await.expect(200);
        let given = app.store().tx(&ctx, move |tx| async move {
            tx.execute("UPDATE sessions SET account_id = $1 WHERE account_id = $2", &params![bob_id, ada_id]).await
        });
        assert_eq!(given.await.unwrap(), 1);
        app.clock().advance(Duration::from_secs(2));
        refuse(&app, "the session is somebody else's", ada.access_token()).await;
        bob.get(PATH).await.expect(200);
        // It ends at this very moment.
        let ended = app.store().tx(&ctx, move |tx| async move {
            let now = now.plus(Duration::from_secs(4));
            tx.execute("UPDATE sessions SET expires_at = $1 WHERE account_id = $2", &params![now, bob_id]).await
        });
        assert_eq!(ended.await.unwrap(), 2);
        app.clock().advance(Duration::from_secs(2));
        refuse(&app, "the session is over before its token", bob.access_token()).await;
    }

    async fn a_small_memory_of_tokens_changes_no_answer(db: TestDatabase) {
        let app = setup().set("auth.token_cache_entries", 1).set("auth.session_recheck_s", 0).start(db).await;
        let ada = app.user("Ada").await;
        let mut sessions = vec![ada.clone()];
        for _ in 0..5 {
            sessions.push(ada.sign_in().await);
        }
        for _ in 0..2 {
            for session in &sessions {
                session.get(PATH).await.expect(200);
            }
        }
        sessions[2].post("/api/v1/auth/logout").await.expect(204);
        for (i, session) in sessions.iter().enumerate() {
            session.get(PATH).await.expect(if i == 2 { 401 } else { 200 });
        }
    }

    async fn the_document_says_which_operations_give_a_token(db: TestDatabase) {
        let app = setup().start(db).await;
        let document = app.get("/openapi.json").await.expect(200).json();
        assert_eq!(
            document["components"]["securitySchemes"]["bearer"]["x-sign-in"],
            json!({ "register": "register", "login": "login", "refresh": "refresh", "logout": "logout" })
        );
    }

    async fn other_ways_to_send_a_token_are_not_read(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let token = ada.access_token();
        app.get(&format!("{PATH}?access_token={token}")).await.expect_problem(401, "missing_token");
        app.get(PATH).header("cookie", format!("access_token={token}")).await.expect_problem(401, "missing_token");
        for value in [format!("Basic {token}"), token.to_owned(), "Bearer".to_owned(), "Bearer ".to_owned()] {
            app.get(PATH).header("authorization", value).await.expect_problem(401, "invalid_token");
        }
        app.get(PATH).header("authorization", format!("bearer {token}")).await.expect(200);
    }
}
