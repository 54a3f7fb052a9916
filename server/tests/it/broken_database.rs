//! The database locked, full, or damaged, as a caller and an operator meet it. The store's own tests show what it does
//! in each case; these are about the answers.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Backend, TestDatabase};

use crate::process::{Folder, Server, mainstay};

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

/// The disk is full: writes answer 507, what was acknowledged is there, reads go on, and readiness says no until somebody
/// has made room.
#[test]
fn full() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    // A file system of two megabytes, in a mount namespace that goes with the process.
    let script = "mount -t tmpfs -o size=2m,mode=700 tmpfs data && head -c 300000 /dev/zero > data/others && \
        exec \"$0\" serve --listen 127.0.0.1:0";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_mainstay")]);
    let mut server = Server::run(command.current_dir(folder.path()));
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
    let ready = server.get("/health/ready", "");
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("not_ready")), "{ready:?}");
    server.wait_for("the database's disk is full: make room");

    // Seen from outside of its mount namespace.
    let others = format!("/proc/{}/root{}/data/others", server.id(), folder.path().display());
    std::fs::remove_file(others).unwrap();
    server.wait_until_ready();
    assert_eq!(server.post("/api/v1/posts", &token, &post("after", "")).status, 201);
}

/// Pages of the file are damaged while it is served, or were before: what cannot be read is answered 503 and not 500, what can
/// be is answered, and readiness says no.
#[test]
fn damaged_in_the_middle() {
    let folder = Folder::new();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let server = Server::run(mainstay(&folder).args(serve));
    let token = signed_in(&server);
    for _ in 0..60 {
        assert_eq!(server.post("/api/v1/posts", &token, &post("a", &"words ".repeat(2_000))).status, 201);
    }
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.end().0.success());
    // The pages of the posts, and nothing else of the file.
    let file = folder.path().join("data/mainstay.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let is_of_a_post = |page: &[u8]| page.windows(12).any(|part| part == b"words words ");
    let mut damaged = 0;
    for page in bytes.chunks_mut(4096).skip(1).filter(|page| is_of_a_post(page)) {
        page.fill(0xff);
        damaged += 1;
    }
    assert!(damaged > 60, "{damaged}");
    std::fs::write(&file, bytes).unwrap();

    let mut server = Server::run(mainstay(&folder).args(serve));
    assert_eq!(server.get("/health/ready", "").status, 200, "nobody has met the damage");
    let list = server.get("/api/v1/posts", &token);
    assert_eq!((list.status, list.json()["code"].as_str()), (503, Some("store_corrupt")), "{list:?}");
    assert!(list.head.to_lowercase().contains("retry-after: 60"), "{list:?}");
    server.wait_for("the database is damaged: keep a copy");
    assert_eq!(server.get("/api/v1/users/me", &token).status, 200, "what is whole is answered");
    for _ in 0..3 {
        let ready = server.get("/health/ready", "");
        assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("not_ready")), "{ready:?}");
    }
}

/// An operator makes a server's database read-only: writes get that error, readiness says no, and both end without help.
#[test]
fn made_read_only() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let folder = Folder::new();
        let mut server = Server::start(&folder, &db, &[]);
        let token = signed_in(&server);
        let name = db.url().rsplit('/').next().unwrap();
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
        db.change_on_server(&set).await;
        server.wait_for("the database takes no writes");
        let refused = server.post("/api/v1/posts", &token, &post("now", ""));
        assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("store_read_only")), "{refused:?}");
        assert!(refused.head.to_lowercase().contains("retry-after:"), "{refused:?}");
        assert_eq!(total(&server, &token), 0, "reads go on");
        assert_eq!(server.get("/health/ready", "").status, 503);
        let reset = format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT");
        db.change_on_server(&reset).await;
        server.wait_until_ready();
        assert_eq!(server.post("/api/v1/posts", &token, &post("after", "")).status, 201);
    });
}

/// A process that was stopped for longer than its timeout for a silent client reads what came meanwhile before it judges
/// any client.
#[test]
fn stopped_for_a_while() {
    let folder = Folder::new();
    let mut command = mainstay(&folder);
    command.env("MAINSTAY_SERVER__HEADER_TIMEOUT_MS", "1000").env("MAINSTAY_LIMITS__ENABLED", "false");
    let server = Server::run(command.args(["serve", "--listen", "127.0.0.1:0"]));
    let ask =
        |stream: &mut std::net::TcpStream| stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let hear = |stream: &mut std::net::TcpStream| {
        let mut start = [0; 12];
        stream.read_exact(&mut start).map(|()| assert_eq!(&start, b"HTTP/1.1 200"))
    };
    let mut streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut streams {
        ask(stream);
        hear(stream).unwrap();
    }
    server.signal(nix::sys::signal::Signal::SIGSTOP);
    // Half are asked at once, half when it would long have closed them.
    let (early, late) = streams.split_at_mut(25);
    early.iter_mut().for_each(ask);
    std::thread::sleep(Duration::from_millis(3000));
    late.iter_mut().for_each(ask);
    server.signal(nix::sys::signal::Signal::SIGCONT);
    let is_cut = |stream: &mut std::net::TcpStream| {
        // The first answer's end, and the second's beginning.
        let (mut rest, mut bytes) = (Vec::new(), [0; 1024]);
        while !rest.windows(12).any(|part| part == b"HTTP/1.1 200") {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return true,
                Ok(count) => rest.extend_from_slice(&bytes[..count]),
            }
        }
        false
    };
    let cut = streams.iter_mut().map(|stream| usize::from(is_cut(stream))).sum::<usize>();
    assert_eq!(cut, 0, "asked, and never answered");
}
