//! Behind a real socket: clients that mean harm. `cargo resilience chaos` does the same to the whole server, and measures.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay::prelude::*;
use mainstay::web::{Server, ServerHandle, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Echo, Text, get_long, with_settings};

/// Send it back, to someone who has signed in.
#[post("/echo", root)]
async fn echo(_caller: Caller<User>, Valid(text): Valid<Text>) -> Result<Json<Echo>, StoreError> {
    Ok(Json(Echo { text: text.text }))
}

/// Longer than any bound of the server's in these tests.
const TIMEOUT: Duration = Duration::from_secs(30);

fn serve() -> ServerHandle {
    let settings = ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        header_timeout_ms: 500,
        request_timeout_ms: 500,
        write_timeout_ms: 500,
        ..ServerSettings::default()
    };
    Server::bind(with_settings(settings, &[&echo, &get_long])).unwrap().spawn()
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The preface, and a window of nothing for each answer.
fn opening() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()
}

/// `GET /long` in HPACK (RFC 7541): two names of the static table, and two values in full.
fn get_long_head() -> Vec<u8> {
    [&[0x82, 0x86, 0x04, 5][..], b"/long", &[0x01, 1], b"x"].concat()
}

/// Answers every PING, as a client would that means to stay, and sends `drip` now and then; whether the server closes.
async fn is_cut(mut stream: TcpStream, drip: &[u8]) -> bool {
    timeout(TIMEOUT, async {
        let mut buffer = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                read = stream.read_buf(&mut buffer) => if !read.is_ok_and(|count| count > 0) {
                    return;
                },
                _ = ticks.tick() => if !drip.is_empty() && stream.write_all(drip).await.is_err() {
                    return;
                },
            }
            while buffer.len() >= 9 {
                let length = usize::from(buffer[0]) << 16 | usize::from(buffer[1]) << 8 | usize::from(buffer[2]);
                if buffer.len() < 9 + length {
                    break;
                }
                let rest = buffer.split_off(9 + length);
                if buffer[3] == PING
                    && buffer[4] & 1 == 0
                    && stream.write_all(&frame(PING, 1, 0, &buffer[9..])).await.is_err()
                {
                    return;
                }
                buffer = rest;
            }
        }
    })
    .await
    .is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_that_stays_without_a_purpose_is_cut() {
    let server = serve();
    let head = get_long_head();
    // A header whose value never ends, a byte at a time.
    let endless = [head.clone(), vec![0, 1, b'x', 127, 200, 100]].concat();
    for (what, more, drip) in [
        ("it asks for nothing", vec![], vec![]),
        ("a head that never ends", frame(HEADERS, END_STREAM, 1, &endless), frame(CONTINUATION, 0, 1, b"x")),
        ("an answer that nobody takes", frame(HEADERS, END_STREAM | END_HEADERS, 1, &head), vec![]),
    ] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(&[opening(), more].concat()).await.unwrap();
        assert!(is_cut(stream, &drip).await, "{what}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_are_cut_and_others_are_answered() {
    let server = serve();
    let head = get_long_head();
    for (what, first, flood) in [
        ("PING", vec![], frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", vec![], frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("empty DATA", frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, 0, 1, &[])),
        ("empty CONTINUATION", frame(HEADERS, END_STREAM, 1, &head), frame(CONTINUATION, 0, 1, &[])),
        ("RST_STREAM", frame(HEADERS, END_HEADERS, 1, &head), frame(RST_STREAM, 0, 1, &8u32.to_be_bytes())),
    ] {
        let (mut reader, mut writer) = TcpStream::connect(server.address()).await.unwrap().into_split();
        let flood = flood.repeat(100);
        let cut = timeout(TIMEOUT, async {
            tokio::join!(
                async {
                    let _ = writer.write_all(&[opening(), first].concat()).await;
                    while writer.write_all(&flood).await.is_ok() {}
                },
                async {
                    let mut chunk = [0; 4096];
                    while reader.read(&mut chunk).await.is_ok_and(|count| count > 0) {}
                },
            );
        });
        assert!(cut.await.is_ok(), "{what}");
        let mut other = TcpStream::connect(server.address()).await.unwrap();
        other.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
    }
    server.stop().await;
}

/// The time counts from the connection, not from when the protocol was known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_head_has_one_time_however_it_begins() {
    let settings = ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        header_timeout_ms: 2000,
        ..ServerSettings::default()
    };
    let server = Server::bind(with_settings(settings, &[])).unwrap().spawn();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let start = std::time::Instant::now();
    stream.write_all(b"GET /health").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1700)).await;
    stream.write_all(b"/live HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    assert!(is_cut(stream, b"x").await);
    assert!(start.elapsed() < Duration::from_millis(3200), "{:?}", start.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_taken_byte_by_byte_is_cut() {
    let server = serve();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let cut = timeout(TIMEOUT, async {
        // The reset is seen at once, however much has not been read.
        while stream.take_error().is_ok_and(|error| error.is_none()) {
            let mut byte = [0];
            if !stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(cut.await.is_ok());
    server.stop().await;
}

/// RFC 9110 section 15.5.16. Nobody is asked who calls, and nothing is decoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_a_coding_is_refused_before_anything_else() {
    let server = serve();
    for (coding, status) in
        [("gzip", "415"), ("zstd", "415"), ("identity, br", "415"), ("identity", "401"), ("IDENTITY", "401")]
    {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let head = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let request = format!("{head}content-encoding: {coding}\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{coding}: {answer}");
        assert_eq!(answer.contains("accept-encoding: identity"), status == "415", "{coding}: {answer}");
    }
    server.stop().await;
}

/// Keep the worker busy for a while.
#[get("/burn", root)]
async fn burn() -> Result<Json<Echo>, StoreError> {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(3) {
        std::hint::spin_loop();
    }
    Ok(Json(Echo { text: "burnt".to_owned() }))
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 2048];
    let size = timeout(TIMEOUT, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..size]).into_owned()
}

/// One worker, and a thousand clients who ask again and again for what it can do 300 times a second. Their connections wait
/// in the runtime's queue, which only a runtime of several threads has.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn more_than_the_worker_can_do_is_refused_at_once_and_health_is_not() {
    let settings = ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        // Nobody is refused for waiting long.
        request_timeout_ms: 60_000,
        ..ServerSettings::default()
    };
    let server = Server::bind(with_settings(settings, &[&burn])).unwrap().spawn();
    let address = server.address();
    // The clients have a runtime of their own: they are not what is too much.
    let clients = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut clients = tokio::task::JoinSet::new();
            (0..1000).for_each(|_| {
                clients.spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let mut refusal = None;
                    for _ in 0..3 {
                        let answer = ask(&mut stream, "/burn").await;
                        if answer.starts_with("HTTP/1.1 503") {
                            refusal = Some(answer);
                        } else {
                            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                        }
                    }
                    refusal
                });
            });
            let health = async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for _ in 0..20 {
                    let answer = ask(&mut stream, "/health/live").await;
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                }
            };
            let (refusals, ()) = tokio::join!(clients.join_all(), health);
            refusals.into_iter().flatten().collect::<Vec<_>>()
        })
    });
    let refusals = tokio::task::spawn_blocking(move || clients.join().unwrap()).await.unwrap();
    assert!(!refusals.is_empty(), "nobody was one too many");
    for refusal in &refusals {
        assert!(refusal.contains("\"code\":\"overloaded\"") && refusal.contains("retry-after: 1"), "{refusal}");
    }
    // It is over when it is over.
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut stream, "/burn").await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}
