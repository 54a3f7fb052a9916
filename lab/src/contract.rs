//! Before anyone is timed: do they answer the same?

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::data::{Seeded, new_post};
use crate::http::{self, Answer, Requests};
use crate::target::Target;

/// `GET` → 200, text, "ok".
pub fn health(address: SocketAddr, requests: &Requests) -> Result<()> {
    let answer = http::call(address, requests)?;
    ensure!(answer.status == 200, "health is answered {}", answer.status);
    ensure!(answer.content_type == "text/plain", "health is {:?}, not text/plain", answer.content_type);
    ensure!(answer.body == b"ok", "health says {:?}", answer.text());
    let absent = http::call(address, &Requests::get("/api/nothing-here"))?;
    ensure!(absent.status == 404, "what is not there is answered {}", absent.status);
    Ok(())
}

/// Some rows, each exactly as it was written; 404 and JSON for one that is not there, and for another's draft.
pub fn row(target: &Target, address: SocketAddr, token: Option<&str>, seeded: &Seeded) -> Result<()> {
    let get = |id: &str| http::call(address, &Requests::get(&format!("{}/{id}", target.paths.posts)).signed(token));
    let some = seeded.published().step_by(1 + seeded.posts.len() / 10);
    for wanted in some {
        let answer = get(id(wanted)?)?;
        let row = read(&answer, 200)?;
        ensure!(row == *wanted, "the row is {row} instead of {wanted}");
    }
    let last = id(seeded.posts.last().context("no posts")?)?;
    let (kept, end) = last.split_at(last.len() - 2);
    let absent = format!("{kept}{}", if end == "zz" { "yy" } else { "zz" });
    // Drafts are the first author's own; nobody signs in as the second.
    for hidden in [absent.as_str()].into_iter().chain(drafts_of_others(seeded)) {
        let answer = get(hidden)?;
        ensure!(answer.status == 404, "{hidden} is answered {}", answer.status);
        ensure!(answer.content_type.ends_with("json"), "an absent row's answer is {:?}", answer.content_type);
    }
    Ok(())
}

fn drafts_of_others(seeded: &Seeded) -> Option<&str> {
    let first = &seeded.authors.first()?["id"];
    let mut drafts = seeded.posts.iter().filter(|post| post["published"] == false && post["author_id"] != *first);
    drafts.next()?["id"].as_str()
}

/// A new post comes back with what was sent and an id of its own; twice is two.
pub fn create(target: &Target, address: SocketAddr, requests: &Requests) -> Result<()> {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = read(&http::call(address, requests)?, target.create_status)?;
        let sent: Value = serde_json::from_str(requests.body.as_deref().unwrap_or_default()).context("our own body")?;
        for field in ["title", "body", "published"] {
            ensure!(made[field] == sent[field], "{field} came back as {}", made[field]);
        }
        ids.push(id(&made)?.to_owned());
    }
    ensure!(ids[0] != ids[1], "two creates made one row");
    Ok(())
}

/// `GET` → 200, text, "ok", for whoever has a good token, and for nobody else.
pub fn caller(address: SocketAddr, path: &str, token: Option<&str>) -> Result<()> {
    let answer = http::call(address, &Requests::get(path).signed(token))?;
    ensure!(answer.status == 200, "a caller is answered {}: {}", answer.status, answer.text());
    ensure!(answer.content_type == "text/plain" && answer.body == b"ok", "a caller is told {:?}", answer.text());
    let nobody = http::call(address, &Requests::get(path))?;
    ensure!(nobody.status == 401, "who has no token is answered {}", nobody.status);
    forged(address, path, token)
}

/// An `ETag` for what is signed in, a 304 for who has it already, a 401 for a forged token.
pub fn tagged(address: SocketAddr, path: &str, token: Option<&str>) -> Result<()> {
    let get = || Requests::get(path).signed(token);
    let answer = http::call(address, &get())?;
    ensure!(answer.status == 200 && !answer.etag.is_empty(), "{path} has no ETag");
    let again = http::call(address, &get().header("if-none-match", &answer.etag))?;
    ensure!(again.status == 304, "what is known already is answered {}", again.status);
    forged(address, path, token)
}

/// A 401 for the same token with another signature: it is verified, not only read.
fn forged(address: SocketAddr, path: &str, token: Option<&str>) -> Result<()> {
    let (signed, signature) = token.and_then(|token| token.rsplit_once('.')).context("a token without a signature")?;
    let token = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let answer = http::call(address, &Requests::get(path).signed(Some(&token)))?;
    ensure!(answer.status == 401, "a forged token is answered {}", answer.status);
    Ok(())
}

/// The newest published posts in their order, each with its author if `with_authors`.
pub fn list(address: SocketAddr, requests: &Requests, seeded: &Seeded, limit: usize, with_authors: bool) -> Result<()> {
    let page = read(&http::call(address, requests)?, 200)?;
    let items = page["items"].as_array().context("a list without items")?;
    let mut wanted: Vec<&Value> = seeded.published().collect();
    wanted.sort_by_key(|post| std::cmp::Reverse(post["created_at"].as_str()));
    ensure!(items.len() == limit.min(wanted.len()), "{} items instead of {limit}", items.len());
    for (item, wanted) in items.iter().zip(&wanted) {
        // Posts of one microsecond may stand in either order.
        ensure!(item["created_at"] == wanted["created_at"], "{} stands where {} belongs", item["id"], wanted["id"]);
        let post = seeded.published().find(|post| post["id"] == item["id"]).context("an item nobody wrote")?;
        for (field, value) in post.as_object().context("a post is an object")? {
            ensure!(item[field] == *value, "{field} of {} is {}", item["id"], item[field]);
        }
        if !with_authors {
            ensure!(item.get("author").is_none(), "an author nobody asked for");
            continue;
        }
        let author = seeded.authors.iter().find(|author| author["id"] == item["author_id"]).context("no author")?;
        for field in ["id", "display_name", "created_at"] {
            ensure!(item["author"][field] == author[field], "the author's {field} is {}", item["author"][field]);
        }
    }
    Ok(())
}

/// The post that creates are timed with.
pub fn created_post() -> Value {
    new_post(1)
}

fn read(answer: &Answer, status: u16) -> Result<Value> {
    ensure!(answer.status == status, "answered {} instead of {status}: {}", answer.status, answer.text());
    ensure!(answer.content_type == "application/json", "the answer is {:?}", answer.content_type);
    answer.json()
}

fn id(post: &Value) -> Result<&str> {
    post["id"].as_str().with_context(|| format!("no id in {post}"))
}
