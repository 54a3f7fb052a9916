use std::collections::BTreeSet;

use serde_json::Value;
use testkit::{TestDatabase, both};

use crate::process::{Folder, Server, mainstay, run, say};

/// Asked in a folder whose settings would fail anything that read them.
pub fn asked(args: &[&str]) -> String {
    let folder = Folder::new();
    folder.write("mainstay.toml", "[database]\nurl = \"postgres://u:p@192.0.2.1:1/x\"");
    let said = run(mainstay(&folder).args(args).env("MAINSTAY_SERVER__WORKERS", "7"), "");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.err, "");
    assert_eq!(folder.names(), ["mainstay.toml"]);
    said.out
}

#[test]
fn the_document_is_openapi_3_1() {
    let document: Value = serde_json::from_str(&asked(&["openapi"])).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    for name in ["title", "version"] {
        assert!(document["info"][name].is_string());
    }
    let mut ids = BTreeSet::new();
    let mut responses = 0;
    let mut tags = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            assert!(["get", "put", "post", "patch", "delete"].contains(&method.as_str()), "{method}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            for name in ["summary", "description"] {
                assert!(operation[name].as_str().is_some_and(|text| !text.is_empty()), "{id} has no {name}");
            }
            tags.extend(operation["tags"].as_array().unwrap());
            let named = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let in_path = named.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{id}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(status.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)), "{id} {status}");
                assert!(response["description"].is_string(), "{id} {status}");
                responses += 1;
            }
        }
    }
    assert!(ids.contains("login") && responses > ids.len(), "{ids:?}");
    let about = document["tags"].as_array().unwrap();
    for tag in tags {
        let of_it =
            about.iter().filter(|one| one["name"] == *tag).map(|one| one["description"].as_str()).collect::<Vec<_>>();
        assert!(matches!(of_it[..], [Some(text)] if !text.is_empty()), "{tag}: {of_it:?}");
    }

    // Every reference leads somewhere, and every schema can be used.
    fn references(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                out.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                fields.values().for_each(|value| references(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, out)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    assert!(!all.is_empty());
    for reference in all {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        let mut schema = serde_json::json!({ "$ref": reference });
        schema["components"] = document["components"].clone();
        jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{reference}: {error}"));
    }
}

#[test]
fn each_code_is_in_the_list_of_errors_once() {
    let list = asked(&["errors"]);
    for code in [
        "| `route_not_found` | 404 |",
        "| `invalid_request` | 422 |",
        "| `invalid_credentials` | 401 |",
        "| `internal` | 500 |",
    ] {
        assert_eq!(list.matches(code).count(), 1, "{code}\n{list}");
    }
    let document: Value = serde_json::from_str(&asked(&["openapi"])).unwrap();
    fn codes(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(names) = fields.get("code").and_then(|code| code["enum"].as_array()) {
                    out.extend(names.iter().filter_map(|name| name.as_str().map(ToOwned::to_owned)));
                }
                fields.values().for_each(|value| codes(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| codes(value, out)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    codes(&document["paths"], &mut all);
    assert!(all.len() > 10);
    for code in all {
        assert_eq!(list.matches(&format!("| `{code}` |")).count(), 1, "{code} is documented once");
    }
}

#[test]
fn the_default_file_and_the_reference_name_every_setting() {
    let file = asked(&["config", "default"]);
    let reference = asked(&["config", "reference"]);
    let folder = Folder::new();
    let show = || {
        let said = say(&folder, ["config", "show"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    };
    let defaults = show();
    // As it is it changes nothing; with every line taken in, it says what is so anyway.
    folder.write("mainstay.toml", &file);
    assert_eq!(show(), defaults);
    let taken_in = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let whole = file.lines().map(taken_in).collect::<Vec<_>>().join("\n");
    folder.write("mainstay.toml", &whole);
    assert_eq!(show(), defaults);

    fn keys(prefix: &str, table: &toml::Table, out: &mut Vec<String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(inner) => keys(&format!("{prefix}{name}__"), inner, out),
                _ => out.push(format!("MAINSTAY_{}", format!("{prefix}{name}").to_uppercase())),
            }
        }
    }
    let (mut shown, mut written) = (Vec::new(), Vec::new());
    keys("", &defaults.parse().unwrap(), &mut shown);
    keys("", &whole.parse().unwrap(), &mut written);
    assert_eq!(shown, written);
    for variable in shown {
        let row = reference.lines().find(|line| line.contains(&format!("| `{variable}` |")));
        let row = row.unwrap_or_else(|| panic!("{variable} is not in the reference"));
        let meaning = row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
        assert!(!meaning.is_empty(), "{variable} has no meaning");
    }
}

both! {
    async fn what_is_printed_is_what_is_served(db: TestDatabase) {
        let folder = Folder::new();
        let server = Server::start(&folder, &db, &[]);
        let served = server.get("/openapi.json", "");
        assert_eq!(served.body.trim_end(), asked(&["openapi"]).trim_end());
    }
}
