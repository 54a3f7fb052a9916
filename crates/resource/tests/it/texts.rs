//! What a query can say: texts in any form of Unicode, lists with commas, times with a plus.

use mainstay::kernel::{RequestPart, ValidationErrors};
use mainstay::web::JsonValidator;
use serde_json::{Value, json};
use testkit::{App, Caller, TestDatabase, both};

use crate::people::{self, person};
use crate::specimen::{self, body};

const PATH: &str = "/api/v1/specimens";
/// `한글`, as macOS writes it, and in one character each.
const DECOMPOSED: &str = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}";
const COMPOSED: &str = "한글";

fn encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

async fn start(db: TestDatabase) -> (App, Caller) {
    let app = App::with(people::domain).and(specimen::domain).start(db).await;
    let owner = person(&app, 1);
    (app, owner)
}

async fn add(owner: &Caller, order: &str) -> String {
    let mut new = body(1);
    new["order"] = json!(order);
    owner.post(PATH).json(&new).await.expect(201).json()["order"].as_str().unwrap().to_owned()
}

/// The orders that a query finds, in their own order.
async fn found(owner: &Caller, query: &str) -> Vec<String> {
    let page = owner.get(&format!("{PATH}?sort=order&{query}")).await.expect(200).json();
    page["items"].as_array().unwrap().iter().map(|item| item["order"].as_str().unwrap().to_owned()).collect()
}

both! {
    /// Kept and compared in NFC (RFC 8264 section 5.2.5), whichever way either is typed.
    async fn decomposed_and_composed_texts_are_one(db: TestDatabase) {
        let (_app, owner) = start(db).await;
        for order in [DECOMPOSED, COMPOSED, "한", "Cafe\u{301}"] {
            add(&owner, order).await;
        }
        assert_eq!(found(&owner, "").await, ["Café", "한", COMPOSED, COMPOSED]);
        for typed in [DECOMPOSED, COMPOSED] {
            let typed = encode(typed);
            assert_eq!(found(&owner, &format!("order={typed}")).await, [COMPOSED; 2]);
            assert_eq!(found(&owner, &format!("order[in]={typed},x")).await, [COMPOSED; 2]);
            assert_eq!(found(&owner, &format!("order[ne]={typed}")).await, ["Café", "한"]);
            assert_eq!(found(&owner, &format!("order[gte]={typed}")).await, [COMPOSED; 2]);
        }
        for typed in ["\u{1112}\u{1161}\u{11ab}", "한"] {
            let typed = encode(typed);
            assert_eq!(found(&owner, &format!("order[starts_with]={typed}")).await, ["한", COMPOSED, COMPOSED]);
        }
        // Twenty characters may be sixty as they are typed.
        let full = "\u{1112}\u{1161}\u{11ab}".repeat(20);
        assert_eq!(add(&owner, &full).await, "한".repeat(20));
        let mut longer = body(1);
        longer["order"] = json!(format!("{full}x"));
        owner.post(PATH).json(&longer).await.expect_field_errors(&[("/order", "length")]);
    }

    async fn a_list_of_values_holds_commas_in_quotes(db: TestDatabase) {
        let (_app, owner) = start(db).await;
        for order in ["a", "a,b", "b", "\"q\"", "x\\y"] {
            add(&owner, order).await;
        }
        for (list, orders) in [
            ("a,b", vec!["a", "b"]),
            ("\"a,b\"", vec!["a,b"]),
            ("\"a,b\",b", vec!["a,b", "b"]),
            ("b,\"a,b\"", vec!["a,b", "b"]),
            ("\"\\\"q\\\"\"", vec!["\"q\""]),
            ("\"x\\\\y\",a", vec!["a", "x\\y"]),
            ("x\\y", vec!["x\\y"]),
        ] {
            assert_eq!(found(&owner, &format!("order[in]={}", encode(list))).await, orders, "{list}");
            // As it stands, but for what a target cannot hold.
            let plain = list.replace('"', "%22").replace('\\', "%5C");
            assert_eq!(found(&owner, &format!("order[in]={plain}")).await, orders, "{list}");
        }
        for list in ["\"a", "\"a\"b", "\"a\\n\"", "a,\""] {
            let response = owner.get(&format!("{PATH}?order[in]={}", encode(list))).await;
            response.expect_field_errors(&[("/order[in]", "format")]);
        }
        // Only texts have commas: anything else is as it is without quotes.
        owner.get(&format!("{PATH}?count[in]=%221%22")).await.expect_field_errors(&[("/count[in]", "type")]);
    }

    async fn a_plus_that_was_not_encoded_is_told(db: TestDatabase) {
        let (_app, owner) = start(db).await;
        for name in ["due", "due[gte]", "done[in]", "changed[lt]"] {
            let response = owner.get(&format!("{PATH}?{name}=2026-01-01T00:00:00+09:00")).await;
            let error = response.expect_field_errors(&[(&format!("/{name}"), "format")]).json()["errors"][0].clone();
            assert!(error["message"].as_str().unwrap().contains("`%2B`"), "{error}");
            owner.get(&format!("{PATH}?{name}=2026-01-01T00:00:00%2B09:00")).await.expect(200);
        }
        let response = owner.get(&format!("{PATH}?due=2026-01-01%2000:00:00Z")).await.expect_field_errors(&[("/due", "format")]);
        assert!(response.json()["errors"][0]["message"].as_str().unwrap().contains("RFC 3339"));
    }

    /// The same rule has the same name as where a query is described by a type.
    async fn values_of_a_filter_have_one_spelling(db: TestDatabase) {
        let (_app, owner) = start(db).await;
        let refused = |query: &str, code: &'static str| {
            let (name, path) = (query.split('=').next().unwrap().to_owned(), format!("{PATH}?{query}"));
            let owner = owner.clone();
            async move { owner.get(&path).await.expect_field_errors(&[(&format!("/{name}"), code)]) }
        };
        for text in ["%2B5", "+5", "%205", "05", "5.0", "1e1", "0x5", "%D9%A5", "", "x", "9223372036854775808"] {
            refused(&format!("count={text}"), "type").await;
            refused(&format!("count[gte]={text}"), "type").await;
            refused(&format!("count[in]=1,{text}"), "type").await;
        }
        refused("level=2147483648", "range").await;
        for text in ["True", "1", "", "%20true"] {
            refused(&format!("flag={text}"), "type").await;
            refused(&format!("note[null]={text}"), "type").await;
            refused(&format!("total={text}"), "type").await;
        }
        for text in ["%20spc_00000000000000000000000001", "spc_0000000000000000000000000A", "+"] {
            refused(&format!("id={text}"), "format").await;
        }
        refused("price=%2B1.00", "format").await;
        refused("order=a%00", "nul_character").await;
        assert!(found(&owner, "count=-0&total=false").await.is_empty());
    }
}

#[test]
fn the_document_says_how_a_comma_is_written() {
    testkit::run(async {
        let app = App::with(people::domain)
            .and(specimen::domain)
            .start(TestDatabase::fresh(testkit::Backend::Sqlite).await)
            .await;
        let document = app.running().api.document_value();
        let parameters = document["paths"][PATH]["get"]["parameters"].as_array().unwrap();
        let list: &Value = parameters.iter().find(|parameter| parameter["name"] == "order[in]").unwrap();
        assert_eq!((&list["style"], &list["explode"]), (&json!("form"), &json!(false)));
        let items = JsonValidator::new(list["schema"]["items"].clone()).unwrap();
        let is_valid = |item: &str| {
            let mut errors = ValidationErrors::new();
            items.errors(&json!(item), RequestPart::Query, &mut errors);
            errors.is_empty()
        };
        for (item, is_written_so) in
            [("a", true), ("", true), ("\"a,b\"", true), ("a\"b", true), ("a,b", false), ("\"a", false)]
        {
            assert_eq!(is_valid(item), is_written_so, "{item}");
        }
    });
}
