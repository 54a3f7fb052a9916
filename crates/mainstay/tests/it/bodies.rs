//! Behind a real socket: how much of a body is taken, and what bodies may keep in memory together.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay::prelude::*;
use mainstay::web::{Server, ServerHandle, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::with_settings;

/// Says how long it was.
#[view]
pub struct Length {
    /// Characters.
    characters: u32,
}

/// A text of any length.
#[input]
pub struct Long {
    /// It.
    text: String,
}

/// A text that ends.
#[input]
pub struct Short {
    /// It.
    #[check(length(max = 2000))]
    text: String,
}

/// A text as long as a post's.
#[input]
pub struct Medium {
    /// It.
    #[check(length(max = 100_000))]
    text: String,
}

/// Measure one as long as a post.
#[post("/medium", root)]
async fn measure_medium(Valid(input): Valid<Medium>) -> Result<Json<Length>, StoreError> {
    Ok(length(&input.text))
}

fn length(text: &str) -> Json<Length> {
    Json(Length { characters: text.chars().count() as u32 })
}

/// Measure a long one.
#[post("/long", root)]
async fn measure_long(Valid(input): Valid<Long>) -> Result<Json<Length>, StoreError> {
    Ok(length(&input.text))
}

/// Measure a short one.
#[post("/short", root)]
async fn measure_short(Valid(input): Valid<Short>) -> Result<Json<Length>, StoreError> {
    Ok(length(&input.text))
}

/// Take one, and be long about it.
#[post("/slow", root)]
async fn measure_slowly(Valid(input): Valid<Long>) -> Result<Json<Length>, StoreError> {
    sleep(Duration::from_secs(5)).await;
    Ok(length(&input.text))
}

const MIB: usize = 1024 * 1024;

/// There is memory for one large body.
fn serve() -> ServerHandle {
    serve_with(MIB, MIB)
}

fn serve_with(max_body_bytes: usize, body_memory_bytes: usize) -> ServerHandle {
    let settings = ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_body_bytes,
        body_memory_bytes,
        ..ServerSettings::default()
    };
    let api = with_settings(settings, &[&measure_long, &measure_short, &measure_medium, &measure_slowly]);
    Server::bind(api).unwrap().spawn()
}

fn head(path: &str, framing: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    )
}

/// A body of `bytes` bytes, blanks included, with a text of `characters` characters.
fn body(bytes: usize, characters: usize) -> String {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(characters));
    format!("{text}{}", " ".repeat(bytes.saturating_sub(text.len())))
}

async fn begin(server: &ServerHandle, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as a close.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn send(server: &ServerHandle, path: &str, body: &str) -> String {
    let head = head(path, &format!("content-length: {}", body.len()));
    end(begin(server, format!("{head}{body}").as_bytes()).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_takes_no_more_than_its_schema_lets_through() {
    let server = serve();
    // The longest text in its longest writing: 2,000 characters in 24 KB, without blanks.
    let longest = format!("{{\"\\u0074ext\":\"{}\"}}", "\\ud83d\\ude00".repeat(2000));
    let answer = send(&server, "/short", &longest).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("2000"), "{answer}");
    // One character more is an error that names the field, as any other error does.
    let answer = send(&server, "/short", &body(0, 2001)).await;
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("/text"), "{answer}");
    // Refused by its announcement: nothing of it is sent.
    let announced = begin(&server, head("/short", "content-length: 40000").as_bytes()).await;
    let answer = end(announced).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    // Refused while it arrives, and not waited for.
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let chunked = head("/short", "transfer-encoding: chunked") + &chunk;
    let answer = end(begin(&server, chunked.as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    // One without an end is bounded by the server alone.
    let answer = send(&server, "/long", &body(MIB, MIB - 100)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = send(&server, "/long", &body(MIB + 1, 1)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.stop().await;
}

/// What a body says counts, not how a client's library writes it: Python writes an emoji in twelve bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_text_is_taken_in_its_longest_writing() {
    let server = serve_with(MIB, 4 * MIB);
    let text = |character: &str, count: usize| format!("{{\"text\": \"{}\"}}", character.repeat(count));
    let emoji = text("\\ud83d\\ude00", 100_000);
    assert!(emoji.len() > MIB);
    let answer = send(&server, "/medium", &emoji).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("100000"), "{answer}");
    // One more is an error that names the text.
    let answer = send(&server, "/medium", &text("\\ud83d\\ude00", 100_001)).await;
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("/text"), "{answer}");
    // What says more than the server takes is too large, within the same length.
    let answer = send(&server, "/medium", &body(MIB + 1, 10)).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("1048576 bytes"), "{answer}");
    // As is what no text of that length can be, before it is sent.
    let announced = begin(&server, head("/medium", "content-length: 1300000").as_bytes()).await;
    let answer = end(announced).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.stop().await;
    // An operator who takes less takes less, in any writing.
    let server = serve_with(64 * 1024, MIB);
    let answer = send(&server, "/medium", &text("\\ud83d\\ude00", 16_000)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = send(&server, "/medium", &text("\\ud83d\\ude00", 17_000)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_beyond_the_memory_are_told_to_come_again_and_small_ones_are_taken() {
    let server = serve();
    let large = body(MIB, 10);
    let smaller = body(16_000, 10);
    let (first, (second, small, took)) = tokio::join!(send(&server, "/slow", &large), async {
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        let (second, small) = tokio::join!(send(&server, "/long", &large), send(&server, "/long", &smaller));
        (second, small, start.elapsed())
    });
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    assert!(
        second.starts_with("HTTP/1.1 503") && second.contains("overloaded") && second.contains("retry-after: 1"),
        "{second}"
    );
    assert!(took < Duration::from_secs(4), "it waits for two seconds: {took:?}");
    assert!(small.starts_with("HTTP/1.1 200"), "{small}");
    // The memory was given back.
    let again = send(&server, "/long", &large).await;
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
    server.stop().await;
}

/// Four bodies that come a byte at a time keep 4 KB each, though they come in thousands of pieces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_many_pieces_takes_no_more_than_it_keeps() {
    let server = serve();
    let small = body(4000, 10);
    let all = (0..4).map(|_| {
        let (head, small) = (head("/short", "content-length: 4000"), small.clone());
        let address = server.address();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            for byte in small.as_bytes().chunks(1) {
                stream.write_all(byte).await.unwrap();
                tokio::task::yield_now().await;
            }
            end(stream).await
        })
    });
    for one in all.collect::<Vec<_>>() {
        let answer = one.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_slowly_keeps_the_memory_only_while_nobody_else_wants_it() {
    let server = serve();
    let large = body(MIB, 10);
    let head = head("/long", &format!("content-length: {MIB}"));
    let mut slow = begin(&server, format!("{head}{}", &large[..20_000]).as_bytes()).await;
    sleep(Duration::from_secs(2)).await;
    // Nobody was in need of it.
    slow.write_all(&large.as_bytes()[20_000..40_000]).await.unwrap();
    let ended = tokio::spawn(end(slow));
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(send(&server, "/long", &large).await[..12].to_owned());
    }
    // The one in the way is given up within its step, before the first of them has waited for too long.
    assert!(answers.iter().all(|answer| answer == "HTTP/1.1 200"), "{answers:?}");
    let slow = ended.await.unwrap();
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    server.stop().await;
}
