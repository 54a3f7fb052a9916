//! From SQLite to PostgreSQL, as an operator does it.

use nix::sys::signal::Signal;
use serde_json::json;
use testkit::{Backend, TestDatabase};

use crate::process::{Folder, Server, mainstay, run};

#[test]
fn a_product_moves_with_its_accounts_sessions_and_keys() {
    testkit::run(async {
        let folder = Folder::new();
        let (old, new) = (TestDatabase::fresh(Backend::Sqlite).await, TestDatabase::fresh(Backend::Postgres).await);
        let server = Server::start(&folder, &old, &[]);
        server.register("ada@example.com");
        let tokens = server.log_in("ada@example.com");
        let token = tokens["access_token"].as_str().unwrap();
        for n in 0..30 {
            let post = json!({ "title": format!("Post {n}"), "body": "Carried over.", "published": n % 2 == 0 });
            assert_eq!(server.post("/api/v1/posts", token, &post).status, 201);
        }
        let before = server.get("/api/v1/posts?limit=100&sort=id", token).json();
        server.signal(Signal::SIGTERM);
        server.end();

        // The server is the one of the settings, so that its password stands in no list of processes.
        let copy = |words: &[&str]| {
            let mut command = mainstay(&folder);
            command.args(["db", "copy", "--from", old.url()]).args(words).env("MAINSTAY_DATABASE__URL", new.url());
            run(&mut command, "")
        };
        let said = copy(&[]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(
            said.out.contains("all were read again on both sides") && said.out.contains("secret_key"),
            "{}",
            said.out
        );
        assert!(said.err.contains("copied    posts.posts: 30 of 30 rows"), "{}", said.err);
        assert!(said.err.contains("verified  auth.accounts: 1 of 1 rows"), "{}", said.err);
        let again = copy(&["--to", new.url()]);
        assert_eq!(again.code, Some(1));
        assert!(again.err.contains("has rows already"), "{}", again.err);

        let server = Server::start(&folder, &new, &[]);
        // What was issued before is good still, and the password too.
        assert_eq!(server.get("/api/v1/posts?limit=100&sort=id", token).json(), before);
        let refreshed = server.post("/api/v1/auth/refresh", "", &json!({ "refresh_token": tokens["refresh_token"] }));
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        server.log_in("ada@example.com");
        let post = json!({ "title": "One more", "body": "Written on the new one.", "published": true });
        assert_eq!(server.post("/api/v1/posts", token, &post).status, 201);
    });
}

#[test]
fn a_copy_says_what_it_lacks() {
    let folder = Folder::new();
    let said = run(mainstay(&folder).args(["db", "copy", "--from", "sqlite://data/x.db"]), "");
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("--to postgres://"), "{}", said.err);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    let said = run(mainstay(&folder).args(["db", "copy"]), "");
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--from"), "{}", said.err);
}
