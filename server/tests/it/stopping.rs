use std::io::Write;
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::json;
use testkit::{TestDatabase, both};

use crate::process::{Folder, PASSWORD, Server, answer};

/// A registration of which half the body is sent, and its other half.
fn half_a_request(server: &Server) -> (TcpStream, String) {
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "display_name": "Ada" }).to_string();
    let head = format!(
        "POST /api/v1/auth/register HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (first, second) = body.split_at(body.len() / 2);
    let mut stream = server.connect();
    stream.write_all(format!("{head}{first}").as_bytes()).unwrap();
    (stream, second.to_owned())
}

both! {
    async fn an_open_request_finishes_first(db: TestDatabase) {
        let folder = Folder::new();
        let mut server = Server::start(&folder, &db, &[]);
        let (mut stream, rest) = half_a_request(&server);
        // Answered after the half request has arrived on its own connection, since both pass through one listener.
        assert_eq!(server.get("/health/ready", "").status, 200);
        server.signal(Signal::SIGTERM);
        server.wait_for("stopping");
        stream.write_all(rest.as_bytes()).unwrap();
        assert_eq!(answer(stream).status, 201);
        let address = server.address;
        let (status, output) = server.end();
        assert!(status.success() && output.contains("stopped"), "{output}");
        assert!(TcpStream::connect(address).is_err());

        let again = Server::start(&folder, &db, &[]);
        again.log_in("ada@example.com");
    }

    async fn a_request_that_does_not_end_is_cut(db: TestDatabase) {
        let folder = Folder::new();
        let server = Server::start(&folder, &db, &[("MAINSTAY_SERVER__DRAIN_TIMEOUT_MS", "200")]);
        let (_stream, _) = half_a_request(&server);
        assert_eq!(server.get("/health/ready", "").status, 200);
        server.signal(Signal::SIGTERM);
        let (status, output) = server.end();
        assert!(status.success() && output.contains("drain_timeout_ms were cut"), "{output}");
    }

    async fn a_second_signal_ends_it_at_once(db: TestDatabase) {
        let folder = Folder::new();
        let mut server = Server::start(&folder, &db, &[("MAINSTAY_SERVER__DRAIN_TIMEOUT_MS", "60000")]);
        let (_stream, _) = half_a_request(&server);
        assert_eq!(server.get("/health/ready", "").status, 200);
        server.signal(Signal::SIGINT);
        server.wait_for("stopping");
        server.signal(Signal::SIGTERM);
        let (status, output) = server.end();
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(output.contains("ended at once"), "{output}");
    }
}
