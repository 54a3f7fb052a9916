use std::io::Write;
use std::process::Command;

use testkit::{Backend, TestDatabase};

use crate::process::{Folder, Server, answer, mainstay};

/// Connections take no descriptors that the database needs: the limit is raised as far as it may be, and
/// `server.max_connections` is what that leaves.
#[test]
fn connections_leave_descriptors_for_the_database() {
    testkit::run(async {
        let (folder, db) = (Folder::new(), TestDatabase::fresh(Backend::Sqlite).await);
        let told = mainstay(&folder);
        let mut command = Command::new("sh");
        for (name, value) in told.get_envs() {
            // Those of ours that are taken away.
            assert!(value.is_none());
            command.env_remove(name);
        }
        command.current_dir(folder.path()).env("MAINSTAY_DATABASE__URL", db.url());
        let serve = r#"ulimit -Sn 100 && ulimit -Hn 300 && exec "$0" serve --listen 127.0.0.1:0"#;
        let mut server = Server::run(command.args(["-c", serve]).arg(told.get_program()));
        let words = "server.max_connections is lowered";
        if !server.output.contains(words) {
            server.wait_for(words);
        }
        let mut first = server.connect();
        // More than there may be: the others wait to be accepted.
        let held: Vec<_> = (0..250).map(|_| server.connect()).collect();
        first.write_all(b"GET /api/v1/posts?limit=5 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let answer = answer(first);
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"items":[],"next_cursor":null}"#), "{answer:?}");
        drop(held);
        server.register("ada@example.com");
        assert!(!server.output.contains("could not be accepted"), "{}", server.output);
    });
}
