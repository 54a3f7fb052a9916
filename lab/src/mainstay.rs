//! What the lab knows of Mainstay's API: accounts and log-ins.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::{self, Requests};
use crate::target::LogIn;

const PASSWORD: &str = "a bench's password, long enough";
const WAIT: Duration = Duration::from_secs(60);

/// The parameters of the password hash, given to the server and to the bare hash alike: memory, passes, lanes.
pub const HASH: [u32; 3] = [19456, 2, 1];

/// The settings that say so.
pub fn hash_settings() -> Vec<(String, String)> {
    let names = ["MAINSTAY_AUTH__HASH_MEMORY_KIB", "MAINSTAY_AUTH__HASH_PASSES", "MAINSTAY_AUTH__HASH_LANES"];
    names.iter().zip(HASH).map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

/// Makes the account with this number; returns its profile.
pub fn register(address: SocketAddr, number: usize) -> Result<Value> {
    let body = json!({ "email": email(number), "password": PASSWORD, "display_name": format!("Author {number}") });
    insist(address, &Requests::post("/api/v1/auth/register", &body), 201)
}

/// Signs in; returns the access token.
pub fn log_in(address: SocketAddr, number: usize) -> Result<String> {
    let answer = insist(address, &log_in_requests(number), 200)?;
    Ok(answer["access_token"].as_str().context("the answer to a log-in has no access_token")?.to_owned())
}

/// Makes the first author's account at a target of the study that has accounts.
pub fn register_at(address: SocketAddr, path: &str) -> Result<()> {
    let body = json!({ "email": email(0), "password": PASSWORD, "passwordConfirm": PASSWORD });
    insist(address, &Requests::post(path, &body), 200).map(drop)
}

/// Signs in at any target of the study that has accounts, as the first author.
pub fn log_in_at(address: SocketAddr, how: &LogIn) -> Result<String> {
    let answer =
        insist(address, &Requests::post(&how.path, &json!({ &how.name: email(0), "password": PASSWORD })), 200)?;
    let token = answer.pointer(&how.token).and_then(Value::as_str);
    Ok(token.with_context(|| format!("the answer to a log-in has no {}", how.token))?.to_owned())
}

/// The log-in itself, as load.
pub fn log_in_requests(number: usize) -> Requests {
    Requests::post("/api/v1/auth/login", &json!({ "email": email(number), "password": PASSWORD }))
}

fn email(number: usize) -> String {
    format!("author-{number}@example.org")
}

/// Repeats while the server is busy hashing, as a polite client does.
fn insist(address: SocketAddr, requests: &Requests, wanted: u16) -> Result<Value> {
    let start = Instant::now();
    loop {
        let answer = http::call(address, requests)?;
        match answer.status {
            status if status == wanted => return answer.json(),
            429 | 503 if start.elapsed() < WAIT => thread::sleep(Duration::from_millis(100)),
            status => bail!("{} {:?}: {status}: {}", requests.method, requests.paths, answer.text()),
        }
    }
}
