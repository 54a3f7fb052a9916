use std::net::SocketAddr;

use mainstay::kernel::UserId;
use mainstay::store::{Reads, params};
use serde_json::{Value, json};
use testkit::{App, Response, TestDatabase};

use crate::{PASSWORD, hash_count, setup};

const PATH: &str = "/api/v1/auth/login";

async fn login(app: &App, email: &str, password: &str) -> Response {
    app.post(PATH).json(&json!({ "email": email, "password": password })).await
}

/// What can be told from an answer.
fn told(response: &Response) -> (u16, Vec<String>, Value) {
    let mut headers: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
    headers.sort();
    let mut body = response.json();
    body["request_id"] = Value::Null;
    (response.status, headers, body)
}

testkit::both! {
    async fn the_right_password_gives_tokens(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let response = login(&app, "ADA@example.com", PASSWORD).await.expect(200);
        // RFC 6749 section 5.1.
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let tokens = response.json();
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert!(tokens["refresh_token"].as_str().unwrap().starts_with("ms_rt_"));
        let who = app.get("/api/v1/who").bearer(tokens["access_token"].as_str().unwrap()).await.expect(200).json();
        assert_eq!(who, json!({ "user_id": ada.id(), "role": "user" }));
        let ctx = app.ctx();
        let stored = app.store().read(&ctx);
        let rows: Vec<(Vec<u8>,)> = stored.rows("SELECT hash FROM refresh_tokens", &[]).await.unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|(hash,)| hash.len() == 32), "hashed at rest");
        let hashes: Vec<(String,)> = stored.rows("SELECT password_hash FROM accounts", &[]).await.unwrap();
        assert!(hashes.iter().all(|(hash,)| hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")));
    }

    async fn an_unknown_address_is_answered_like_a_wrong_password(db: TestDatabase) {
        let app = setup().start(db).await;
        app.user("Ada").await;
        let mut answers = Vec::new();
        for (email, password) in [
            ("ada@example.com", "another long password"), ("nobody@example.com", "another long password"),
            ("not an address", "another long password"), ("", ""), ("ada@example.com", ""),
            ("ada@example.com", "Seven green lanterns by the sea"), (" ada@example.com", PASSWORD),
            ("' or 1=1 --", "x"),
        ] {
            let before = hash_count(&app);
            let response = login(&app, email, password).await.expect_problem(401, "invalid_credentials");
            assert_eq!(hash_count(&app), before + 1, "{email}: the same work");
            assert!(response.header("www-authenticate").is_some());
            answers.push(told(&response));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }

    async fn errors_are_told_by_name(db: TestDatabase) {
        let app = setup().start(db).await;
        app.post(PATH).json(&json!({ "email": 5, "remember": true }))
            .await.expect_field_errors(&[("/email", "type"), ("/password", "required"), ("/remember", "unknown_field")]);
        app.post(PATH).body("application/json", "{").await.expect_problem(400, "malformed_json");
        app.post(PATH).body("application/json", r#"{"email":"a","email":"b","password":"c"}"#)
            .await.expect_problem(400, "repeated_field");
        app.post(PATH).body("text/plain", "{}").await.expect_problem(415, "unsupported_media_type");
        login(&app, &"a".repeat(255), "x").await.expect_field_errors(&[("/email", "length")]);
        assert_eq!(hash_count(&app), 0, "what is refused is not hashed");
    }

    async fn what_does_not_fit_the_queue_is_refused_at_once(db: TestDatabase) {
        let app = setup().set("auth.hash_permits", 1).set("auth.hash_queue", 2).start(db).await;
        let before = hash_count(&app);
        let body = json!({ "email": "nobody@example.com", "password": PASSWORD });
        let calls: Vec<_> = (0..100).map(|_| tokio::spawn(app.post(PATH).json(&body).send())).collect();
        let (mut refused, mut judged) = (0, 0);
        for call in calls {
            let response = call.await.unwrap();
            match response.status {
                401 => judged += 1,
                _ => {
                    let response = response.expect_problem(503, "busy");
                    assert!(response.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0 && judged > 0, "{refused} refused, {judged} judged");
        assert_eq!(hash_count(&app), before + judged, "who is refused is not hashed for");
        login(&app, "nobody@example.com", PASSWORD).await.expect_problem(401, "invalid_credentials");
    }

    async fn a_password_is_hashed_again_when_the_parameters_changed(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let stronger = app.another_node(|setup| setup.set("auth.hash_passes", 3)).await.unwrap();
        login(&stronger, ada.email(), "another long password").await.expect_problem(401, "invalid_credentials");
        let before = hash_count(&stronger);
        login(&stronger, ada.email(), PASSWORD).await.expect(200);
        assert_eq!(hash_count(&stronger), before + 2);
        let reads = app.ctx();
        let row: Option<(String,)> = app.store().read(&reads).row("SELECT password_hash FROM accounts", &[]).await.unwrap();
        assert!(row.unwrap().0.contains("t=3"));
        login(&stronger, ada.email(), PASSWORD).await.expect(200);
        assert_eq!(hash_count(&stronger), before + 3, "once");
    }

    async fn an_absent_account_takes_the_work_of_every_form_in_use(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let node = app.another_node(|setup| setup.set("auth.hash_passes", 3)).await.unwrap();
        let work = async |app: &App, email: &str| {
            let before = hash_count(app);
            login(app, email, "another long password").await.expect_problem(401, "invalid_credentials");
            hash_count(app) - before
        };
        let everyones = async |app: &App| [
            work(app, ada.email()).await, work(app, bob.email()).await, work(app, "nobody@example.com").await,
        ];
        // Old or new, or not there: each takes both forms' work. The first node learns of the other's form.
        assert_eq!(everyones(&node).await, [2, 2, 2]);
        login(&node, ada.email(), PASSWORD).await.expect(200);
        assert_eq!(everyones(&node).await, [2, 2, 2]);
        app.clock().advance(std::time::Duration::from_secs(10));
        assert_eq!(everyones(&app).await, [2, 2, 2]);
        // Once all have signed in, a start forgets what nobody's hash is in any more.
        login(&node, bob.email(), PASSWORD).await.expect(200);
        let node = app.another_node(|setup| setup.set("auth.hash_passes", 3)).await.unwrap();
        assert_eq!(everyones(&node).await, [1, 1, 1]);
    }

    async fn an_account_that_was_brought_here_is_not_told_by_its_form(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let ctx = app.ctx();
        let of_nobody = "$argon2id$v=19$m=19456,t=4,p=1$c29tZXRoaW5nIHNhbHQ$RdescudvJCsgt3ub+b5dWRWJTmaaJObG";
        app.store().tx(&ctx, move |tx| async move {
            tx.execute("UPDATE accounts SET password_hash = $1", &params![of_nobody]).await
        }).await.unwrap();
        for email in [ada.email(), "nobody@example.com", ada.email(), "nobody@example.com"] {
            let before = hash_count(&app);
            login(&app, email, "another long password").await.expect_problem(401, "invalid_credentials");
            assert_eq!(hash_count(&app), before + 2, "{email}");
        }
    }

    async fn right_passwords_at_once_all_sign_in_while_one_is_hashed_anew(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let stronger = app.another_node(|setup| setup.set("auth.hash_passes", 3)).await.unwrap();
        let body = json!({ "email": ada.email(), "password": PASSWORD });
        let calls: Vec<_> = (0..8).map(|_| tokio::spawn(stronger.post(PATH).json(&body).send())).collect();
        for call in calls {
            call.await.unwrap().expect(200);
        }
        let ctx = app.ctx();
        let row: Option<(String,)> = app.store().read(&ctx).row("SELECT password_hash FROM accounts", &[]).await.unwrap();
        assert!(row.unwrap().0.contains("t=3"));
    }

    async fn one_network_does_not_keep_others_from_signing_in(db: TestDatabase) {
        let app = setup().set("auth.hash_permits", 1).set("auth.hash_queue", 16).start(db).await;
        let ada = app.user("Ada").await;
        let call = |password: &str, from: &str| {
            let body = json!({ "email": ada.email(), "password": password });
            app.post(PATH).json(&body).from(SocketAddr::new(from.parse().unwrap(), 40_000)).send()
        };
        // Of one IPv6 customer, each from an address of its own.
        let flood: Vec<_> =
            (0..100).map(|n| tokio::spawn(call("another long password", &format!("2001:db8::{n:x}")))).collect();
        let others: Vec<_> = (1..=12).map(|n| tokio::spawn(call(PASSWORD, &format!("192.0.2.{n}")))).collect();
        for other in others {
            other.await.unwrap().expect(200);
        }
        let mut refused = 0;
        for one in flood {
            let response = one.await.unwrap();
            match response.status {
                401 => {}
                _ => {
                    response.expect_problem(503, "busy");
                    refused += 1;
                }
            }
        }
        assert!(refused > 0);
    }

    async fn an_account_has_so_many_sessions_and_the_least_used_ends(db: TestDatabase) {
        let app = setup().set("auth.sessions_per_account", 3).start(db).await;
        let second = app.second_node().await;
        let first = app.user("Ada").await;
        let bob = app.user("Bob").await;
        let mut sessions = vec![first.clone()];
        for _ in 0..2 {
            app.clock().advance(std::time::Duration::from_secs(60));
            sessions.push(first.sign_in().await);
        }
        app.clock().advance(std::time::Duration::from_secs(60));
        let refresh = |token: &str| app.post("/api/v1/auth/refresh").json(&json!({ "refresh_token": token }));
        refresh(first.refresh_token()).await.expect(200);
        for session in &sessions {
            session.on(&second).get("/api/v1/who").await.expect(200);
            session.get("/api/v1/who").await.expect(200);
        }
        app.clock().advance(std::time::Duration::from_secs(60));
        sessions.push(first.sign_in().await);
        // The second was not used since; the first was.
        for (n, session) in sessions.iter().enumerate() {
            let status = if n == 1 { 401 } else { 200 };
            session.get("/api/v1/who").await.expect(status);
        }
        refresh(sessions[1].refresh_token()).await.expect_problem(401, "invalid_refresh_token");
        app.clock().advance(std::time::Duration::from_secs(2));
        sessions[1].on(&second).get("/api/v1/who").await.expect_problem(401, "invalid_token");
        bob.get("/api/v1/who").await.expect(200);
        // However many at once.
        let body = json!({ "email": first.email(), "password": PASSWORD });
        let calls: Vec<_> = (0..12).map(|_| tokio::spawn(app.post(PATH).json(&body).send())).collect();
        for call in calls {
            call.await.unwrap().expect(200);
        }
        let (ctx, id) = (app.ctx(), first.id().parse::<UserId>().unwrap());
        let count = async |sql: &str| app.store().read(&ctx).row::<(i64,)>(sql, &params![id]).await.unwrap().unwrap().0;
        assert_eq!(count("SELECT count(*) FROM sessions WHERE account_id = $1").await, 3);
        let tokens = "SELECT count(*) FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE account_id = $1)";
        assert_eq!(count(tokens).await, 3);
    }

    async fn sessions_that_are_over_do_not_pile_up(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        for _ in 0..3 {
            ada.sign_in().await.post("/api/v1/auth/logout").await.expect(204);
        }
        app.clock().advance(std::time::Duration::from_secs(31 * 24 * 3600));
        login(&app, ada.email(), PASSWORD).await.expect(200);
        let ctx = app.ctx();
        let count = async |sql: &str| app.store().read(&ctx).row::<(i64,)>(sql, &[]).await.unwrap().unwrap().0;
        assert_eq!(count("SELECT count(*) FROM sessions").await, 1);
        assert_eq!(count("SELECT count(*) FROM refresh_tokens").await, 1);
    }

    async fn a_database_that_is_away_is_said_and_not_a_wrong_password(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        app.lose_database().await;
        login(&app, ada.email(), PASSWORD).await.expect_problem(503, "store_unavailable");
    }

    async fn a_korean_is_told_in_korean(db: TestDatabase) {
        let app = setup().start(db).await;
        let told = |path: &str, body: serde_json::Value| {
            let call = app.post(path).header("accept-language", "ko").json(&body);
            async move { call.await.json() }
        };
        let wrong = told("/api/v1/auth/login", json!({ "email": "a@example.com", "password": PASSWORD })).await;
        assert_eq!(wrong["detail"], "이메일 주소 또는 비밀번호가 올바르지 않습니다.");
        let body = json!({ "email": "a@example.com", "password": "password", "display_name": "Ada" });
        let common = told("/api/v1/auth/register", body).await;
        assert_eq!(common["errors"][0]["message"], "가장 먼저 추측되는 비밀번호 중 하나입니다. 다른 비밀번호를 선택하세요.");
        let body = json!({ "email": "a@example.com", "password": "x4Jv0cZ", "display_name": "Ada" });
        let short = told("/api/v1/auth/register", body).await;
        assert_eq!(short["errors"][0]["message"], "길이는 8~256자 사이여야 합니다.");
    }
}
