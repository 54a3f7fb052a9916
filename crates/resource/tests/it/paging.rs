//! A page ends where it has enough bytes, with the cursor of the next, however it is asked for.

use serde_json::{Value, json};
use testkit::{App, TestDatabase, both};

use crate::people::{self, person};
use crate::specimen::{self, body};

const AT: &str = "/api/v1/specimens";
const PAGE: usize = 3000;

both! {
    async fn pages_end_at_their_bytes_and_miss_nothing(db: TestDatabase) {
        let app = App::with(people::domain).and(specimen::domain).set("server.page_bytes", PAGE as u64).start(db).await;
        let owner = person(&app, 1);
        let mut ids = Vec::new();
        for n in 0..30 {
            let mut new = body(n);
            // The third is a page by itself.
            new["data"] = json!("\u{1}".repeat(if n == 2 { 4000 } else { 20 * n }));
            app.clock().advance(std::time::Duration::from_millis(1));
            let made = owner.post(AT).json(&new).send().await.expect(201).json();
            ids.push(made["id"].clone());
        }
        for query in ["", "&fields=id,data", "&sort=-order", "&total=true", "&order[starts_with]="] {
            // Twice more than it takes for a list to be kept.
            for _ in 0..4 {
                let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
                loop {
                    let response = owner.get(&format!("{AT}?limit=100{query}{cursor}")).send().await.expect(200);
                    let page = response.json();
                    let items = page["items"].as_array().unwrap();
                    assert!(items.len() == 1 || response.text().len() < PAGE + 1000, "{query}: {}", response.text().len());
                    assert!(!items.is_empty());
                    found.extend(items.iter().map(|item| item["id"].clone()));
                    pages += 1;
                    match &page["next_cursor"] {
                        Value::Null => break,
                        next => cursor = format!("&cursor={}", next.as_str().unwrap()),
                    }
                }
                assert!((8..=30).contains(&pages), "{query}: {pages}");
                if query.contains("sort") {
                    found.sort_by_key(ToString::to_string);
                } else {
                    found.reverse();
                }
                assert_eq!(found, ids, "{query}: each once, in order");
            }
        }
    }
}
