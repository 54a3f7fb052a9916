use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{TestDatabase, both};

use crate::process::{Folder, PASSWORD, Said, Server, mainstay, run};

fn create(folder: &Folder, db: &TestDatabase, arguments: &[&str], input: &str) -> Said {
    let mut command = mainstay(folder);
    run(command.args(["admin", "create"]).args(arguments).env("MAINSTAY_DATABASE__URL", db.url()), input)
}

/// The role that an access token tells.
fn role(tokens: &Value) -> Value {
    let claims = tokens["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()["role"].clone()
}

both! {
    async fn a_new_account_is_an_administrator(db: TestDatabase) {
        let folder = Folder::new();
        let said = create(&folder, &db, &["root@example.com"], &format!("{PASSWORD}\n"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        let is_so = said.out.starts_with("root@example.com is a new account (usr_") && said.out.ends_with(") and an administrator.\n");
        assert!(is_so, "{}", said.out);
        let server = Server::start(&folder, &db, &[]);
        let tokens = server.log_in("root@example.com");
        assert_eq!(role(&tokens), "admin");
        let everyone = server.get("/api/v1/users", tokens["access_token"].as_str().unwrap());
        assert_eq!((everyone.status, &everyone.json()["items"][0]["role"]), (200, &"admin".into()));
    }

    async fn an_account_is_promoted_while_the_server_runs(db: TestDatabase) {
        let folder = Folder::new();
        let server = Server::start(&folder, &db, &[]);
        server.register("ada@example.com");
        let tokens = server.log_in("ada@example.com");
        assert_eq!(role(&tokens), "user");
        assert_eq!(server.get("/api/v1/users", tokens["access_token"].as_str().unwrap()).status, 403);
        // Anyone may have registered it: no password is asked for, and nothing changes.
        for input in ["", "another long password\n"] {
            let said = create(&folder, &db, &["ADA@example.com"], input);
            assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
            assert!(said.err.contains("`--promote`"), "{}", said.err);
        }
        assert_eq!(role(&server.log_in("ada@example.com")), "user");
        // Taken over: with this password, and with its earlier sessions ended.
        let said = create(&folder, &db, &["ADA@example.com", "--promote"], "another long password\n");
        assert_eq!(said.code, Some(0), "{}", said.err);
        let is_so = said.out.ends_with("is an administrator now, with this password; its sessions are over.\n");
        assert!(is_so, "{}", said.out);
        let refresh = serde_json::json!({ "refresh_token": tokens["refresh_token"] });
        assert_eq!(server.post("/api/v1/auth/refresh", "", &refresh).status, 401);
        let login = |password: &str| {
            let body = serde_json::json!({ "email": "ada@example.com", "password": password });
            server.post("/api/v1/auth/login", "", &body)
        };
        assert_eq!(login(PASSWORD).status, 401);
        assert_eq!(role(&login("another long password").json()), "admin");
        let said = create(&folder, &db, &["nobody@example.com", "--promote"], "another long password\n");
        assert_eq!(said.code, Some(1), "{}", said.out);
        assert!(said.err.contains("There is no account with this e-mail address."), "{}", said.err);
    }

    async fn what_cannot_be_is_told(db: TestDatabase) {
        let folder = Folder::new();
        for (email, input, told) in [
            ("root@example.com", "short\n", "password"),
            ("root@example.com", "password1234\n", "password"),
            ("root@example.com", "", "there was no password on standard input"),
            ("root", &format!("{PASSWORD}\n"), "email"),
            // What a body may not hold, a password on standard input may not either.
            ("root@example.com", "seven green\0 lanterns\n", "NUL"),
        ] {
            let said = create(&folder, &db, &[email], input);
            assert_eq!(said.code, Some(1), "{email} {input}: {}", said.out);
            assert!(said.err.contains(told) && said.out.is_empty(), "{email} {input}: {}", said.err);
            assert!(input.is_empty() || !said.err.contains(input.trim_end()), "{}", said.err);
        }
    }

    async fn a_terminal_does_not_show_the_password(db: TestDatabase) {
        let folder = Folder::new();
        for (first, second, code) in [(PASSWORD, "another one", 1), (PASSWORD, PASSWORD, 0)] {
            let pty = openpty(None, None).unwrap();
            let mut command = mainstay(&folder);
            command.args(["admin", "create", "root@example.com"]).env("MAINSTAY_DATABASE__URL", db.url());
            command.stdin(Stdio::from(pty.slave.try_clone().unwrap())).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            // It keeps the terminal open as long as it is there.
            drop(command);
            let mut keyboard = File::from(pty.master);
            let mut questions = child.stderr.take().unwrap();
            let mut asked = String::new();
            for (question, line) in [("new account: ", first), ("again: ", second)] {
                while !asked.ends_with(question) {
                    let mut byte = [0];
                    questions.read_exact(&mut byte).unwrap_or_else(|_| panic!("it asked only: {asked}"));
                    asked.push(char::from(byte[0]));
                }
                // Hidden from the moment it asks; what was typed before is thrown away.
                wait_until_hidden(&pty.slave);
                keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
            }
            questions.read_to_string(&mut asked).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{asked}");
            assert!(!asked.contains(PASSWORD));
            assert!(code == 0 || asked.contains("the two passwords differ; nothing was done"), "{asked}");
            // The terminal shows again what is typed, and has shown nothing.
            assert!(is_echoing(&pty.slave));
            drop(pty.slave);
            let mut shown = Vec::new();
            // The end of a terminal is an error on Linux.
            let _ = keyboard.read_to_end(&mut shown);
            assert!(!String::from_utf8_lossy(&shown).contains("lanterns"));
        }
        let server = Server::start(&folder, &db, &[]);
        assert_eq!(role(&server.log_in("root@example.com")), "admin");
    }

    async fn an_interrupted_question_gives_the_terminal_back(db: TestDatabase) {
        let folder = Folder::new();
        for (runtime, signal, code) in [("per-core", Signal::SIGINT, 130), ("work-stealing", Signal::SIGTERM, 143)] {
            let pty = openpty(None, None).unwrap();
            let mut command = mainstay(&folder);
            command.args(["admin", "create", "root@example.com"]);
            command.env("MAINSTAY_DATABASE__URL", db.url()).env("MAINSTAY_SERVER__RUNTIME", runtime);
            command.stdin(Stdio::from(pty.slave.try_clone().unwrap())).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().unwrap();
            wait_until_hidden(&pty.slave);
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.ends_with("\nmainstay: interrupted; the same command may be run again\n"), "{said}");
            assert!(is_echoing(&pty.slave), "{signal}: the terminal goes on hiding what is typed");
        }
    }

    /// A terminal gets an error in lines it can show, and a program gets it in one line.
    async fn a_terminal_is_told_in_lines(db: TestDatabase) {
        let folder = Folder::new();
        let pty = openpty(None, None).unwrap();
        let mut command = mainstay(&folder);
        command.arg("serve").env("MAINSTAY_DATABASE__URL", db.url()).env("MAINSTAY_SECRET_KEY", "password".repeat(4));
        let piped = run(command.env("MAINSTAY_MODE", "production"), "");
        assert_eq!((piped.code, piped.err.lines().count()), (Some(1), 2), "{}", piped.err);

        command.stderr(Stdio::from(pty.slave));
        assert_eq!(command.status().unwrap().code(), Some(1));
        drop(command);
        let mut shown = Vec::new();
        // The end of a terminal is an error on Linux.
        let _ = File::from(pty.master).read_to_end(&mut shown);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("`openssl rand -base64 48`"), "{shown}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&shown), words(&piped.err));
    }
}

fn is_echoing(terminal: &std::os::fd::OwnedFd) -> bool {
    use nix::sys::termios::{LocalFlags, tcgetattr};
    tcgetattr(terminal).unwrap().local_flags.contains(LocalFlags::ECHO)
}

fn wait_until_hidden(terminal: &std::os::fd::OwnedFd) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while is_echoing(terminal) {
        assert!(std::time::Instant::now() < until, "the terminal goes on showing what is typed");
        std::thread::yield_now();
    }
}
