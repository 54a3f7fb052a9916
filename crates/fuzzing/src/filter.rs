use std::cell::RefCell;
use std::collections::BTreeSet;

use mainstay::kernel::{Identity, Role, SessionId};
use mainstay::resource::{Cursors, Resource};
use mainstay::web::parse_pairs;
use serde_json::Value;
use testkit::{App, Setup};

use crate::run::{self, Stage};
use crate::specimen::Specimen;
use crate::{people, specimen};

const PATH: &str = "/api/v1/specimens";
const ROWS: usize = 12;

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

fn setup() -> Setup {
    App::with(people::domain).and(specimen::domain).seeded(1)
}

async fn fill(app: &App) {
    let owner = people::person(app, 1);
    for n in 0..ROWS {
        owner.post(PATH).json(&specimen::body(n)).await.expect(201);
    }
}

/// The query strings of a list of a resource that has a column of every type.
///
/// Nothing a caller writes becomes SQL; what is accepted runs; a page keeps its limit, and the cursor at its end leads
/// on, in that list alone. Every answer is also held against the document, by the testkit.
pub fn filter(data: &[u8]) {
    let query = sendable(data);
    run::on(&STAGE, setup, fill, async |app| {
        let accepted = judge_sql(&app.service(), &query);
        let owner = people::person(&app, 1);
        let response = owner.get(&format!("{PATH}?{query}")).await;
        let status = response.status();
        assert_eq!(status == 200, accepted, "both readings of {query:?} agree: {status}");
        if status != 200 {
            assert!(status == 400 || status == 422, "{status} for {query:?}");
            assert!(status == 400 || !response.errors().is_empty(), "a refusal names an error: {query:?}");
            return;
        }
        let page = response.json();
        let items = ids(&page);
        let names: Vec<String> =
            parse_pairs(&query).expect("it was accepted").into_iter().map(|(name, _)| name.into_owned()).collect();
        let is_named = |name: &str| names.iter().any(|n| n == name);
        assert!(page["total"].is_u64() == query_wants_total(&query), "a total where it is asked for: {query:?}");
        assert!(page["items"].as_array().is_some_and(|items| items.len() <= 100));
        let Some(next) = page["next_cursor"].as_str().filter(|_| !is_named("cursor")) else { return };
        let here = format!("{PATH}?{query}{}cursor={next}", if names.is_empty() { "" } else { "&" });
        let second = owner.get(&here).await.expect(200).json();
        assert!(items.is_disjoint(&ids(&second)), "{query:?} shows a row twice");
        if !is_named("owner_id[ne]") {
            let elsewhere = owner.get(&format!("{here}&owner_id[ne]=usr_00000000000000000000000000")).await;
            elsewhere.expect_problem(422, "invalid_request").expect_field_errors(&[("/cursor", "cursor")]);
        }
    });
}

fn query_wants_total(query: &str) -> bool {
    parse_pairs(query).is_ok_and(|pairs| pairs.iter().any(|(name, text)| name == "total" && text == "true"))
}

fn ids(page: &Value) -> BTreeSet<String> {
    let items = page["items"].as_array().expect("a page has items");
    items.iter().filter_map(|item| item["id"].as_str().map(ToOwned::to_owned)).collect()
}

/// What stands in a request's target is ASCII without spaces; the rest arrives percent-encoded.
fn sendable(data: &[u8]) -> String {
    let mut query = String::with_capacity(data.len());
    for byte in data.iter().take(2000) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => query.push(char::from(*byte)),
            byte if b"-._~%&=+,:[]!$'()*/;?@".contains(byte) => query.push(char::from(*byte)),
            byte => query.push_str(&format!("%{byte:02X}")),
        }
    }
    query
}

/// Every word that may stand in a list's SQL, beside the quoted names of columns and of the table.
const WORDS: [&str; 27] = [
    "and", "asc", "by", "case", "count", "desc", "distinct", "else", "end", "false", "first", "from", "in", "is",
    "last", "limit", "not", "null", "nulls", "or", "order", "select", "substr", "then", "true", "when", "where",
];

/// Reads the query as the list does, and looks at each word of the SQL. Says whether the query was accepted.
fn judge_sql(cursors: &Cursors, query: &str) -> bool {
    let person = people::user(1);
    let identity =
        Identity::User { user_id: person, session_id: SessionId::from_uuid(person.as_uuid()), role: Role::User };
    let statements = resource::fuzzing::statements::<Specimen>(cursors, &identity, query);
    let Some(statements) = statements else { return false };
    for (text, parameters) in statements {
        let mut rest = text.as_str();
        let mut bound = BTreeSet::new();
        while let Some(first) = rest.chars().next() {
            let word = |is: fn(char) -> bool, from: usize| {
                rest[from..].find(|c: char| !is(c)).map_or(rest.len(), |end| from + end)
            };
            let end = match first {
                '"' => {
                    let end = 2 + rest[1..].find('"').expect("a quoted name ends");
                    let name = &rest[1..end - 1];
                    let is_known =
                        // Whose things are gone, the platform's own table says.
                        ["owner_erasures", "owner_id", Specimen::SPEC.table].contains(&name)
                            || Specimen::SPEC.columns.iter().any(|c| c.name == name);
                    assert!(is_known, "{name:?} is no name of ours: {text}");
                    end
                }
                '$' => {
                    let end = word(|c| c.is_ascii_digit(), 1);
                    bound.insert(rest[1..end].parse::<usize>().expect("a parameter's number"));
                    end
                }
                c if c.is_ascii_alphabetic() => {
                    let end = word(|c| c.is_ascii_alphabetic(), 0);
                    assert!(WORDS.contains(&&rest[..end]), "{:?} is no word of ours: {text}", &rest[..end]);
                    end
                }
                // How many characters `starts_with` compares, and from which.
                c if c.is_ascii_digit() => word(|c| c.is_ascii_digit(), 0),
                c => {
                    assert!(" (),=<>*".contains(c), "{c:?} is no sign of ours: {text}");
                    1
                }
            };
            rest = &rest[end..];
        }
        assert!(bound.into_iter().eq(1..=parameters), "each parameter is bound by its number: {text}");
    }
    true
}
