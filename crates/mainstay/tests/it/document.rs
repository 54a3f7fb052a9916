//! Contradictions stop the build of the document, and the message names both sides.

use mainstay::prelude::*;
use mainstay::web::{EndpointDef, ServerSettings};
use serde_json::json;

use crate::builder;

mod one {
    use mainstay::prelude::*;

    /// An item.
    #[view]
    pub struct Item {
        /// One.
        pub one: String,
    }

    /// Get the item.
    ///
    /// It is always
    /// the same.
    #[get("/one")]
    pub async fn get_one() -> Result<Json<Item>, StoreError> {
        Ok(Json(Item { one: String::new() }))
    }

    /// Get it again.
    #[get("/again")]
    pub async fn get_item() -> Result<NoContent, StoreError> {
        Ok(NoContent)
    }
}

mod two {
    use mainstay::prelude::*;

    /// Another item.
    #[view]
    pub struct Item {
        /// Two.
        pub two: i64,
    }

    /// Get the other item.
    #[get("/two")]
    pub async fn get_two() -> Result<Json<Item>, StoreError> {
        Ok(Json(Item { two: 2 }))
    }

    /// Get it here too.
    #[get("/item")]
    pub async fn get_item() -> Result<NoContent, StoreError> {
        Ok(NoContent)
    }

    /// Get what is there already.
    #[get("/one")]
    pub async fn get_one_again() -> Result<NoContent, StoreError> {
        Ok(NoContent)
    }
}

/// Takes a parameter that its path does not have.
#[get("/nothing")]
async fn get_nothing(Path(_): Path<i64>) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

/// Ignores a parameter that its path has.
#[get("/ignored/{id}")]
async fn get_ignored() -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

#[derive(Debug, Clone)]
struct Missing;
impl Service for Missing {}

/// Takes a service that nobody provides.
#[get("/missing")]
async fn get_missing(_missing: Missing) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

#[derive(Debug, ApiError)]
enum First {
    #[api(NotFound, "Gone.", name = "odd")]
    Odd,
}

#[derive(Debug, ApiError)]
enum Second {
    #[api(Conflict, "There.", name = "odd")]
    Odd,
}

/// Fails one way.
#[get("/first")]
async fn get_first() -> Result<NoContent, First> {
    Err(First::Odd)
}

/// Fails another way under the same name.
#[get("/second")]
async fn get_second() -> Result<NoContent, Second> {
    Err(Second::Odd)
}

fn refusal(endpoints: &[&dyn EndpointDef]) -> String {
    let mut builder = builder(ServerSettings::default());
    for endpoint in endpoints {
        builder.endpoint("test", endpoint.endpoint());
    }
    builder.build().unwrap_err().to_string()
}

#[test]
fn tags_and_operations_say_what_they_are_for() {
    let mut builder = builder(ServerSettings::default());
    builder.endpoint("items", one::get_one.endpoint());
    builder.endpoint("silent", two::get_item.endpoint());
    builder.about("items", "What there is.");
    // Nothing is said of a tag that no operation has.
    builder.about("absent", "What there is not.");
    let document = builder.build().unwrap().document_value();
    let tags = document["tags"].as_array().unwrap();
    assert_eq!(tags[..2], [json!({ "name": "items", "description": "What there is." }), json!({ "name": "silent" })]);
    assert_eq!((tags.len(), &tags[2]["name"]), (3, &json!("system")));
    let get = |path: &str| document.pointer(&format!("/paths/{}/get", path.replace('/', "~1"))).unwrap();
    let one = get("/api/v1/one");
    assert_eq!(
        (&one["summary"], one.get("description")),
        (&json!("Get the item"), Some(&json!("It is always\nthe same.")))
    );
    assert_eq!(get("/api/v1/item").get("description"), None);
}

#[test]
fn two_schemas_of_one_name_are_refused() {
    let message = refusal(&[&one::get_one, &two::get_two]);
    assert!(message.contains("two schemas are named `Item`"), "{message}");
}

#[test]
fn two_operations_of_one_name_are_refused() {
    let message = refusal(&[&one::get_item, &two::get_item]);
    assert!(message.contains("two operations are named `get_item`: at /api/v1/again and at /api/v1/item"), "{message}");
}

#[test]
fn two_operations_at_one_place_are_refused() {
    let message = refusal(&[&one::get_one, &two::get_one_again]);
    assert!(message.contains("GET /api/v1/one is there twice"), "{message}");
}

#[test]
fn one_error_name_has_one_kind() {
    let message = refusal(&[&get_first, &get_second]);
    assert!(message.contains("the error `odd` has two kinds"), "{message}");
}

#[test]
fn paths_and_arguments_agree() {
    assert!(refusal(&[&get_nothing]).contains("takes more path parameters than its path has"));
    assert!(refusal(&[&get_ignored]).contains("its path has `{id}`, but no argument takes it"));
}

#[test]
fn every_service_is_provided() {
    let message = refusal(&[&get_missing]);
    assert!(message.contains("`get_missing` takes `it::document::Missing`, but no domain provides one"), "{message}");
}
