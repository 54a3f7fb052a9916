use std::sync::Arc;

use auth::{Accounts, AdminCreated, AdminError};
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

    async fn an_administrator_is_made_or_promoted(db: TestDatabase) {
        let app = setup().start(db).await;
        let accounts = app.service::<Accounts>();
        let ctx = app.ctx();
        let made = accounts.create_admin(&ctx, "Root@example.com", &secret(PASSWORD)).await.unwrap();
        let AdminCreated::Created(root) = made else { panic!("{made:?}") };
        let again = accounts.create_admin(&ctx, "root@example.com", &secret("another long password")).await.unwrap();
        assert_eq!(again, AdminCreated::Promoted(root));
        let login = json!({ "email": "root@example.com", "password": PASSWORD });
        let tokens = app.post("/api/v1/auth/login").json(&login).await.expect(200).json();
        let who = app.get("/api/v1/who").bearer(tokens["access_token"].as_str().unwrap()).await.expect(200).json();
        assert_eq!(who, json!({ "user_id": root, "role": "admin" }));

        let ada = app.user("Ada").await;
        assert_eq!(ada.get("/api/v1/who").await.expect(200).json()["role"], "user");
        assert_eq!(accounts.promote(&ctx, "ADA@example.com").await.unwrap().to_string(), ada.id());
        // The role is read from the account, not from the token.
        assert_eq!(ada.get("/api/v1/who").await.expect(200).json()["role"], "admin");

        assert!(matches!(accounts.promote(&ctx, "nobody@example.com").await, Err(AdminError::AccountNotFound)));
        let refused = accounts.create_admin(&ctx, "nobody", &secret("password123")).await.unwrap_err();
        let fields: Vec<_> = kernel_fields(&refused);
        assert_eq!(fields, [("/email", "email"), ("/password", "common_password")]);
    }
}

fn kernel_fields(error: &AdminError) -> Vec<(&str, &str)> {
    use mainstay::kernel::ApiError as _;
    error.fields().iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
}
