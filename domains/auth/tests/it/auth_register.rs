use std::sync::Arc;

use auth::Accounts;
use mainstay::kernel::{AccountDirectory, AccountRegistered};
use mainstay::prelude::*;
use serde_json::json;
use testkit::TestDatabase;

use crate::{PASSWORD, hash_count, setup};

const PATH: &str = "/api/v1/auth/register";

testkit::both! {
    async fn an_account_is_made_once_for_each_address(db: TestDatabase) {
        let app = setup().start(db).await;
        let body = json!({ "email": "Ada.Lovelace@Example.com", "password": PASSWORD, "display_name": "Ada" });
        let response = app.post(PATH).json(&body).await.expect(201);
        let account = response.json();
        let id = account["id"].as_str().unwrap();
        assert!(id.starts_with("usr_"));
        assert_eq!(response.header("location"), Some(format!("/api/v1/users/{id}").as_str()));
        assert_eq!(
            (&account["email"], &account["display_name"], &account["role"], &account["created_at"]),
            (&json!("Ada.Lovelace@Example.com"), &json!("Ada"), &json!("user"), &json!("2026-11-22T09:30:00Z"))
        );
        assert!(!response.text().contains("password") && !response.text().contains(PASSWORD));
        // RFC 5321 would let the case of a mailbox count; two accounts for one mailbox would be a trap.
        for email in ["Ada.Lovelace@Example.com", "ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM"] {
            let before = hash_count(&app);
            let body = json!({ "email": email, "password": PASSWORD, "display_name": "Other" });
            app.post(PATH).json(&body).await.expect_problem(409, "email_taken");
            assert_eq!(hash_count(&app), before + 1, "a taken address takes the work of a free one");
        }
    }

    async fn a_name_that_deceives_is_refused(db: TestDatabase) {
        let app = setup().start(db).await;
        let register = |name: &str| {
            app.post(PATH).json(&json!({ "email": "ada@example.com", "password": PASSWORD, "display_name": name }))
        };
        for (name, code) in [
            ("Ada\u{1b}", "control_character"),
            ("Ada\n", "line_break"),
            ("\u{2067}Ada", "direction_control"),
            ("\u{2800}", "invisible_character"),
            ("\u{a0}", "nothing_visible"),
        ] {
            register(name).await.expect_field_errors(&[("/display_name", code)]);
        }
        let account = register("  Ada\u{3000}\u{1100}\u{1161} ").await.expect(201).json();
        assert_eq!(account["display_name"], "Ada 가");
    }

    async fn every_fault_of_a_body_comes_back_at_once(db: TestDatabase) {
        let app = setup().start(db).await;
        app.post(PATH).json(&json!({})).await.expect_field_errors(&[
            ("/email", "required"), ("/password", "required"), ("/display_name", "required"),
        ]);
        let body = json!({ "email": 1, "password": [], "display_name": null, "role": "admin", "is_admin": true });
        app.post(PATH).json(&body).await.expect_field_errors(&[
            ("/email", "type"), ("/password", "type"), ("/display_name", "type"),
            ("/role", "unknown_field"), ("/is_admin", "unknown_field"),
        ]);
        let body = json!({ "email": "nobody", "password": "short", "display_name": "" });
        app.post(PATH).json(&body).await.expect_field_errors(&[
            ("/email", "email"), ("/password", "length"), ("/display_name", "length"),
        ]);
        let body = json!({ "email": " a@b.co", "password": "Password123", "display_name": "x".repeat(101) });
        app.post(PATH).json(&body).await.expect_field_errors(&[
            ("/email", "email"), ("/password", "common_password"), ("/display_name", "length"),
        ]);
        let body = json!({ "email": format!("{}@example.com", "a".repeat(250)), "password": PASSWORD, "display_name": "A\u{0}" });
        let response = app.post(PATH).json(&body).await.expect_problem(422, "invalid_request");
        assert!(response.errors().iter().any(|(p, c)| p == "/display_name" && c == "nul_character"), "{response}");
        assert!(response.errors().iter().any(|(p, _)| p == "/email"), "{response}");
        assert_eq!(hash_count(&app), 0, "what is refused is not hashed");
    }

    async fn a_password_is_refused_for_what_it_says_of_its_owner(db: TestDatabase) {
        let app = setup().start(db).await;
        for (password, refused) in [
            ("jo.doe@example.com", true), ("Jo.Doe!2026", true), ("Jo Doe the Third", true), ("mainstay2026", true),
            ("zzzzzzzzzzzzzzzz", true), ("한국어로 된 긴 비밀번호", false), ("  spaces count  ", false),
        ] {
            let body = json!({ "email": "jo.doe@example.com", "password": password, "display_name": "Jo Doe the Third" });
            let response = app.post(PATH).json(&body).await;
            if refused {
                response.expect_field_errors(&[("/password", "common_password")]);
            } else {
                assert!([201, 409].contains(&response.status), "{response}");
            }
        }
    }

    async fn the_least_length_is_a_setting_and_the_greatest_is_not_cut(db: TestDatabase) {
        let app = setup().set("auth.password_min_characters", 15).start(db).await;
        let body = |password: &str| json!({ "email": "a@example.com", "password": password, "display_name": "A" });
        app.post(PATH).json(&body("fourteen chars")).await.expect_field_errors(&[("/password", "length")]);
        let longest = "ab c".repeat(64);
        app.post(PATH).json(&body(&format!("{longest}x"))).await.expect_field_errors(&[("/password", "length")]);
        app.post(PATH).json(&body(&longest)).await.expect(201);
        let login = |password: &str| json!({ "email": "a@example.com", "password": password });
        app.post("/api/v1/auth/login").json(&login(&longest)).await.expect(200);
        app.post("/api/v1/auth/login").json(&login(&longest[..255])).await.expect_problem(401, "invalid_credentials");
    }

    async fn a_password_of_a_megabyte_is_refused_before_it_is_hashed(db: TestDatabase) {
        let app = setup().start(db).await;
        let before = hash_count(&app);
        let body = |size: usize| json!({ "email": "a@example.com", "password": "p".repeat(size), "display_name": "A" });
        let response = app.post(PATH).json(&body(15_000)).await.expect_problem(422, "invalid_request");
        assert!(response.bytes().len() < 2_000, "the password is not sent back");
        // No body that fits the schema is so long.
        app.post(PATH).json(&body(1_000_000)).await.expect_problem(413, "body_too_large");
        let login = |size: usize| json!({ "email": "a@example.com", "password": "p".repeat(size) });
        app.post("/api/v1/auth/login").json(&login(15_000)).await.expect_field_errors(&[("/password", "length")]);
        app.post("/api/v1/auth/login").json(&login(1_000_000)).await.expect_problem(413, "body_too_large");
        assert_eq!(hash_count(&app), before);
    }

    async fn registration_can_be_closed(db: TestDatabase) {
        let app = setup().set("auth.registration_open", false).start(db).await;
        let body = json!({ "email": "a@example.com", "password": PASSWORD, "display_name": "A" });
        let before = hash_count(&app);
        app.post(PATH).json(&body).await.expect_problem(403, "registration_closed");
        assert_eq!(hash_count(&app), before);
        let made = app.service::<Accounts>().create_admin(&app.ctx(), "root@example.com", &Secret::new(PASSWORD.into())).await;
        assert!(made.is_ok(), "{made:?}");
    }

    async fn an_account_and_what_others_make_of_it_come_together_or_not_at_all(db: TestDatabase) {
        let fails = |app: mainstay::App| app.on(|_, event: std::sync::Arc<AccountRegistered>| async move {
            if event.display_name == "Unlucky" { Err(StoreError::Busy) } else { Ok(()) }
        });
        let app = setup().app(fails).start(db).await;
        let body = |name: &str| json!({ "email": "a@example.com", "password": PASSWORD, "display_name": name });
        app.post(PATH).json(&body("Unlucky")).await.expect_problem(503, "store_busy");
        let login = json!({ "email": "a@example.com", "password": PASSWORD });
        app.post("/api/v1/auth/login").json(&login).await.expect_problem(401, "invalid_credentials");
        app.post(PATH).json(&body("Lucky")).await.expect(201);
    }

    async fn sent_again_with_its_key_it_is_the_same_account(db: TestDatabase) {
        let app = setup().start(db).await;
        let send = |name: &str, password: &str| {
            let body = json!({ "email": "a@example.com", "password": password, "display_name": name });
            app.post(PATH).header("idempotency-key", "4c6f").json(&body)
        };
        let first = send("A", PASSWORD).await.expect(201);
        let hashed = hash_count(&app);
        let again = send("A", PASSWORD).await.expect(201);
        assert_eq!((first.text(), again.header("idempotency-replayed")), (again.text(), Some("true")));
        assert_eq!(hash_count(&app), hashed, "what was answered before costs no hash");
        // Another body with the same key may come from anybody: it is a call of its own.
        send("A", "another password").await.expect_problem(409, "email_taken");
        let body = json!({ "email": "b@example.com", "password": PASSWORD, "display_name": "B" });
        app.post(PATH).header("idempotency-key", "4c6f").json(&body).await.expect(201);
        app.post(PATH).json(&json!({ "email": "a@example.com", "password": PASSWORD, "display_name": "A" }))
            .await
            .expect_problem(409, "email_taken");
    }

    async fn what_was_answered_to_a_registration_goes_with_the_account(db: TestDatabase) {
        let app = setup().start(db).await;
        let body = json!({ "email": "a@example.com", "password": PASSWORD, "display_name": "A" });
        let send = || app.post(PATH).header("idempotency-key", "4c6f").json(&body).send();
        let first = send().await.expect(201);
        let directory = app.service::<Arc<dyn AccountDirectory>>();
        assert!(directory.delete(&app.ctx(), first.json()["id"].as_str().unwrap().parse().unwrap()).await.unwrap());
        let ctx = app.ctx();
        let kept: Option<(i64,)> = app.store().read(&ctx).row("SELECT count(*) FROM idempotency_keys", &[]).await.unwrap();
        assert_eq!(kept, Some((0,)), "address and name went with the account");
        let again = send().await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), None);
        assert_ne!(again.json()["id"], first.json()["id"]);
    }

    async fn of_many_registrations_with_one_key_on_two_nodes_none_is_told_of_its_twin(db: TestDatabase) {
        let app = setup().set("auth.hash_queue", 100).start(db).await;
        let nodes = [app.clone(), app.second_node().await];
        let calls = (0..30).map(|i| {
            let body = json!({ "email": "race@example.com", "password": PASSWORD, "display_name": "R" });
            tokio::spawn(nodes[i % 2].post(PATH).header("idempotency-key", "4c6f").json(&body).send())
        });
        let mut made = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            let response = call.await.unwrap();
            match response.status() {
                201 => made.push(response),
                _ => drop(response.expect_problem(409, "idempotency_key_in_use")),
            }
        }
        assert_eq!(made.iter().filter(|response| response.header("idempotency-replayed").is_none()).count(), 1);
        assert!(made.iter().all(|response| response.text() == made[0].text()));
    }

    async fn of_many_registrations_of_one_address_one_wins(db: TestDatabase) {
        let app = setup().set("auth.hash_queue", 100).start(db).await;
        let calls = (0..12).map(|i| {
            let body = json!({ "email": "race@example.com", "password": PASSWORD, "display_name": format!("R{i}") });
            tokio::spawn(app.post(PATH).json(&body).send())
        });
        let mut statuses = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            statuses.push(call.await.unwrap().status);
        }
        statuses.sort_unstable();
        let mut expected = vec![409; 12];
        expected[0] = 201;
        assert_eq!(statuses, expected);
    }
}
