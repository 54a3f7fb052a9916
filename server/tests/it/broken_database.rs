//! The database locked, full, or damaged, as a caller and an operator meet it. What the store does in each case is told
//! in its own tests; here it is about the answers.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Folder, Server, mainstay, say};

const ADA: &str = "ada@example.com";

fn signed_in(server: &Server) -> String {
    server.register(ADA);
    server.log_in(ADA)["access_token"].as_str().unwrap().to_owned()
}

fn total(server: &Server, token: &str) -> i64 {
    let answer = server.get("/api/v1/posts?total=true", token);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["total"].as_i64().unwrap()
}

fn post(title: &str, body: &str) -> Value {
    json!({ "title": title, "body": body, "published": true })
}

/// Another process holds the write lock: reads go on, writes are refused in time and leave nothing, and once the lock is
/// gone writes go on by themselves.
#[test]
fn locked_by_another_process() {
    let folder = Folder::new();
    let server = Server::run(mainstay(&folder).env("MAINSTAY_SERVER__REQUEST_TIMEOUT_MS", "1500").args([
        "serve",
        "--listen",
        "127.0.0.1:0",
    ]));
    let token = signed_in(&server);
    assert_eq!(server.post("/api/v1/posts", &token, &post("before", "")).status, 201);

    let thief = rusqlite::Connection::open(folder.path().join("data/mainstay.db")).unwrap();
    thief.busy_timeout(Duration::from_secs(10)).unwrap();
    thief.execute_batch("begin immediate").unwrap();
    let started = Instant::now();
    let refused = server.post("/api/v1/posts", &token, &post("while locked", ""));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(["store_busy", "store_timeout"].contains(&refused.json()["code"].as_str().unwrap()), "{refused:?}");
    assert!(refused.head.to_lowercase().contains("retry-after:"), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(30), "the wait has a bound");
    assert_eq!(total(&server, &token), 1, "reads go on");
    thief.execute_batch("rollback").unwrap();

    let until = Instant::now() + Duration::from_secs(30);
    while server.post("/api/v1/posts", &token, &post("after", "")).status != 201 {
        assert!(Instant::now() < until, "writes do not come back");
    }
    let list = server.get("/api/v1/posts?fields=title", &token).json();
    assert_eq!(list["items"], json!([{ "title": "after" }, { "title": "before" }]), "nothing half-written");
}

/// The disk is full: writes answer 507, what was acknowledged is there, reads go on, and a restart finds a sound file.
#[test]
fn full() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    // A file system of two megabytes, in a mount namespace that goes with the process.
    let script = "mount -t tmpfs -o size=2m,mode=700 tmpfs data && exec \"$0\" serve --listen 127.0.0.1:0";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_mainstay")]);
    let server = Server::run(command.current_dir(folder.path()));
    let token = signed_in(&server);
    let mut acknowledged = 0;
    let refused = loop {
        let answer = server.post("/api/v1/posts", &token, &post("fills", &"x".repeat(50_000)));
        if answer.status != 201 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 100, "two megabytes hold fewer than a hundred of these");
    };
    assert_eq!((refused.status, refused.json()["code"].as_str()), (507, Some("storage_full")), "{refused:?}");
    assert!(acknowledged > 0);
    assert_eq!(total(&server, &token), acknowledged, "all that was acknowledged, and nothing else");
    assert_eq!(server.get("/health/live", "").status, 200);
    let again = server.post("/api/v1/posts", &token, &post("fills", &"x".repeat(50_000)));
    assert_eq!(again.status, 507, "{again:?}");
}

/// The file is taken away under the server: nothing is acknowledged that nobody would find, readiness says no, the log
/// says what to do, and with the file back everything goes on.
#[test]
fn removed_while_it_is_served() {
    let folder = Folder::new();
    let mut server = Server::run(mainstay(&folder).args(["serve", "--listen", "127.0.0.1:0"]));
    let token = signed_in(&server);
    assert_eq!(server.post("/api/v1/posts", &token, &post("before", "")).status, 201);
    let (file, away) = (folder.path().join("data/mainstay.db"), folder.path().join("away.db"));
    std::fs::rename(&file, &away).unwrap();
    let refused = server.post("/api/v1/posts", &token, &post("into nothing", ""));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("store_unavailable")), "{refused:?}");
    let ready = server.get("/health/ready", "");
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("not_ready")), "{ready:?}");
    server.wait_for("was removed or replaced");
    server.wait_for("restore a backup");
    std::fs::rename(&away, &file).unwrap();
    assert_eq!(server.post("/api/v1/posts", &token, &post("after", "")).status, 201);
    assert_eq!(server.get("/health/ready", "").status, 200);
    assert_eq!(total(&server, &token), 2);
}

/// A file that is no database, and one that is damaged: the start says so, and what to do, and changes nothing.
#[test]
fn damaged_before_the_start() {
    let folder = Folder::new();
    let server = Server::run(mainstay(&folder).args(["serve", "--listen", "127.0.0.1:0"]));
    server.kill();
    let file = folder.path().join("data/mainstay.db");
    for name in ["mainstay.db-wal", "mainstay.db-shm"] {
        // The state of a clean stop is not needed: only that the file alone is what is judged.
        let _ = std::fs::remove_file(folder.path().join("data").join(name));
    }
    std::fs::write(&file, "This is a letter, and not a database. ".repeat(200)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let said = say(&folder, ["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("not an SQLite database"), "{}", said.err);
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
