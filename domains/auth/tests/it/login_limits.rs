//! How often somebody may guess passwords, and which callers this does not keep out.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay::store::Reads;
use serde_json::json;
use testkit::{App, Caller, RedisServer, Response, Setup, TestDatabase};

use crate::{PASSWORD, hash_count, setup};

const PATH: &str = "/api/v1/auth/login";
const HOME: &str = "192.0.2.1";
const WRONG: &str = "another long password";

/// With these limits, beside those that are not named.
fn limited(policies: &str) -> Setup {
    setup().set("limits.enabled", true).set("limits.policies", policies)
}

fn peer(from: &str) -> SocketAddr {
    SocketAddr::new(from.parse().unwrap(), 40_000)
}

async fn login(app: &App, email: &str, password: &str, from: &str) -> Response {
    app.post(PATH).json(&json!({ "email": email, "password": password })).from(peer(from)).await
}

async fn guess(app: &App, email: &str, from: &str) {
    login(app, email, WRONG, from).await.expect_problem(401, "invalid_credentials");
}

async fn refuse(app: &App, email: &str, password: &str, from: &str) -> Response {
    let before = hash_count(app);
    let response = login(app, email, password, from).await.expect_problem(429, "rate_limited");
    assert_eq!(hash_count(app), before, "nothing is checked");
    response
}

/// Uses up what all strangers together may guess at an account, each from a place of their own.
async fn besiege(app: &App, ada: &Caller, guesses: u8) {
    for n in 0..guesses {
        guess(app, ada.email(), &format!("203.0.113.{n}")).await;
    }
    refuse(app, ada.email(), PASSWORD, "203.0.113.99").await;
}

testkit::both! {
    async fn right_passwords_are_not_counted(db: TestDatabase) {
        let app = limited("login: 3/10m by address,account: 3/10m by subject").start(db).await;
        let ada = app.user("Ada").await;
        for _ in 0..10 {
            login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        }
        for _ in 0..3 {
            guess(&app, ada.email(), HOME).await;
        }
        let response = refuse(&app, ada.email(), PASSWORD, HOME).await;
        assert_eq!(response.header("retry-after"), Some("200"));
        app.clock().advance(Duration::from_secs(200));
        for _ in 0..2 {
            login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        }
        // A body that cannot be a password is no guess.
        for _ in 0..5 {
            login(&app, ada.email(), &"x".repeat(257), HOME).await.expect(422);
        }
        guess(&app, ada.email(), HOME).await;
        refuse(&app, ada.email(), WRONG, HOME).await;
    }

    async fn who_tries_one_password_on_many_accounts_is_held_back(db: TestDatabase) {
        let app = limited("user: off").start(db).await;
        let ada = app.user("Ada").await;
        login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        for n in 0..60 {
            // One IPv6 customer is one address.
            guess(&app, &format!("person-{n}@example.com"), &format!("2001:db8::{n:x}")).await;
        }
        for n in 60..80 {
            refuse(&app, &format!("person-{n}@example.com"), WRONG, &format!("2001:db8::{n:x}")).await;
        }
        // Everybody else goes on.
        login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        login(&app, ada.email(), PASSWORD, "2001:db8:0:1::1").await.expect(200);
    }

    async fn of_guesses_at_once_no_more_are_checked_than_are_left(db: TestDatabase) {
        let app = limited("login: 5/1d by address,account: 7/1d by subject").start(db).await;
        let ada = app.user("Ada").await;
        let at_once = async |from: &dyn Fn(usize) -> String| {
            let before = hash_count(&app);
            let body = json!({ "email": ada.email(), "password": WRONG });
            let calls = (0..40).map(|n| tokio::spawn(app.post(PATH).json(&body).from(peer(&from(n))).send()));
            let mut checked = 0;
            for call in calls.collect::<Vec<_>>() {
                let response = call.await.unwrap();
                match response.status {
                    401 => checked += 1,
                    429 | 503 => {}
                    other => panic!("{other}: {response}"),
                }
            }
            assert_eq!(hash_count(&app) - before, checked);
            checked
        };
        assert_eq!(at_once(&|_| HOME.to_owned()).await, 5);
        // From an address each, what is left of the account's seven.
        assert_eq!(at_once(&|n| format!("203.0.113.{n}")).await, 2);
    }

    async fn strangers_do_not_lock_an_owner_out_of_home(db: TestDatabase) {
        let app = limited("account: 4/1d by subject").start(db).await;
        let ada = app.user("Ada").await;
        login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        besiege(&app, &ada, 4).await;
        // At home she is counted by herself, and like anybody: nothing tells a stranger there that she has an account.
        login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        for _ in 0..4 {
            guess(&app, ada.email(), HOME).await;
        }
        let at_home = refuse(&app, ada.email(), PASSWORD, HOME).await.json();
        let elsewhere = refuse(&app, ada.email(), PASSWORD, "203.0.113.98").await.json();
        assert_eq!(at_home["detail"], elsewhere["detail"]);
        // The whole network is her home where it is IPv6.
        let bob = app.user("Bob").await;
        login(&app, bob.email(), PASSWORD, "2001:db8::1").await.expect(200);
        besiege(&app, &bob, 4).await;
        login(&app, bob.email(), PASSWORD, "2001:db8::2").await.expect(200);
        refuse(&app, bob.email(), PASSWORD, "2001:db8:0:1::1").await;
        // And nobody else's.
        refuse(&app, bob.email(), PASSWORD, HOME).await;
    }

    async fn where_an_account_was_registered_it_is_at_home_until_somebody_takes_it_over(db: TestDatabase) {
        let app = limited("account: 2/1d by subject").start(db).await;
        let body = json!({ "email": "eve@example.com", "password": PASSWORD, "display_name": "Eve" });
        app.post("/api/v1/auth/register").json(&body).from(peer(HOME)).await.expect(201);
        for n in 0..2 {
            guess(&app, "eve@example.com", &format!("203.0.113.{n}")).await;
        }
        refuse(&app, "eve@example.com", PASSWORD, "203.0.113.99").await;
        login(&app, "eve@example.com", PASSWORD, HOME).await.expect(200);
        let secret = mainstay::kernel::Secret::new(WRONG.to_owned());
        app.service::<auth::Accounts>().promote(&app.ctx(), "eve@example.com", &secret).await.unwrap();
        refuse(&app, "eve@example.com", WRONG, HOME).await;
    }

    async fn where_a_session_is_used_an_owner_is_at_home_and_stays_so(db: TestDatabase) {
        let app = limited("account: 2/1d by subject").start(db).await;
        let ada = app.user("Ada").await;
        let cafe = "198.51.100.7";
        let body = json!({ "refresh_token": ada.refresh_token() });
        let tokens = app.post("/api/v1/auth/refresh").json(&body).from(peer(cafe)).await.expect(200).json();
        app.post("/api/v1/auth/logout").bearer(tokens["access_token"].as_str().unwrap()).await.expect(204);
        // She signed out, and in again from elsewhere.
        login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
        besiege(&app, &ada, 2).await;
        for from in [cafe, HOME] {
            login(&app, ada.email(), PASSWORD, from).await.expect(200);
        }
        // No address can be read from what is kept of it.
        let ctx = app.ctx();
        let rows: Vec<(Option<Vec<u8>>,)> =
            app.store().read(&ctx).rows("SELECT network FROM sessions", &[]).await.unwrap();
        assert!(rows.iter().all(|(network,)| network.as_ref().is_some_and(|n| n.len() == 16)));
        // What was used twice was in other hands: where it was used last is no home.
        let thief = "198.51.100.66";
        let stolen = app.user("Bob").await;
        let use_it = |token: String, from: &'static str| {
            app.post("/api/v1/auth/refresh").json(&json!({ "refresh_token": token })).from(peer(from)).send()
        };
        use_it(stolen.refresh_token().to_owned(), thief).await.expect(200);
        app.clock().advance(Duration::from_secs(10));
        use_it(stolen.refresh_token().to_owned(), HOME).await.expect_problem(401, "invalid_refresh_token");
        besiege(&app, &stolen, 2).await;
        refuse(&app, stolen.email(), PASSWORD, thief).await;
    }

    async fn a_password_that_could_not_be_checked_is_no_guess(db: TestDatabase) {
        let app = limited("login: 2/1d by address").set("auth.hash_permits", 1).set("auth.hash_queue", 0).start(db).await;
        let ada = app.user("Ada").await;
        let body = json!({ "email": ada.email(), "password": PASSWORD });
        let calls: Vec<_> =
            (0..30).map(|_| tokio::spawn(app.post(PATH).json(&body).from(peer(HOME)).send())).collect();
        for call in calls {
            let response = call.await.unwrap();
            if response.status != 200 {
                response.expect_problem(503, "busy");
            }
        }
        login(&app, ada.email(), PASSWORD, HOME).await.expect(200);
    }

    async fn nodes_that_share_a_redis_count_guesses_together(db: TestDatabase) {
        let redis = RedisServer::start().unwrap();
        let app = limited("login: 5/1d by address").set("cache.url", redis.url()).start(db).await;
        let second = app.second_node().await;
        let ada = app.user("Ada").await;
        for n in 0..20 {
            login(if n % 2 == 0 { &app } else { &second }, ada.email(), PASSWORD, HOME).await.expect(200);
        }
        let before = hash_count(&app) + hash_count(&second);
        let body = json!({ "email": ada.email(), "password": WRONG });
        let call = |n: usize| if n.is_multiple_of(2) { app.post(PATH) } else { second.post(PATH) };
        let calls: Vec<_> = (0..24).map(|n| tokio::spawn(call(n).json(&body).from(peer(HOME)).send())).collect();
        let mut checked = 0;
        for call in calls {
            let response = call.await.unwrap();
            match response.status {
                401 => checked += 1,
                _ => drop(response.expect_problem(429, "rate_limited")),
            }
        }
        assert_eq!((checked, hash_count(&app) + hash_count(&second) - before), (5, 5));
    }
}
