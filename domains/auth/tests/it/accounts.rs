use std::sync::Arc;

use auth::{Accounts, AdminError};
use mainstay::kernel::{AccountDeleted, AccountDirectory};
use mainstay::prelude::*;
use serde_json::json;
use testkit::TestDatabase;

use crate::{PASSWORD, hash_count, setup};

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

testkit::both! {
    async fn an_account_goes_with_its_sessions(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let laptop = ada.sign_in().await;
        let second = app.second_node().await;
        // Both nodes remember them as good.
        for caller in [&ada, &laptop, &laptop.on(&second)] {
            caller.get("/api/v1/who").await.expect(200);
        }
        let directory = app.service::<Arc<dyn AccountDirectory>>();
        let id: UserId = ada.id().parse().unwrap();
        assert!(directory.delete(&app.ctx(), id).await.unwrap());
        for caller in [&ada, &laptop] {
            caller.get("/api/v1/who").await.expect_problem(401, "invalid_token");
            let body = json!({ "refresh_token": caller.refresh_token() });
            app.post("/api/v1/auth/refresh").json(&body).await.expect_problem(401, "invalid_refresh_token");
        }
        let login = json!({ "email": ada.email(), "password": ada.password() });
        let before = hash_count(&app);
        app.post("/api/v1/auth/login").json(&login).await.expect_problem(401, "invalid_credentials");
        assert_eq!(hash_count(&app), before + 1, "as for an address that never was");
        app.clock().advance(std::time::Duration::from_secs(2));
        laptop.on(&second).get("/api/v1/who").await.expect_problem(401, "invalid_token");
        bob.get("/api/v1/who").await.expect(200);
        assert!(!directory.delete(&app.ctx(), id).await.unwrap(), "it is gone already");
        app.user("Ada").await;
    }

    async fn an_account_stays_when_somebody_cannot_let_go_of_it(db: TestDatabase) {
        let keep = |app: mainstay::App| app.on(|_, _: Arc<AccountDeleted>| async { Err(StoreError::Busy) });
        let app = setup().app(keep).start(db).await;
        let ada = app.user("Ada").await;
        ada.get("/api/v1/who").await.expect(200);
        let directory = app.service::<Arc<dyn AccountDirectory>>();
        let error = directory.delete(&app.ctx(), ada.id().parse().unwrap()).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        ada.get("/api/v1/who").await.expect(200);
        ada.sign_in().await;
    }

    async fn the_directory_finds_those_that_are_there(db: TestDatabase) {
        let app = setup().start(db).await;
        let (ada, bob) = (app.user("Ada").await, app.admin().await);
        let directory = app.service::<Arc<dyn AccountDirectory>>();
        let (ctx, parse) = (app.ctx(), |id: String| id.parse::<UserId>().unwrap());
        let ids = vec![parse(bob.id()), ctx.new_id(), parse(ada.id()), parse(ada.id())];
        let mut found = directory.find(&ctx, ids).await.unwrap();
        found.sort_by_key(|account| account.email.clone());
        let told: Vec<_> = found.iter().map(|a| (a.id.to_string(), a.email.as_str(), a.role, a.created_at)).collect();
        let now = app.clock().now();
        assert_eq!(told, [
            (ada.id(), "ada@example.com", Role::User, now), (bob.id(), "admin@example.com", Role::Admin, now),
        ]);
        assert!(directory.find(&ctx, vec![]).await.unwrap().is_empty());
    }

    async fn an_administrator_is_made_where_the_address_is_free(db: TestDatabase) {
        let app = setup().start(db).await;
        let (accounts, ctx) = (app.service::<Accounts>(), app.ctx());
        let root = accounts.create_admin(&ctx, "Root@example.com", &secret(PASSWORD)).await.unwrap();
        let login = json!({ "email": "root@example.com", "password": PASSWORD });
        let tokens = app.post("/api/v1/auth/login").json(&login).await.expect(200).json();
        let who = app.get("/api/v1/who").bearer(tokens["access_token"].as_str().unwrap()).await.expect(200).json();
        assert_eq!(who, json!({ "user_id": root, "role": "admin" }));

        // What a stranger could have registered is not taken over, and nothing of it changes.
        let ada = app.user("Ada").await;
        for email in ["ADA@example.com", "root@example.com"] {
            let refused = accounts.create_admin(&ctx, email, &secret("another long password")).await.unwrap_err();
            assert!(matches!(refused, AdminError::AlreadyRegistered), "{refused:?}");
            assert!(refused.to_string().contains("`--promote`"), "{refused}");
        }
        assert_eq!(ada.get("/api/v1/who").await.expect(200).json()["role"], "user");
        ada.sign_in().await;

        for (email, password, expected) in [
            ("nobody", "password123", &[("/email", "email"), ("/password", "common_password")][..]),
            ("nobody@example.com", "short", &[("/password", "length")]),
            // The same rule as for a body.
            ("nobody@example.com", "seven green\0 lanterns", &[("/password", "nul_character")]),
        ] {
            let refused = accounts.create_admin(&ctx, email, &secret(password)).await.unwrap_err();
            assert_eq!(kernel_fields(&refused), expected);
            let refused = accounts.promote(&ctx, email, &secret(password)).await.unwrap_err();
            assert_eq!(kernel_fields(&refused), expected);
        }
    }

    async fn an_account_is_promoted_with_a_password_of_its_own_and_without_its_sessions(db: TestDatabase) {
        let app = setup().start(db).await;
        let (accounts, ctx) = (app.service::<Accounts>(), app.ctx());
        let second = app.second_node().await;
        let (stranger, bob) = (app.user("Ada").await, app.user("Bob").await);
        for caller in [&stranger, &stranger.on(&second), &bob] {
            caller.get("/api/v1/who").await.expect(200);
        }
        let id = accounts.promote(&ctx, "ADA@example.com", &secret("another long password")).await.unwrap();
        assert_eq!(id.to_string(), stranger.id());
        stranger.get("/api/v1/who").await.expect_problem(401, "invalid_token");
        let body = json!({ "refresh_token": stranger.refresh_token() });
        app.post("/api/v1/auth/refresh").json(&body).await.expect_problem(401, "invalid_refresh_token");
        app.clock().advance(std::time::Duration::from_secs(2));
        stranger.on(&second).get("/api/v1/who").await.expect_problem(401, "invalid_token");
        let login = |password: &str| app.post("/api/v1/auth/login").json(&json!({ "email": "ada@example.com", "password": password }));
        login(stranger.password()).await.expect_problem(401, "invalid_credentials");
        let tokens = login("another long password").await.expect(200).json();
        let who = app.get("/api/v1/who").bearer(tokens["access_token"].as_str().unwrap()).await.expect(200).json();
        assert_eq!(who, json!({ "user_id": id, "role": "admin" }));
        bob.get("/api/v1/who").await.expect(200);
        let nobody = accounts.promote(&ctx, "nobody@example.com", &secret("another long password")).await;
        assert!(matches!(nobody, Err(AdminError::AccountNotFound)), "{nobody:?}");
    }

    async fn of_a_stranger_and_an_administrator_at_the_same_moment_one_has_the_address(db: TestDatabase) {
        let app = setup().start(db).await;
        for n in 0..4 {
            let (accounts, ctx, email) = (app.service::<Accounts>(), app.ctx(), format!("root{n}@example.com"));
            let body = json!({ "email": email, "password": "a stranger's password", "display_name": "Mallory" });
            let stranger = tokio::spawn(app.post("/api/v1/auth/register").json(&body).send());
            let made = accounts.create_admin(&ctx, &email, &secret(PASSWORD)).await;
            let registered = stranger.await.unwrap();
            match made {
                Ok(_) => drop(registered.expect_problem(409, "email_taken")),
                Err(error) => {
                    assert!(matches!(error, AdminError::AlreadyRegistered), "{error:?}");
                    assert_eq!(registered.expect(201).json()["role"], "user");
                }
            }
        }
    }
}

fn kernel_fields(error: &AdminError) -> Vec<(&str, &str)> {
    use mainstay::kernel::ApiError as _;
    error.fields().iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
}
