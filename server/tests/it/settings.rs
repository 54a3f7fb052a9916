use std::net::TcpListener;
use std::os::unix::process::CommandExt;

use crate::process::{Folder, Server, mainstay, run, say};

const GOOD_SECRET: &str = "xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A";

/// The file, the variables, and what is said about them.
type Mistake = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const MISTAKES: &[Mistake] = &[
    ("nonsense = ", &[], "mainstay.toml is not TOML"),
    ("[server]\nlisen = 1", &[], "no setting `server.lisen` (in mainstay.toml). Did you mean `server.listen`?"),
    (
        "[server]\nworkers = \"two\"",
        &[],
        "server.workers in mainstay.toml must be a whole number, but is text in quotes",
    ),
    ("[nonsense]\nx = 1", &[], "there is no setting `nonsense`"),
    ("[auth]\naccess_token_s = 1", &[], "[auth] "),
    ("[log]\nfilter = \"inof\"", &[], "[log] the log filter `inof`"),
    ("[log]\nformat = \"xml\"", &[], "[log] format: unknown variant `xml`"),
    ("[database]\nurl = \"mysql://x\"", &[], "must begin with `sqlite://` or `postgres://`"),
    ("[server]\nmax_body_bytes = 0", &[], "Set it to 1 or more"),
    ("[server.cors]\norigins = [\"*\"]", &[], "which no browser sends"),
    ("[server.cors]\norigins = [\"https://*.example.com\"]", &[], "Name each host"),
    ("[server.cors]\norigins = [\"https://app.example.com/\"]", &[], "Leave out the slash at its end"),
    ("", &[("MAINSTAY_SERVER__CORS__ALLOWED_HEADERS", "*")], "Name each header"),
    ("[server]\ntrusted_proxies = [\"proxy.example.com\"]", &[], "write an address or a network"),
    ("[server]\nlisten = \"0.0.0.0:8080\"", &[], "which other machines can reach, but the mode is development"),
    ("mode = \"staging\"", &[], "unknown variant `staging`"),
    ("mode = \"production\"", &[], "secret_key is not set. Make one with `openssl rand -base64 48`"),
    ("mode = \"production\"\nsecret_key = \"change-me-change-me-change-me-change-me\"", &[], "secret_key is guessable"),
    ("public_url = \"example.com\"", &[], "write scheme and host only"),
    ("public_url = \"https://example.com\\nX-Evil: 1\"", &[], "public_url holds a space, a line end"),
    ("public_url = \"https://me:pass@example.com\"", &[], "public_url names a user or a password"),
    ("public_url = \"https://example.com/../x\"", &[], "public_url has a path with"),
    ("[database]\nurl = \"postgres://u@h/d?pgbouncer=true\"", &[], "set `database.prepared_statements = false`"),
    ("[database]\nurl = \"postgres://u@h/d?ssl=true\"", &[], "write `sslmode=require` instead"),
    ("[database]\nurl = \"sqlite://a.db?mode=rwc\"", &[], "`url` has options after the path"),
    ("", &[("MAINSTAY_SERVER__WORKERS", "two")], "(MAINSTAY_SERVER__WORKERS) must be a whole number, but is `two`"),
    ("", &[("MAINSTAY_SERVER__WORKER", "2")], "Did you mean `server.workers`?"),
    ("", &[("MAINSTAY_SECRET_KEY", "short")], "secret_key has 5 characters; 32 or more are needed"),
    ("", &[("MAINSTAY_MODE", "production"), ("MAINSTAY_SECRET_KEY", GOOD_SECRET)], "public_url is not set"),
];

#[test]
fn each_mistake_is_told_and_nothing_is_made() {
    for (file, variables, told) in MISTAKES {
        for args in [
            &["config", "check"][..],
            &["serve", "--listen", "127.0.0.1:0"],
            &["migrate"],
            &["admin", "create", "a@b.example"],
        ] {
            // The flag would mend what is wrong with the file's address.
            if file.contains("0.0.0.0") && args[0] == "serve" {
                continue;
            }
            let folder = Folder::new();
            folder.write("mainstay.toml", file);
            let said = run(mainstay(&folder).args(args).envs(variables.iter().copied()), "");
            assert_eq!(said.code, Some(1), "{file} {args:?}: {}", said.out);
            assert!(said.err.starts_with("mainstay: ") && said.err.contains(told), "{file} {args:?}: {}", said.err);
            assert_eq!(said.out, "");
            assert_eq!(folder.names(), ["mainstay.toml"]);
        }
    }
}

#[test]
fn good_settings_are_called_good_without_looking_further() {
    let folder = Folder::new();
    let said = say(&folder, ["config", "check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "The settings are good: the defaults.\n"));
    folder.write(
        "other.toml",
        "mode = \"production\"\npublic_url = \"https://api.example.com\"\n[server]\nlisten = \"0.0.0.0:80\"",
    );
    let mut check = mainstay(&folder);
    check.args(["config", "check", "--config", "other.toml"]);
    // Nobody answers there; a check that asked would fail or wait.
    check.env("MAINSTAY_DATABASE__URL", "postgres://u:p@192.0.2.1:1/x").env("MAINSTAY_SECRET_KEY", GOOD_SECRET);
    let said = run(&mut check, "");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.out, "The settings are good: the defaults, then other.toml, then the environment.\n");
    assert_eq!(folder.names(), ["other.toml"]);
}

#[test]
fn later_sources_win_and_secrets_are_dots() {
    let folder = Folder::new();
    folder.write(
        "mainstay.toml",
        "secret_key = \"xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A\"\n[server]\nworkers = 3\nmax_headers = 9",
    );
    let mut show = mainstay(&folder);
    show.args(["config", "show"])
        .env("MAINSTAY_SERVER__WORKERS", "4")
        .env("MAINSTAY_DATABASE__URL", "postgres://u:hunter2@h/x");
    let said = run(&mut show, "");
    assert_eq!(said.code, Some(0), "{}", said.err);
    for line in
        ["workers = 4\n", "max_headers = 9\n", "secret_key = \"••••••••\"\n", "url = \"postgres://u:••••••••@h/x\"\n"]
    {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    assert!(!said.out.contains("hunter2") && !said.out.contains(GOOD_SECRET));
}

#[test]
fn a_named_file_must_be_there() {
    let folder = Folder::new();
    let said = say(&folder, ["config", "check", "--config", "gone.toml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot read the settings file gone.toml; name another with --config"), "{}", said.err);
}

#[test]
fn production_starts_once_nothing_is_missing() {
    let folder = Folder::new();
    let mut command = mainstay(&folder);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("MAINSTAY_MODE", "production").env("MAINSTAY_PUBLIC_URL", "https://api.example.com");
    let said = run(&mut command, "");
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("mode is production, but secret_key is not set"), "{}", said.err);
    assert_eq!(folder.names(), [""; 0]);
    let server = Server::run(command.env("MAINSTAY_SECRET_KEY", GOOD_SECRET));
    assert!(
        server.output.contains("production mode\n") && server.output.contains("  Public     https://api.example.com\n")
    );
    assert_eq!(server.get("/health/ready", "").status, 200);
    // It was given its secret, so it makes none.
    assert!(!folder.path().join("data/secret.key").exists());
}

#[test]
fn another_address_is_refused_in_development_with_the_fix() {
    let folder = Folder::new();
    let said = say(&folder, ["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("Set mode = \"production\"") && said.err.contains("or listen on 127.0.0.1"),
        "{}",
        said.err
    );
}

#[test]
fn a_taken_port_is_told_with_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let said = say(&folder, ["serve", "--listen", &address]);
    assert_eq!(said.code, Some(1));
    let told = format!(
        "another process listens on {address} already; take a free port with `mainstay serve --listen 127.0.0.1:0`"
    );
    assert!(said.err.contains(&told), "{}", said.err);
    assert_eq!(said.out, "");
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = Folder::new();
    folder.write("file", "");
    let said = say(&folder, ["--data", "file/data", "serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("cannot make the data folder file/data; name one that the server may write with --data"),
        "{}",
        said.err
    );

    // As a user who may not write there. Root may write anywhere, so it becomes nobody, who may not see the build either.
    let closed = Folder::new();
    std::fs::create_dir(closed.path().join("data")).unwrap();
    let set_mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    set_mode(&closed.path().join("data"), 0o555);
    let copy = closed.path().join("mainstay");
    std::fs::copy(env!("CARGO_BIN_EXE_mainstay"), &copy).unwrap();
    set_mode(&copy, 0o755);
    let mut command = std::process::Command::new(&copy);
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(closed.path());
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let said = run(&mut command, "");
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.err.contains("cannot write data/secret.") && said.err.contains("give its folder to the user"),
        "{}",
        said.err
    );
}
