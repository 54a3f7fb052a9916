use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{TestDatabase, both};

use crate::process::{Folder, PASSWORD, Server};

const SECRET: &str = "xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A";

both! {
    async fn no_secret_is_written_anywhere(db: TestDatabase) {
        let folder = Folder::new();
        let variables = [("MAINSTAY_LOG__FILTER", "trace"), ("MAINSTAY_LOG__FORMAT", "json"), ("MAINSTAY_SECRET_KEY", SECRET)];
        let server = Server::start(&folder, &db, &variables);
        server.register("ada@example.com");
        let tokens = server.log_in("ada@example.com");
        let token = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
        let (access, refresh) = (token(&tokens, "access_token"), token(&tokens, "refresh_token"));
        let next = server.post("/api/v1/auth/refresh", "", &json!({ "refresh_token": refresh }));
        assert_eq!(next.status, 200);
        let wrong = "a wrong password, but still someone's";
        let login = json!({ "email": "ada@example.com", "password": wrong });
        assert_eq!(server.post("/api/v1/auth/login", "", &login).status, 401);
        let faulty = json!({ "email": "x", "password": PASSWORD, "display_name": 7, "extra": PASSWORD });
        let refused = server.post("/api/v1/auth/register", "", &faulty);
        assert_eq!(refused.status, 422);
        assert!(!refused.body.contains(PASSWORD));
        assert_eq!(server.ask("POST", "/api/v1/auth/login", "", &format!("{{\"password\": \"{PASSWORD}")).status, 400);
        let query = server.get(&format!("/health/live?token={access}"), &access);
        assert!(!query.body.contains(&access) && !query.head.contains(&access));

        let newer = next.json();
        assert_eq!(server.ask("POST", "/api/v1/auth/logout", &token(&newer, "access_token"), "").status, 204);
        server.signal(Signal::SIGTERM);
        let (status, output) = server.end();
        assert!(status.success());
        // Something was logged of all this.
        let events: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(events.iter().any(|event| event["path"] == "/api/v1/auth/login" && event["status"] == 401), "{output}");
        let secrets = [
            SECRET.to_owned(), PASSWORD.to_owned(), wrong.to_owned(), access, refresh,
            token(&newer, "access_token"), token(&newer, "refresh_token"),
        ];
        for secret in secrets {
            assert!(!output.contains(&secret), "{secret} is in the log");
        }
    }
}
