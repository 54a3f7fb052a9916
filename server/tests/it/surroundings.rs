//! What a server meets where it is started: variables of others, odd names, full disks, proxies, other users.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{TestDatabase, both};

use crate::process::{Folder, Server, mainstay, run, say};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// What Kubernetes puts into a container beside Services named `mainstay`, `mainstay-server` and `mainstay-redis`.
const SERVICE_LINKS: [(&str, &str); 16] = [
    ("MAINSTAY_SERVICE_HOST", "10.96.17.4"),
    ("MAINSTAY_SERVICE_PORT", "8080"),
    ("MAINSTAY_SERVICE_PORT_HTTP", "8080"),
    ("MAINSTAY_PORT", "tcp://10.96.17.4:8080"),
    ("MAINSTAY_PORT_8080_TCP", "tcp://10.96.17.4:8080"),
    ("MAINSTAY_PORT_8080_TCP_PROTO", "tcp"),
    ("MAINSTAY_PORT_8080_TCP_PORT", "8080"),
    ("MAINSTAY_PORT_8080_TCP_ADDR", "10.96.17.4"),
    ("MAINSTAY_SERVER_SERVICE_HOST", "fd00:10:96::5cd"),
    ("MAINSTAY_SERVER_SERVICE_PORT", "80"),
    ("MAINSTAY_SERVER_PORT", "tcp://[fd00:10:96::5cd]:80"),
    ("MAINSTAY_SERVER_PORT_80_TCP", "tcp://[fd00:10:96::5cd]:80"),
    ("MAINSTAY_SERVER_PORT_80_TCP_ADDR", "fd00:10:96::5cd"),
    ("MAINSTAY_REDIS_SERVICE_HOST", "10.96.17.5"),
    ("MAINSTAY_REDIS_PORT", "tcp://10.96.17.5:6379"),
    ("MAINSTAY_REDIS_PORT_6379_TCP_PROTO", "tcp"),
];

#[test]
fn others_variables_are_left_alone_and_told_of() {
    let folder = Folder::new();
    let foreign = [("MAINSTAY_VERSION", "1.2.3"), ("MAINSTAY_HOME", "/opt/mainstay"), ("MAINSTAY_MODE", "")];
    let mut command = mainstay(&folder);
    command.envs(SERVICE_LINKS).envs(foreign).env("MAINSTAY_LOG__FILTER", "debug");
    let said = run(command.args(["config", "show"]), "");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("mode = \"development\""), "{}", said.out);
    for (name, _) in SERVICE_LINKS {
        assert!(said.out.contains(&format!("\n# {name} describes a service")), "{name}: {}", said.out);
    }
    assert!(said.out.contains("\n# MAINSTAY_HOME is like no setting"), "{}", said.out);
    assert!(!said.out.contains("# MAINSTAY_MODE"), "{}", said.out);

    let said = run(mainstay(&folder).envs(foreign).args(["config", "check"]), "");
    assert!(said.out.ends_with("\nMAINSTAY_VERSION is like no setting: it is not read.\n"), "{}", said.out);

    let mut serve = mainstay(&folder);
    serve.envs(SERVICE_LINKS).envs(foreign).env("MAINSTAY_LOG__FILTER", "debug").args(SERVE);
    let server = Server::run(&mut serve);
    assert_eq!(server.get("/health/ready", "").status, 200);
    server.signal(Signal::SIGTERM);
    let (status, output) = server.end();
    assert!(status.success(), "{output}");
    let told =
        |level: &str, words: &str| output.lines().filter(|line| line.contains(level) && line.contains(words)).count();
    assert_eq!(told("WARN", "MAINSTAY_HOME, MAINSTAY_VERSION"), 1, "{output}");
    assert_eq!(told("DEBUG", "MAINSTAY_SERVER_PORT_80_TCP_ADDR"), 1, "{output}");
    assert_eq!(told("WARN", "MAINSTAY_SERVICE_HOST"), 0, "{output}");

    // What a person meant for us is refused beside them.
    for (name, value, told) in [
        ("MAINSTAY_SERVER_LISTEN", "127.0.0.1:0", "Its variable is MAINSTAY_SERVER__LISTEN."),
        ("MAINSTAY_SERVER_PORT_80_TCP", "8080", "there is no setting `server_port_80_tcp`"),
        ("MAINSTAY_PORT", "8080", "Did you mean `server.listen`?"),
    ] {
        let said = run(serve.env(name, value), "");
        assert_eq!(said.code, Some(1), "{name}");
        assert!(said.err.contains(told), "{name}: {}", said.err);
        serve.env_remove(name).envs(SERVICE_LINKS);
    }
}

#[test]
fn the_data_folder_may_have_any_name() {
    for name in ["q?x=1", "a#b", "50%", "a%20b", "with space", "한글"] {
        let folder = Folder::new();
        let server = Server::run(mainstay(&folder).args(["--data", name]).args(SERVE));
        assert_eq!(server.get("/health/ready", "").status, 200);
        assert!(server.output.contains(&format!("/{name}/mainstay.db\n")), "{}", server.output);
        assert_eq!(folder.names(), [name]);
        assert!(folder.path().join(name).join("mainstay.db").is_file(), "{name}");
    }
    let folder = Folder::new();
    let said = say(&folder, ["--data", "", "serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("a value is required for '--data <DIR>'"), "{}", said.err);
}

#[test]
fn a_taken_port_is_told_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (variable, runtime) in [
        ("MAINSTAY_SERVER__LISTEN", "work-stealing"),
        ("MAINSTAY_SERVER__LISTEN", "per-core"),
        ("MAINSTAY_OPERATIONS__LISTEN", "work-stealing"),
    ] {
        let folder = Folder::new();
        let mut command = mainstay(&folder);
        command.env("MAINSTAY_SERVER__LISTEN", "127.0.0.1:0").env(variable, &address);
        let said = run(command.env("MAINSTAY_SERVER__RUNTIME", runtime).arg("serve"), "");
        assert_eq!(said.code, Some(1), "{variable}");
        assert!(said.err.contains(&address), "{}", said.err);
        assert_eq!(folder.names(), [""; 0], "{variable}");
    }
}

/// The address of a server that cannot say where it is.
fn found(address: &str) -> bool {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::time::Instant::now() < until {
        if std::net::TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_full_disk_for_what_it_says_stops_no_server_and_undoes_nothing() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let folder = Folder::new();
    let migrated = mainstay(&folder).arg("migrate").stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(migrated.code(), Some(0));

    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = mainstay(&folder);
    command.args(["serve", "--listen", &address]).stdout(full()).stderr(full());
    let mut child = command.spawn().unwrap();
    let is_there = found(&address);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success() && is_there);

    // Where the text is what was asked for, it is a failure that there is none.
    let shown = mainstay(&folder).args(["config", "show"]).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("cannot write to standard output"));
    let shown = mainstay(&folder).args(["config", "show"]).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(shown.code(), Some(1));
}

#[test]
fn a_link_may_lead_to_the_database() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let (place, link) = (folder.path().join("elsewhere/real.db"), folder.path().join("data/mainstay.db"));
    // One that leads to nothing yet, and then to the database.
    symlink(&place, &link).unwrap();
    for email in ["ada@example.com", "bob@example.com"] {
        let server = Server::run(mainstay(&folder).args(SERVE));
        server.register(email);
        assert_eq!(server.get("/health/ready", "").status, 200);
        assert!(place.is_file() && !folder.path().join("data/mainstay.db-wal").exists());
        server.signal(Signal::SIGTERM);
        let (status, output) = server.end();
        assert!(status.success() && !output.contains("removed or replaced"), "{output}");
    }
}

#[test]
fn files_that_are_open_to_all_are_told_of() {
    let folder = Folder::new();
    let set_mode = |name: &str, mode| {
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let started = || {
        let server = Server::run(mainstay(&folder).args(SERVE));
        server.signal(Signal::SIGTERM);
        server.end().1
    };
    let doctor = || {
        let said = run(mainstay(&folder).args(["doctor", "--json"]), "");
        let report: Value = serde_json::from_str(&said.out).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        let of = |code: &str| {
            let found = findings.iter().find(|finding| finding["code"] == code);
            found.map(|finding| {
                format!("{} {}", finding["severity"].as_str().unwrap(), finding["what"].as_str().unwrap())
            })
        };
        ["database_readable", "database_folder_writable", "settings_file_readable"].map(of)
    };
    assert!(!started().contains("Everyone on this machine"));
    assert_eq!(doctor(), [None, None, None]);
    for (mode, severity, may, is_told) in [
        (0o640, "advice", "The group", false),
        (0o644, "serious", "may read", true),
        (0o666, "serious", "may change", true),
    ] {
        set_mode("data/mainstay.db", mode);
        let output = started();
        assert_eq!(output.contains("database_readable"), is_told, "{mode:o}: {output}");
        let [database, ..] = doctor();
        let database = database.unwrap();
        assert!(database.starts_with(severity) && database.contains(may), "{mode:o}: {database}");
    }
    set_mode("data/mainstay.db", 0o600);
    set_mode("data", 0o777);
    assert!(started().contains("database_folder_writable"));
    assert!(doctor()[1].is_some());
    set_mode("data", 0o1777);
    assert_eq!(doctor(), [None, None, None]);

    folder.write("mainstay.toml", "[database]\nreaders = 3");
    set_mode("mainstay.toml", 0o644);
    assert_eq!(doctor(), [None, None, None]);
    folder.write("mainstay.toml", "secret_key = \"xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A\"");
    assert!(doctor()[2].as_ref().is_some_and(|what| what.contains("secret_key is in it")));
    set_mode("mainstay.toml", 0o600);
    assert_eq!(doctor(), [None, None, None]);
}

#[test]
fn no_secret_of_a_url_is_shown() {
    let folder = Folder::new();
    let secret = "https://xq4Jv0cZ:pT2mWb8RkL6yHs@3NfGd7Ue1A/q9";
    let variables = [
        ("MAINSTAY_SECRET_KEY", secret),
        ("MAINSTAY_DATABASE__URL", "postgres://u:hunter1@127.0.0.1:1/x?password=hunter2&sslmode=disable"),
        ("MAINSTAY_DATABASE__ADMIN_URL", "postgres://127.0.0.1:1/x?user=root&password=hunter3"),
        ("MAINSTAY_DATABASE__REPLICA_URL", "postgres://v:hunter4@127.0.0.1:1/x"),
        ("MAINSTAY_CACHE__URL", "redis://w:hunter5@127.0.0.1:1/0"),
        ("MAINSTAY_LOG__FILTER", "trace"),
    ];
    for command in
        [&["config", "show"][..], &["config", "check"], &["doctor"], &["doctor", "--json"], &["migrate"], &SERVE]
    {
        let said = run(mainstay(&folder).args(command).envs(variables), "");
        let text = said.out + &said.err;
        for part in ["hunter", "xq4Jv0cZ", "pT2mWb8R", "3NfGd7Ue1A"] {
            assert!(!text.contains(part), "{command:?}: {text}");
        }
        if command == ["config", "show"] {
            for line in [
                "url = \"postgres://u:••••••••@127.0.0.1:1/x?password=••••••••&sslmode=disable\"",
                "admin_url = \"postgres://127.0.0.1:1/x?user=root&password=••••••••\"",
                "url = \"redis://w:••••••••@127.0.0.1:1/0\"",
                "secret_key = \"••••••••\"",
            ] {
                assert!(text.contains(line), "{line}: {text}");
            }
        }
    }
}

#[test]
fn a_secret_that_can_be_guessed_serves_nobody_in_production() {
    let folder = Folder::new();
    let mut command = mainstay(&folder);
    command
        .args(["config", "check"])
        .env("MAINSTAY_MODE", "production")
        .env("MAINSTAY_PUBLIC_URL", "https://example.com");
    for (secret, told) in [
        ("your-very-long-random-key-goes-here-please", "secret_key is guessable: it has words of an example in it"),
        ("0123456789abcdefghijklmnopqrstuvwxyzABCD", "secret_key is guessable: it has little in it that is random"),
    ] {
        let said = run(command.env("MAINSTAY_SECRET_KEY", secret), "");
        assert_eq!(said.code, Some(1), "{secret}");
        assert!(said.err.contains(told) && !said.err.contains(secret), "{}", said.err);
    }
    assert_eq!(run(command.env("MAINSTAY_SECRET_KEY", "c0a9f2d47be1835660d19ae4f7c2b853"), "").code, Some(0));
}

both! {
    /// A proxy takes `/app` off the paths: what we write has it, what we read has not.
    async fn behind_a_base_path_links_lead_back(db: TestDatabase) {
        let folder = Folder::new();
        let server = Server::start(&folder, &db, &[("MAINSTAY_PUBLIC_URL", "https://example.com/app/")]);
        server.register("ada@example.com");
        let token = server.log_in("ada@example.com")["access_token"].as_str().unwrap().to_owned();
        let created = server.post("/api/v1/posts", &token, &json!({ "title": "one", "body": "", "published": true }));
        assert_eq!(created.status, 201, "{created:?}");
        let location = created.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        let path = location.strip_prefix("/app").unwrap();
        assert_eq!(path, format!("/api/v1/posts/{}", created.json()["id"].as_str().unwrap()));
        assert_eq!(server.get(path, "").status, 200);

        assert_eq!(server.get("/openapi.json", "").json()["servers"][0]["url"], "/app");
        assert_eq!(server.get("/api/v1/nothing", "").json()["instance"], "/app/api/v1/nothing");
        // Pages find what they need beside them.
        let page = server.get("/docs", "").body;
        assert!(!page.contains("src=\"/") && !page.contains("href=\"/"), "{page}");
        assert!(server.output.contains("  Public     https://example.com/app\n"), "{}", server.output);
    }

    async fn the_access_log_says_of_an_address_what_it_may(db: TestDatabase) {
        let folder = Folder::new();
        for (setting, told) in [
            (None, Some("203.0.113.0/24")),
            (Some("network"), Some("203.0.113.0/24")),
            (Some("full"), Some("203.0.113.7")),
            (Some("none"), None),
        ] {
            let mut variables = vec![("MAINSTAY_LOG__FORMAT", "json"), ("MAINSTAY_SERVER__TRUSTED_PROXIES", "127.0.0.1")];
            variables.extend(setting.map(|setting| ("MAINSTAY_LOG__CLIENT_ADDRESS", setting)));
            let server = Server::start(&folder, &db, &variables);
            let mut stream = server.connect();
            let request = "GET /health/live HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.7\r\nconnection: close\r\n\r\n";
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            assert_eq!(crate::process::answer(stream).status, 200);
            server.signal(Signal::SIGTERM);
            let (_, output) = server.end();
            let events = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let event = events.into_iter().find(|event| event["path"] == "/health/live").unwrap();
            assert_eq!(event["client_address"].as_str(), told, "{setting:?}");
        }
    }
}

/// A shell that gives its place to the server, so that signals reach it.
fn by_shell(folder: &Folder, script: &str) -> Command {
    let plain = mainstay(folder);
    let mut command = Command::new("sh");
    command
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["-c", script, Path::new(env!("CARGO_BIN_EXE_mainstay")).to_str().unwrap()]);
    command
}

#[test]
fn a_terminal_that_goes_away_stops_a_server_as_any_signal_does() {
    let folder = Folder::new();
    let mut server = Server::run(mainstay(&folder).args(SERVE));
    server.signal(Signal::SIGHUP);
    server.wait_for("stopping");
    // A shell and the system each send one.
    server.signal(Signal::SIGHUP);
    let (status, output) = server.end();
    assert!(status.success() && output.contains("stopped"), "{output}");

    let mut kept = Server::run(&mut by_shell(&folder, "trap '' HUP; exec \"$0\" serve --listen 127.0.0.1:0"));
    kept.signal(Signal::SIGHUP);
    assert_eq!(kept.get("/health/ready", "").status, 200);
    kept.signal(Signal::SIGTERM);
    kept.wait_for("stopping");
    let (status, output) = kept.end();
    assert!(status.success(), "{output}");
}
