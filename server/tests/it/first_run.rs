use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use testkit::{TestDatabase, both};

use crate::process::{Folder, Server, mainstay, say};

/// Where the metrics are.
fn operations(output: &str) -> String {
    let line = output.lines().find_map(|line| line.trim().strip_prefix("Metrics")).unwrap();
    line.trim().strip_suffix("/metrics").unwrap().to_owned()
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// With nothing there and nothing said but the port, which would else be the same for every test.
#[test]
fn a_first_run_needs_nothing() {
    let folder = Folder::new();
    let server = Server::run(mainstay(&folder).env("MAINSTAY_SERVER__LISTEN", "127.0.0.1:0"));
    let here = format!("http://{}", server.address);
    let data = std::fs::canonicalize(folder.path()).unwrap().join("data");
    let banner = server
        .output
        .replace(&here, "http://[address]")
        .replace(&operations(&server.output), "http://[operations]")
        .replace(data.to_str().unwrap(), "[data]")
        .replace(folder.path().join("data").to_str().unwrap(), "[data]")
        .replace(env!("CARGO_PKG_VERSION"), "[version]")
        .replace(env!("CARGO_BIN_EXE_mainstay"), "mainstay");
    let applied = banner.lines().find(|line| line.contains("Migrated")).unwrap();
    assert!(applied.ends_with(" steps applied"), "{applied}");
    insta::assert_snapshot!(banner.replace(applied, "  Migrated   [count] steps applied"), @r"
    Mainstay [version], development mode, for this machine alone

      API        http://[address]/api/v1
      Docs       http://[address]/docs
      Document   http://[address]/openapi.json
      Health     http://[address]/health/ready
      Metrics    http://[operations]/metrics
      Data       [data]/mainstay.db
      Migrated   [count] steps applied

    In another terminal, make the first administrator:

      mainstay admin create you@example.com

    Ctrl-C stops the server; open requests finish first.
    ");
    let is_path = |line: &&str| line.contains("  Data ");
    assert!(banner.lines().filter(|line| !is_path(line)).all(|line| line.chars().count() <= 80));

    // What it names is there.
    assert_eq!(server.get("/health/ready", "").json(), serde_json::json!({ "status": "ready" }));
    assert_eq!(server.get("/openapi.json", "").status, 200);
    assert_eq!(server.get("/docs", "").status, 200);

    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("secret.key")), 0o600);
    assert_eq!(mode(&data.join("mainstay.db")), 0o600);
    let secret = std::fs::read_to_string(data.join("secret.key")).unwrap();
    assert_eq!(secret.trim_end().len(), 64);
    assert_eq!(folder.names(), ["data"]);

    server.signal(Signal::SIGINT);
    let (status, output) = server.end();
    assert!(status.success(), "{output}");
    assert!(!output.contains(secret.trim_end()));

    let server = Server::run(mainstay(&folder).args(["serve", "--listen", "localhost:0"]));
    assert!(server.output.contains("  Migrated   nothing to do\n"), "{}", server.output);
    assert_eq!(std::fs::read_to_string(data.join("secret.key")).unwrap(), secret);
    // No half-made files are left beside it.
    assert!(
        std::fs::read_dir(&data).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains("new"))
    );
}

#[test]
fn the_data_folder_moves_with_its_flag() {
    let folder = Folder::new();
    let server = Server::run(mainstay(&folder).args(["--data", "else/where/", "serve", "--listen", "127.0.0.1:0"]));
    assert!(server.output.contains("mainstay admin create --data else/where you@example.com\n"), "{}", server.output);
    assert_eq!(folder.names(), ["else"]);
    assert!(folder.path().join("else/where/secret.key").is_file());
    assert!(folder.path().join("else/where/mainstay.db").is_file());
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let folder = Folder::new();
    assert_eq!(say(&folder, ["migrate"]).code, Some(0));
    let secret = folder.path().join("data/secret.key");
    std::fs::write(&secret, "0123456789012345678901234567890123456789").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = say(&folder, ["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("run `chmod 600 data/secret.key`"), "{}", said.err);
    assert!(!said.err.contains("0123456789"));
    std::fs::write(&secret, "").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(say(&folder, ["serve", "--listen", "127.0.0.1:0"]).err.contains("data/secret.key is empty"));
}

both! {
    async fn a_killed_server_starts_again_with_what_it_had(db: TestDatabase) {
        let folder = Folder::new();
        let server = Server::start(&folder, &db, &[]);
        server.register("ada@example.com");
        let tokens = server.log_in("ada@example.com");
        let refresh = serde_json::json!({ "refresh_token": tokens["refresh_token"] });
        server.kill();

        let server = Server::start(&folder, &db, &[]);
        assert_eq!(server.post("/api/v1/auth/refresh", "", &refresh).status, 200);
        server.log_in("ada@example.com");
        // The keys are the same, so the access token of before still counts.
        assert_eq!(server.ask("POST", "/api/v1/auth/logout", tokens["access_token"].as_str().unwrap(), "").status, 204);
    }

    async fn migrating_says_what_it_did(db: TestDatabase) {
        let folder = Folder::new();
        let migrate = || {
            crate::process::run(mainstay(&folder).arg("migrate").env("MAINSTAY_DATABASE__URL", db.url()), "")
        };
        let first = migrate();
        assert_eq!(first.code, Some(0), "{}", first.err);
        assert!(first.out.contains("applied auth 0001_accounts\n"), "{}", first.out);
        assert!(first.out.ends_with("The database is up to date.\n"), "{}", first.out);
        assert_eq!(migrate().out, "The database is up to date; there was nothing to do.\n");
        // Nothing but the database was wanted.
        assert_eq!(folder.names(), [""; 0]);
    }

    async fn either_runtime_serves(db: TestDatabase) {
        let folder = Folder::new();
        for (runtime, workers) in [("per-core", "2"), ("per-core", "1"), ("work-stealing", "1"), ("work-stealing", "3")] {
            let variables = [("MAINSTAY_SERVER__RUNTIME", runtime), ("MAINSTAY_SERVER__WORKERS", workers)];
            let server = Server::start(&folder, &db, &variables);
            for _ in 0..8 {
                assert_eq!(server.get("/health/ready", "").status, 200);
            }
            server.signal(Signal::SIGTERM);
            let (status, output) = server.end();
            assert!(status.success(), "{runtime} {workers}: {output}");
        }
    }
}
