use std::time::Duration;

use auth::Accounts;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use serde_json::Value;
use testkit::{App, TestDatabase};

use crate::setup;

const PATH: &str = "/.well-known/jwks.json";

async fn kids(app: &App) -> Vec<String> {
    let set = app.get(PATH).await.expect(200).json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

testkit::both! {
    async fn whoever_has_the_key_set_can_verify_tokens(db: TestDatabase) {
        let app = setup().set("public_url", "https://api.example.com").start(db).await;
        let ada = app.user("Ada").await;
        let response = app.get(PATH).await.expect(200);
        assert_eq!(response.header("cache-control"), Some("public, max-age=300"));
        let set: JwkSet = response.json_as();
        assert_eq!(set.keys.len(), 1);
        let key = set.find(&kid(ada.access_token())).unwrap();
        assert!(matches!(key.algorithm, AlgorithmParameters::OctetKeyPair(_)));
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.set_audience(&["https://api.example.com"]);
        validation.set_issuer(&["https://api.example.com"]);
        // The test's clock is not the machine's.
        validation.validate_exp = false;
        let decoding = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
        let token = jsonwebtoken::decode::<Value>(ada.access_token(), &decoding, &validation).unwrap();
        assert_eq!(token.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(token.claims["sub"], ada.id());
        let text = response.text();
        assert!(!text.contains("\"d\"") && !text.contains("\"p\""), "no private half");
    }

    async fn a_key_set_is_kept_for_half_of_the_time_before_a_new_key_signs(db: TestDatabase) {
        let app = setup().set("auth.key_publish_lead_s", 60).start(db).await;
        assert_eq!(app.get(PATH).await.expect(200).header("cache-control"), Some("public, max-age=30"));
    }

    async fn a_key_is_published_until_the_second_in_which_it_retires(db: TestDatabase) {
        let app = setup().start(db).await;
        let old = kids(&app).await;
        let new = app.service::<Accounts>().rotate_signing_key(&app.ctx()).await.unwrap();
        // An hour until the new one signs, a quarter for the last token of the old one, a minute for clocks.
        app.clock().advance(Duration::from_secs(3600 + 900 + 60 - 1));
        assert_eq!(kids(&app).await, [old[0].clone(), new.clone()]);
        app.clock().advance(Duration::from_secs(1));
        assert_eq!(kids(&app).await, [new]);
    }

    async fn every_algorithm_works_end_to_end(db: TestDatabase) {
        let mut app = setup().start(db).await;
        for (algorithm, kty) in [("ES256", "EC"), ("RS256", "RSA"), ("EdDSA", "OKP")] {
            app = app.another_node(|setup| setup.set("auth.signing_algorithm", algorithm)).await.unwrap();
            // A key of another kind is published before it signs, like any other.
            app.clock().advance(Duration::from_secs(3600));
            let user = app.user(&format!("User of {algorithm}")).await;
            user.get("/api/v1/who").await.expect(200);
            assert_eq!(jsonwebtoken::decode_header(user.access_token()).unwrap().alg, algorithm.parse().unwrap());
            let set = app.get(PATH).await.expect(200).json();
            let kid = kid(user.access_token());
            let key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap();
            assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&kty.into(), &algorithm.into(), &"sig".into()));
        }
    }

    async fn a_new_key_is_published_before_it_signs_and_the_old_one_kept_after(db: TestDatabase) {
        let app = setup().start(db).await;
        let second = app.second_node().await;
        let ada = app.user("Ada").await;
        let old = kid(ada.access_token());
        let new = second.service::<Accounts>().rotate_signing_key(&second.ctx()).await.unwrap();
        // Known to the other node at the latest when its copy is due.
        app.clock().advance(Duration::from_secs(10));
        assert_eq!(kids(&app).await, [old.clone(), new.clone()]);
        app.clock().advance(Duration::from_secs(3580));
        let last_of_old = ada.sign_in().await;
        assert_eq!(kid(last_of_old.access_token()), old);
        app.clock().advance(Duration::from_secs(10));
        let first_of_new = ada.sign_in().await;
        assert_eq!(kid(first_of_new.access_token()), new);
        for caller in [&last_of_old, &first_of_new] {
            caller.get("/api/v1/who").await.expect(200);
            caller.on(&second).get("/api/v1/who").await.expect(200);
        }
        app.clock().advance(Duration::from_secs(889));
        last_of_old.get("/api/v1/who").await.expect(200);
        app.clock().advance(Duration::from_secs(200));
        assert_eq!(kids(&app).await, [new]);
        last_of_old.get("/api/v1/who").await.expect_problem(401, "invalid_token");
    }

    async fn a_key_made_elsewhere_is_looked_for_once_in_a_while(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let second = app.second_node().await;
        second.service::<Accounts>().rotate_signing_key(&second.ctx()).await.unwrap();
        app.clock().advance(Duration::from_secs(3600));
        let token = ada.on(&second).sign_in().await;
        // This node has not looked since the start: the name it does not know makes it look.
        token.on(&app).get("/api/v1/who").await.expect(200);
        // And then not again for a while, whatever is sent.
        let unknown = second.service::<Accounts>().rotate_signing_key(&second.ctx()).await.unwrap();
        assert!(!kids(&app).await.contains(&unknown));
        app.clock().advance(Duration::from_secs(10));
        assert!(kids(&app).await.contains(&unknown));
    }
}
