//! SQLite and PostgreSQL answer alike: the same random sequences of operations, with the same clock and the same
//! randomness, must give the same bytes. Ids, times and cursors are equal too, because nothing in them is left to chance.

use std::fmt::Write as _;

use serde_json::{Value, json};
use testkit::{App, Backend, Caller, TestDatabase};

use crate::people::{self, person};
use crate::specimen::{self, WORDS, body};

const SEQUENCES: u32 = 10_000;
const OPERATIONS: usize = 22;

/// SplitMix64 (Steele, Lea, Flood 2014): the sequence's own chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.below(items.len());
        &items[index]
    }
}

const PATH: &str = "/api/v1/specimens";
const SORTABLE: [&str; 14] = [
    "id", "order", "note", "count", "level", "flag", "maybe", "price", "discount", "due", "done", "person", "helper",
    "changed",
];

/// One value for a filter, in the form its column reads.
fn filter_value(column: &str, chance: &mut Chance) -> String {
    let n = chance.below(24);
    let value = &body(n)[column];
    match value {
        Value::Null if column == "changed" => "2026-11-22T09:31:00Z".into(),
        Value::Null if column == "id" => "spc_01kaz5rcs0f7rvtnzvzvzvzvzv".into(),
        Value::Null => body(n + 1)[column].as_str().map_or_else(|| body(n + 1)[column].to_string(), ToOwned::to_owned),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list_query(chance: &mut Chance) -> String {
    let mut query = format!("?limit={}", 1 + chance.below(5));
    if chance.below(3) > 0 {
        let mut names: Vec<&str> = Vec::new();
        for _ in 0..=chance.below(2) {
            let name = *chance.pick(&SORTABLE);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let signed: Vec<String> =
            names.iter().map(|n| format!("{}{n}", if chance.below(2) == 0 { "-" } else { "" })).collect();
        let _ = write!(query, "&sort={}", signed.join(","));
    }
    for _ in 0..chance.below(3) {
        let column = *chance.pick(&SORTABLE);
        let operator = *chance.pick(&["", "[ne]", "[gt]", "[gte]", "[lt]", "[lte]", "[in]", "[null]", "[starts_with]"]);
        let value = match operator {
            "[null]" => (*chance.pick(&["true", "false"])).to_owned(),
            "[in]" => format!("{},{}", filter_value(column, chance), filter_value(column, chance)),
            _ => filter_value(column, chance),
        };
        let name = format!("{column}{operator}=");
        if !query.contains(&name) {
            let _ = write!(query, "&{name}{}", encode(&value));
        }
    }
    if chance.below(6) == 0 {
        let _ = write!(query, "&fields={},id", chance.pick(&SORTABLE[1..]));
    }
    if chance.below(6) == 0 {
        query.push_str("&total=true");
    }
    query
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Plays one sequence; gives back everything that was answered.
async fn play(app: &App, number: u32) -> String {
    let mut chance = Chance(u64::from(number));
    let owner: Caller = person(app, number + 1);
    let mut ids: Vec<String> = Vec::new();
    let mut tags: Vec<String> = vec!["\"stale\"".into()];
    let mut cursor: Option<(String, String)> = None;
    let mut test = String::new();
    for _ in 0..OPERATIONS {
        if chance.below(4) == 0 {
            app.clock().advance(std::time::Duration::from_micros(chance.below(3_000_000) as u64));
        }
        let some_id = if ids.is_empty() || chance.below(12) == 0 {
            "spc_01kaz5rcs0f7rvtnzvzvzvzvzv".to_owned()
        } else {
            chance.pick(&ids).clone()
        };
        let at = format!("{PATH}/{some_id}");
        let mut followed = None;
        let call = match chance.below(12) {
            0..4 => {
                let mut new = body(chance.below(24));
                new["order"] = json!(format!("{}{}", chance.pick(&WORDS), chance.pick(&WORDS)));
                if chance.below(10) == 0 {
                    new["count"] = json!("many");
                }
                owner.post(PATH).json(&new)
            }
            4 => owner.get(&at),
            5 | 6 => {
                let from = body(chance.below(24));
                let mut patch = json!({});
                for _ in 0..=chance.below(3) {
                    let name = *chance.pick(&[
                        "order", "note", "count", "level", "maybe", "price", "done", "data", "thumb", "helper",
                    ]);
                    patch[name] = from[name].clone();
                }
                let call = owner.patch(&at).json(&patch);
                if chance.below(3) == 0 { call.header("if-match", chance.pick(&tags)) } else { call }
            }
            7 => owner.delete(&at),
            8 if cursor.is_some() => {
                let (query, next) = cursor.clone().unwrap_or_default();
                followed = Some(query.clone());
                owner.get(&format!("{PATH}{query}&cursor={next}"))
            }
            _ => {
                let query = list_query(&mut chance);
                followed = Some(query.clone());
                owner.get(&format!("{PATH}{query}"))
            }
        };
        let shown = format!("{call:?}");
        let response = call.send().await;
        assert!(response.status() < 500, "sequence {number}: {shown}: {}", response.text());
        if let Some(tag) = response.header("etag") {
            tags.push(tag.to_owned());
        }
        if response.status() == 201 {
            ids.push(response.json()["id"].as_str().expect("an id").to_owned());
        }
        if let Some(query) = followed
            && response.status() == 200
        {
            cursor = response.json()["next_cursor"].as_str().map(|next| (query, next.to_owned()));
        }
        // The request id counts requests of the process, so it is the same as well; it is left out only to keep this short.
        let text = response.text();
        let body = text.split("\"request_id\"").next().unwrap_or_default();
        let _ = writeln!(
            test,
            "{} {:?} {:?} {body}",
            response.status(),
            response.header("etag"),
            response.header("location")
        );
    }
    test
}

/// Plays a share of the sequences on both, and compares each.
async fn compare(share: std::ops::Range<u32>) -> u32 {
    let seed = u64::from(share.start) + 1;
    let mut apps = Vec::new();
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::fresh(backend).await;
        // So small that much of what was read is put out again: what a cache keeps changes nothing that is answered.
        let setup = App::with(people::domain).and(specimen::domain).seeded(seed).set("cache.memory_bytes", 2 << 20);
        apps.push(setup.start(database).await);
    }
    let mut compared = 0;
    for number in share {
        let (sqlite, postgres) = tokio::join!(play(&apps[0], number), play(&apps[1], number));
        if sqlite != postgres {
            for (step, (a, b)) in sqlite.lines().zip(postgres.lines()).enumerate() {
                assert_eq!(a, b, "sequence {number}, operation {step}: SQLite left, PostgreSQL right");
            }
        }
        compared += 1;
    }
    compared
}

#[test]
fn both_databases_answer_alike() {
    // `MAINSTAY_TEST_SEQUENCES` plays fewer locally; CI plays them all.
    #[expect(clippy::disallowed_methods, reason = "a test's own knob")]
    let wanted = std::env::var("MAINSTAY_TEST_SEQUENCES").ok().and_then(|n| n.parse().ok()).unwrap_or(SEQUENCES);
    let half = wanted / 2;
    let other = std::thread::spawn(move || testkit::run(compare(0..half)));
    let compared = testkit::run(compare(half..wanted)) + other.join().expect("the other half");
    assert_eq!(compared, wanted);
}

/// A product that moves goes on as if it had not: the rows that SQLite has after some sequences are carried to PostgreSQL,
/// and from there both play others.
#[test]
fn a_copy_answers_as_the_file_would_have() {
    testkit::run(async {
        let setup = || App::with(people::domain).and(specimen::domain);
        let before = setup().seeded(1).start(TestDatabase::fresh(Backend::Sqlite).await).await;
        for number in 0..60 {
            play(&before, number).await;
        }
        let database = TestDatabase::fresh(Backend::Postgres).await;
        let (from, to) = (before.database().settings(), database.settings());
        let sets = mainstay::App::new().domain(people::domain()).domain(specimen::domain()).migration_sets();
        let copied = mainstay::store::copy(&from, &to, &sets, before.clock(), &mut |_| {}).await.expect("it is copied");
        assert!(copied.rows > 100, "{copied:?}");
        let sqlite = before.another_node(|setup| setup.seeded(2)).await.expect("it starts");
        let postgres = setup().seeded(2).at(&before.clock().now().to_string()).start(database).await;
        for number in 60..160 {
            let (a, b) = tokio::join!(play(&sqlite, number), play(&postgres, number));
            for (step, (a, b)) in a.lines().zip(b.lines()).enumerate() {
                assert_eq!(a, b, "sequence {number}, operation {step}: the file left, its copy right");
            }
        }
    });
}
