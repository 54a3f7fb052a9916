//! What every resource promises, whatever it holds. A domain runs it on its own resources.

use std::collections::BTreeSet;

use mainstay::resource::{FieldKind, Read, Resource, Spec, Write};
use serde_json::{Value, json};

use crate::{App, Caller, Response};

/// A resource to be held to what all resources promise.
pub struct Subject<'a> {
    /// The app that serves it.
    pub app: &'a App,
    /// Someone who may create them; an administrator where only administrators may.
    pub owner: &'a Caller,
    /// Someone else, no administrator.
    pub other: &'a Caller,
    /// A body that creates the n-th. Bodies of different `n` differ wherever they can, and some optional fields are null.
    pub new: &'a dyn Fn(usize) -> Value,
    /// A body that changes one, in a way that shows in the answer.
    pub patch: Value,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subject")
    }
}

/// Whether a value passes a filter.
type Holds<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

/// How many are made: some pages, with a rest.
const COUNT: usize = 11;

impl Subject<'_> {
    /// Checks every promise.
    ///
    /// # Panics
    /// At the first that is broken.
    pub async fn check<R: Resource>(&self) {
        let spec = R::SPEC;
        let path = format!("/api/v1{}", spec.path);
        let made = self.create(spec, &path).await;
        self.reads(spec, &path, &made).await;
        self.conditions(&path, &made).await;
        self.keys(&path).await;
        self.lists(spec, &path, &made).await;
        self.filters(spec, &path).await;
        self.bad_queries(spec, &path).await;
        self.bad_bodies(&path, &made).await;
        self.strangers(spec, &path).await;
        self.change_and_delete(spec, &path, &made).await;
    }

    /// Created again with the same `Idempotency-Key`, a thing is the same; others' keys are others'.
    async fn keys(&self, path: &str) {
        let create = |caller: &Caller, n: usize| {
            caller.post(path).header("idempotency-key", "\"the same\"").json(&(self.new)(n)).send()
        };
        let first = create(self.owner, 0).await.expect(201);
        let again = create(self.owner, 0).await.expect(201);
        assert_eq!((first.text(), first.header("location")), (again.text(), again.header("location")));
        assert_eq!((first.header("etag"), again.header("idempotency-replayed")), (again.header("etag"), Some("true")));
        if (self.new)(1) != (self.new)(0) {
            create(self.owner, 1).await.expect_problem(422, "idempotency_key_reused");
        }
        let anonymous = self.app.anonymous();
        create(&anonymous, 0).await.expect_problem(401, "missing_token");
        let others = create(self.other, 0).await;
        assert_eq!(others.header("idempotency-replayed"), None);
        self.owner.delete(first.header("location").expect("a Location")).send().await.expect(204);
        if others.status() == 201 {
            self.other.delete(others.header("location").expect("a Location")).send().await.expect(204);
        }
    }

    async fn create(&self, spec: &Spec, path: &str) -> Vec<Value> {
        let mut made = Vec::new();
        for n in 0..COUNT {
            // Two share a moment now and then, so that ties are met.
            if n % 3 != 0 {
                self.app.clock().advance(std::time::Duration::from_micros(1_000_001));
            }
            let response = self.owner.post(path).json(&(self.new)(n)).send().await.expect(201);
            let view = response.json();
            assert_eq!(
                response.header("location"),
                Some(format!("{path}/{}", view["id"].as_str().expect("an id")).as_str())
            );
            let got: BTreeSet<&str> = view.as_object().expect("an object").keys().map(String::as_str).collect();
            let visible: BTreeSet<&str> = spec.columns.iter().filter(|c| c.is_visible).map(|c| c.name).collect();
            assert_eq!(got, visible);
            for (name, value) in (self.new)(n).as_object().expect("an object") {
                assert_eq!(&view[name], value, "`{name}` comes back as it was sent");
            }
            made.push(view);
        }
        made
    }

    async fn reads(&self, spec: &Spec, path: &str, made: &[Value]) {
        for view in made {
            let at = format!("{path}/{}", text(&view["id"]));
            assert_eq!(&self.owner.get(&at).send().await.expect(200).json(), view);
            for column in spec.columns.iter().filter(|c| c.is_visible) {
                let part = self.owner.get(&format!("{at}?fields={}", column.name)).send().await.expect(200).json();
                assert_eq!(part, json!({ column.name: view[column.name] }));
            }
        }
    }

    async fn conditions(&self, path: &str, made: &[Value]) {
        let at = format!("{path}/{}", text(&made[0]["id"]));
        let tag = self.owner.get(&at).send().await.expect(200).header("etag").expect("an ETag").to_owned();
        let response = self.owner.get(&at).header("if-none-match", &tag).send().await.expect(304);
        assert_eq!(response.text(), "");
        let stale = self.owner.patch(&at).header("if-match", "\"stale\"").json(&self.patch).send().await;
        stale.expect_problem(412, "precondition_failed");
        assert_eq!(self.owner.get(&at).send().await.expect(200).json(), made[0], "nothing happened");
        let response = self.owner.patch(&at).header("if-match", &tag).json(&json!({})).send().await.expect(200);
        assert_eq!(
            (response.header("etag"), response.json()),
            (Some(tag.as_str()), made[0].clone()),
            "nothing was asked"
        );
        self.owner.delete(&at).header("if-match", "\"stale\"").send().await.expect_problem(412, "precondition_failed");
    }

    /// Walks through a list by its cursors.
    async fn walk(&self, path: &str, query: &str, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let response =
                self.owner.get(&format!("{path}?limit={limit}{query}{cursor}")).send().await.expect(200).json();
            let page = response["items"].as_array().expect("items").clone();
            assert!(page.len() <= limit);
            items.extend(page);
            match response["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
            assert!(items.len() <= COUNT, "the list does not end");
        }
    }

    async fn lists(&self, spec: &Spec, path: &str, made: &[Value]) {
        // Newest first is by id, whose last bits are chance where two share a moment.
        let mut newest_first: Vec<&Value> = made.iter().collect();
        newest_first.sort_by(|a, b| compare(FieldKind::Id, &b["id"], &a["id"]));
        let all = self.owner.get(&format!("{path}?limit=100&total=true")).send().await.expect(200).json();
        assert_eq!((&all["total"], &all["next_cursor"]), (&json!(COUNT), &Value::Null));
        same(all["items"].as_array().expect("items").iter(), newest_first.iter().copied(), "newest first");
        for column in spec.columns.iter().filter(|c| c.is_sort) {
            for sign in ["", "-"] {
                let sort = format!("&sort={sign}{}", column.name);
                let whole = self.walk(path, &sort, 100).await;
                for limit in [1, 3, COUNT] {
                    same(self.walk(path, &sort, limit).await.iter(), whole.iter(), &format!("{sort} by {limit}"));
                }
                let mut sorted: Vec<&Value> = made.iter().collect();
                sorted.sort_by(|a, b| {
                    compare(column.kind, &a[column.name], &b[column.name]).then(compare(
                        FieldKind::Id,
                        &a["id"],
                        &b["id"],
                    ))
                });
                if sign == "-" {
                    sorted.reverse();
                }
                same(whole.iter(), sorted.iter().copied(), &sort);
            }
        }
        let parts = self.walk(path, "&fields=id", 4).await;
        let ids: Vec<Value> = newest_first.iter().map(|v| json!({ "id": v["id"] })).collect();
        assert_eq!(parts, ids);
    }

    async fn filters(&self, spec: &Spec, path: &str) {
        let all = self.walk(path, "", 100).await;
        for column in spec.columns.iter().filter(|c| c.is_filter) {
            let name = column.name;
            let is_ordered = !matches!(column.kind, FieldKind::Json | FieldKind::Blob);
            for pivot in all.iter().map(|v| &v[name]).filter(|v| !v.is_null() && is_ordered) {
                let kind = column.kind;
                let is_text = kind == FieldKind::Text;
                let prefix: String = text(pivot).chars().take(2).collect();
                let mut cases: Vec<(&str, String, Holds<'_>)> =
                    vec![("", text(pivot), Box::new(|v| v == pivot)), ("[ne]", text(pivot), Box::new(|v| v != pivot))];
                if kind != FieldKind::Bool {
                    use std::cmp::Ordering::{Greater, Less};
                    let holds = |wanted: &'static [std::cmp::Ordering]| {
                        Box::new(move |v: &Value| !v.is_null() && wanted.contains(&compare(kind, v, pivot)))
                    };
                    cases.push(("[gt]", text(pivot), holds(&[Greater])));
                    cases.push(("[gte]", text(pivot), holds(&[Greater, std::cmp::Ordering::Equal])));
                    cases.push(("[lt]", text(pivot), holds(&[Less])));
                    cases.push(("[lte]", text(pivot), holds(&[Less, std::cmp::Ordering::Equal])));
                    let written = if is_text { quoted(&text(pivot)) } else { text(pivot) };
                    cases.push(("[in]", written, Box::new(|v| v == pivot)));
                }
                if is_text {
                    let begins = prefix.clone();
                    cases.push((
                        "[starts_with]",
                        prefix,
                        Box::new(move |v| v.as_str().is_some_and(|t| t.starts_with(&begins))),
                    ));
                }
                for (operator, value, holds) in cases {
                    let query = format!("&{name}{operator}={}", encode(&value));
                    let found = self.walk(path, &query, 100).await;
                    let expected: Vec<&Value> = all.iter().filter(|v| holds(&v[name])).collect();
                    same(found.iter(), expected.iter().copied(), &query);
                }
            }
            if column.is_nullable {
                for is_null in [true, false] {
                    let found = self.walk(path, &format!("&{name}[null]={is_null}"), 2).await;
                    let expected: Vec<&Value> = all.iter().filter(|v| v[name].is_null() == is_null).collect();
                    same(found.iter(), expected.iter().copied(), &format!("{name}[null]={is_null}"));
                }
            }
        }
    }

    async fn bad_queries(&self, spec: &Spec, path: &str) {
        let get = |query: String| async move { self.owner.get(&format!("{path}?{query}")).send().await };
        for limit in ["0", "-1", "101", "1000000000000"] {
            get(format!("limit={limit}")).await.expect_field_errors(&[("/limit", "range")]);
        }
        for limit in
            ["1000000000000000000000", "x", "", "1.5", "%2B5", "+5", "%205", "05", "5.0", "1e1", "0x5", "%D9%A5"]
        {
            get(format!("limit={limit}")).await.expect_field_errors(&[("/limit", "type")]);
        }
        let cursor =
            get("limit=2".into()).await.expect(200).json()["next_cursor"].as_str().expect("a cursor").to_owned();
        let mut forged = vec![String::new(), "x".into(), cursor[1..].into(), format!("{cursor}A"), "%00".into()];
        forged.push(cursor.chars().rev().collect());
        for forged in forged {
            let response = get(format!("limit=2&cursor={forged}")).await.expect_problem(422, "invalid_request");
            response.expect_field_errors(&[("/cursor", "cursor")]);
        }
        if let Some(column) = spec.columns.iter().find(|c| c.is_sort && c.name != "id") {
            get(format!("cursor={cursor}&sort={}", column.name)).await.expect_problem(422, "invalid_request");
        }
        get("limit=1&limit=1".into()).await.expect_problem(400, "repeated_field");
        get("sort=nonsense&fields=nonsense&include=nonsense&nonsense=1&total=x&limit=0".into())
            .await
            .expect_problem(422, "invalid_request")
            .expect_field_errors(&[
                ("/fields", "not_allowed"),
                ("/include", "not_allowed"),
                ("/limit", "range"),
                ("/nonsense", "unknown_field"),
                ("/sort", "not_allowed"),
                ("/total", "type"),
            ]);
        let twice = get("fields=id,id&sort=id,-id".into()).await.expect_problem(422, "invalid_request");
        if spec.columns[0].is_sort {
            twice.expect_field_errors(&[("/fields", "repeated"), ("/sort", "repeated")]);
        }
        get("id'%20or%201=1--=x".into()).await.expect_problem(422, "invalid_request");
    }

    async fn bad_bodies(&self, path: &str, made: &[Value]) {
        let mut body = (self.new)(0);
        body["id"] = made[0]["id"].clone();
        body["is_admin"] = json!(true);
        let response = self.owner.post(path).json(&body).send().await.expect_problem(422, "invalid_request");
        response.expect_field_errors(&[("/id", "unknown_field"), ("/is_admin", "unknown_field")]);
        let at = format!("{path}/{}", text(&made[0]["id"]));
        let response = self.owner.patch(&at).json(&json!({ "id": made[1]["id"], "user_id": 1 })).send().await;
        response
            .expect_problem(422, "invalid_request")
            .expect_field_errors(&[("/id", "unknown_field"), ("/user_id", "unknown_field")]);
        self.owner.post(path).body("application/json", "{").send().await.expect_problem(400, "malformed_json");
        self.owner.post(path).body("text/plain", "{}").send().await.expect_problem(415, "unsupported_media_type");
    }

    async fn strangers(&self, spec: &Spec, path: &str) {
        let anonymous = self.app.anonymous();
        let refused = |response: Response| {
            let response = response.expect_problem(401, "missing_token");
            assert!(response.header("www-authenticate").is_some_and(|h| h.starts_with("Bearer")));
        };
        refused(anonymous.post(path).json(&(self.new)(0)).send().await);
        let view = self.owner.post(path).json(&(self.new)(0)).send().await.expect(201).json();
        let at = format!("{path}/{}", text(&view["id"]));
        refused(anonymous.patch(&at).json(&self.patch).send().await);
        refused(anonymous.delete(&at).send().await);
        if spec.write == Write::Admin {
            self.other.post(path).json(&(self.new)(0)).send().await.expect_problem(403, "forbidden");
        }
        let is_readable = self.other.get(&at).send().await.status() == 200;
        if spec.read == Read::Anyone {
            assert!(is_readable);
        }
        if spec.read == Read::Owner {
            assert!(!is_readable);
        }
        // One who may read learns that it may not be changed; to others it is not there, just like one that never was.
        let (status, code) =
            if is_readable || spec.write == Write::Admin { (403, "forbidden") } else { (404, spec.not_found) };
        self.other.patch(&at).json(&self.patch).send().await.expect_problem(status, code);
        self.other.delete(&at).send().await.expect_problem(status, code);
        if !is_readable && spec.read != Read::Admin {
            self.other.get(&at).send().await.expect_problem(404, spec.not_found);
            let listed = self.other.get(&format!("{path}?limit=100")).send().await.expect(200).json();
            assert!(listed["items"].as_array().expect("items").iter().all(|i| i["id"] != view["id"]));
        }
        self.owner.delete(&at).send().await.expect(204);
    }

    async fn change_and_delete(&self, spec: &Spec, path: &str, made: &[Value]) {
        self.app.clock().advance(std::time::Duration::from_secs(5));
        let at = format!("{path}/{}", text(&made[0]["id"]));
        let before = self.owner.get(&at).send().await.expect(200).header("etag").map(ToOwned::to_owned);
        let response = self.owner.patch(&at).json(&self.patch).send().await.expect(200);
        let after = response.json();
        let mut expected = made[0].clone();
        for (name, value) in self.patch.as_object().expect("an object") {
            expected[name] = value.clone();
        }
        if let Some(column) = spec.updated {
            expected[spec.columns[column].name] = after[spec.columns[column].name].clone();
            assert_ne!(after[spec.columns[column].name], made[0][spec.columns[column].name]);
        }
        assert_eq!(after, expected, "what was not sent stays");
        let again = self.owner.get(&at).send().await.expect(200);
        assert_eq!((again.json(), again.header("etag")), (after, response.header("etag")));
        assert_ne!(again.header("etag").map(ToOwned::to_owned), before);
        self.owner.delete(&at).send().await.expect(204);
        for response in [self.owner.get(&at).send().await, self.owner.delete(&at).send().await] {
            response.expect_problem(404, spec.not_found);
        }
        self.owner.patch(&at).json(&self.patch).send().await.expect_problem(404, spec.not_found);
    }
}

/// The same things in the same order; where they are not, only their ids are shown.
fn same<'a>(found: impl Iterator<Item = &'a Value>, expected: impl Iterator<Item = &'a Value>, what: &str) {
    let (found, expected): (Vec<&Value>, Vec<&Value>) = (found.collect(), expected.collect());
    let ids = |list: &[&Value]| list.iter().map(|v| text(&v["id"])).collect::<Vec<_>>();
    assert_eq!(ids(&found), ids(&expected), "{what}");
    assert!(found == expected, "{what}: the ids are right, the rest is not");
}

/// A value as it stands in a query.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value of a list, in quotes, so that it may hold commas.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The order both databases must keep: NULLs first, text by its bytes, decimals and numbers by their size.
fn compare(kind: FieldKind, a: &Value, b: &Value) -> std::cmp::Ordering {
    let number = |v: &Value| match v {
        Value::String(text) => text.replace('.', "").parse::<i64>().ok(),
        other => other.as_i64(),
    };
    match (a.is_null(), b.is_null()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => match kind {
            FieldKind::Int | FieldKind::Decimal => number(a).cmp(&number(b)),
            FieldKind::Bool => a.as_bool().cmp(&b.as_bool()),
            FieldKind::Time => time(a).cmp(&time(b)),
            _ => text(a).as_bytes().cmp(text(b).as_bytes()),
        },
    }
}

fn time(value: &Value) -> Option<kernel::Time> {
    value.as_str()?.parse().ok()
}
