use mainstay::prelude::*;
use serde_json::json;

use crate::{api, call, get, post};

#[derive(Debug)]
pub enum BookKind {}
impl IdKind for BookKind {
    const PREFIX: &'static str = "bok";
    const NAME: &'static str = "BookId";
}

/// What is sent of a book.
#[view]
#[derive(Debug)]
pub struct BookView {
    /// Its id.
    id: Id<BookKind>,
    /// Its title.
    title: String,
    /// What it costs.
    price: Option<Decimal<2>>,
}

/// What makes a book.
#[input]
#[derive(Debug)]
pub struct NewBook {
    /// Its title.
    #[check(length(min = 1, max = 10))]
    title: String,
    /// What it costs.
    price: Option<Decimal<2>>,
}

/// Which books.
#[input]
#[derive(Debug)]
pub struct BookFilter {
    /// The most books.
    #[check(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// Only these years.
    year: Option<i64>,
    /// Whether sold-out ones are listed.
    all: Option<bool>,
}

#[derive(Debug, ApiError)]
pub enum BookError {
    /// No book has this id.
    #[api(NotFound, "There is no book {id}.")]
    BookNotFound { id: String },
    #[api(Conflict, "There is a book of this title.", name = "title_taken")]
    Taken,
}

/// Get a book.
///
/// With all that is known of it.
#[get("/books/{id}")]
async fn get_book(Path(id): Path<Id<BookKind>>) -> Result<Json<BookView>, BookError> {
    if id.as_uuid().is_nil() {
        return Err(BookError::BookNotFound { id: id.to_string() });
    }
    Ok(Json(BookView { id, title: "The Mainstay".repeat(200), price: Some(Decimal::from_minor(1250)) }))
}

impl CreatedFrom for BookView {
    type Source = BookView;

    fn created(book: &BookView) -> Created<Self> {
        let BookView { id, title, price } = book;
        Created::at(format!("/api/v1/books/{id}"), BookView { id: *id, title: title.clone(), price: *price })
    }
}

/// Add a book.
#[post("/books")]
async fn create_book(ctx: Ctx, Valid(new): Valid<NewBook>) -> Result<Created<BookView>, BookError> {
    if new.title == "taken" {
        return Err(BookError::Taken);
    }
    let id: Id<BookKind> = ctx.new_id();
    Ok(BookView::created(&BookView { id, title: new.title, price: new.price }))
}

/// List books.
#[get("/books")]
async fn list_books(Query(filter): Query<BookFilter>) -> Result<Page<BookView>, BookError> {
    let title = format!("{:?} {:?} {:?}", filter.limit, filter.year, filter.all);
    let view = BookView { id: Id::from_uuid(uuid::Uuid::from_u128(1)), title, price: None };
    Ok(Page { items: vec![view], next_cursor: None })
}

/// Forget a book.
#[delete("/books/{id}")]
async fn delete_book(_caller: Caller<User>, Path(_): Path<Id<BookKind>>) -> Result<NoContent, BookError> {
    Ok(NoContent)
}

/// Panics.
#[get("/panic", root)]
async fn get_panic() -> Result<NoContent, BookError> {
    panic!("the secret is 12345")
}

const ONE: &str = "bok_00000000000000000000000001";
const NIL: &str = "bok_00000000000000000000000000";

#[tokio::test]
async fn one_declaration_gives_route_checks_and_document() {
    let api = api(&[&get_book, &create_book, &list_books, &delete_book]);

    let answer = call(&api, get(&format!("/api/v1/books/{ONE}"))).await;
    assert_eq!((answer.status.as_u16(), answer.json()["price"].clone()), (200, json!("12.50")));
    let answer = call(&api, get(&format!("/api/v1/books/{NIL}"))).await;
    assert_eq!(answer.errors(), (404, "book_not_found".into(), vec![]));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["detail"], format!("There is no book {NIL}."));
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    assert_eq!(answer.json()["instance"], format!("/api/v1/books/{NIL}"));

    let answer = call(&api, post("/api/v1/books", r#"{"title":"x","price":"3.1"}"#)).await;
    assert_eq!(answer.status.as_u16(), 201);
    assert_eq!(answer.json()["price"], "3.10");
    assert_eq!(answer.header("location"), format!("/api/v1/books/{}", answer.json()["id"].as_str().unwrap()));
    assert_eq!(call(&api, post("/api/v1/books", r#"{"title":"taken"}"#)).await.errors().1, "title_taken");

    let document = api.document_value();
    assert_eq!(document["openapi"], "3.1.0");
    let get = &document["paths"]["/api/v1/books/{id}"]["get"];
    assert_eq!((&get["operationId"], &get["summary"]), (&json!("get_book"), &json!("Get a book")));
    assert_eq!(get["description"], "With all that is known of it.");
    assert_eq!(get["parameters"][0]["name"], "id");
    assert_eq!(get["parameters"][0]["schema"]["$ref"], "#/components/schemas/BookId");
    assert_eq!(
        get["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/BookView"
    );
    let not_found = &get["responses"]["404"];
    assert_eq!(not_found["description"], "`book_not_found`: No book has this id.");
    assert_eq!(get["security"], json!([]));
    let delete = &document["paths"]["/api/v1/books/{id}"]["delete"];
    assert_eq!(delete["security"], json!([{ "bearer": [] }]));
    assert!(delete["responses"]["401"].is_object() && delete["responses"]["204"].is_object());
    let create = &document["paths"]["/api/v1/books"]["post"];
    assert_eq!(create["requestBody"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/NewBook");
    for status in ["201", "400", "409", "413", "415", "422", "500", "503"] {
        assert!(create["responses"][status].is_object(), "{status}");
    }
    let schema = &document["components"]["schemas"]["NewBook"];
    assert_eq!(schema["properties"]["title"]["maxLength"], 10);
    assert_eq!((&schema["required"], &schema["additionalProperties"]), (&json!(["title"]), &json!(false)));
    let list = &document["paths"]["/api/v1/books"]["get"];
    assert_eq!(list["parameters"][0]["name"], "all");
    assert_eq!(document["components"]["schemas"]["BookViewPage"]["required"], json!(["items", "next_cursor"]));
    let text = document.to_string();
    assert!(!text.contains("x-rust-type") && !text.contains("it::endpoints"), "a Rust name is in the document");
}

#[tokio::test]
async fn a_query_is_read_by_its_types() {
    let api = api(&[&list_books]);
    let answer = call(&api, get("/api/v1/books?limit=7&year=-5&all=true")).await;
    assert_eq!(answer.json()["items"][0]["title"], "Some(7) Some(-5) Some(true)");
    for (query, code, errors) in [
        ("limit=0", "invalid_request", vec!["query /limit range"]),
        ("limit=-1", "invalid_request", vec!["query /limit range"]),
        ("limit=1000000", "invalid_request", vec!["query /limit range"]),
        ("limit=99999999999999999999", "invalid_request", vec!["query /limit type"]),
        (
            "limit=x&year=y&all=z&what=1",
            "invalid_request",
            vec!["query /all type", "query /limit type", "query /what unknown_field", "query /year type"],
        ),
        ("limit=1&limit=2", "repeated_field", vec![]),
        ("limit=%ff", "malformed_query", vec![]),
        // As many as fit into a head, each compared with all before it, were 40 ms.
        (&(0..101).map(|n| format!("&p{n}")).collect::<String>(), "invalid_request", vec!["query  length"]),
    ] {
        let (_, found, found_errors) = call(&api, get(&format!("/api/v1/books?{query}"))).await.errors();
        assert_eq!((found.as_str(), found_errors), (code, errors.iter().map(ToString::to_string).collect()), "{query}");
    }
}

/// What a query can hold.
#[input]
#[derive(Debug)]
pub struct Question {
    /// A whole number.
    whole: Option<i64>,
    /// Any number.
    real: Option<f64>,
    /// Yes or no.
    flag: Option<bool>,
    /// A moment.
    at: Option<Time>,
    /// Somebody.
    person: Option<UserId>,
    /// Texts.
    #[serde(default)]
    words: Vec<String>,
    /// A text.
    word: Option<String>,
}

/// Ask.
#[get("/questions/{number}/{word}")]
async fn get_question(
    Path((number, word)): Path<(u32, String)>,
    Query(asked): Query<Question>,
) -> Result<Json<crate::Echo>, StoreError> {
    let Question { whole, real, flag, at, .. } = asked;
    let text = format!("{number} {word} {whole:?} {real:?} {flag:?} {at:?} {:?} {:?}", asked.words, asked.word);
    Ok(Json(crate::Echo { text }))
}

/// One spelling for each value, as JSON writes it, wherever a query or a path holds one.
#[tokio::test]
async fn values_of_a_query_have_one_spelling() {
    let api = api(&[&get_question]);
    let ask = async |path: &str, query: &str| call(&api, get(&format!("/api/v1/questions/{path}?{query}"))).await;
    for (path, query, text) in [
        ("0/a", "whole=-0&real=1e1&flag=false", "0 a Some(0) Some(10.0) Some(false) None [] None"),
        ("7/%E1%84%80%E1%85%A1", "word=%E1%84%80%E1%85%A1", "7 가 None None None None [] Some(\"가\")"),
        ("7/a", "at=2026-01-01T00:00:00%2B09:00", "7 a None None None Some(2025-12-31T15:00:00Z) [] None"),
        ("7/a", "words=a,%22b%2Cc%22,d", "7 a None None None None [\"a\", \"b,c\", \"d\"] None"),
        ("7/a", "words=%E1%84%80%E1%85%A1", "7 a None None None None [\"가\"] None"),
    ] {
        assert_eq!(ask(path, query).await.json()["text"], text, "{path} {query}");
    }
    for text in ["%2B5", "+5", "%205", "5%20", "05", "5.0", "1e1", "0x5", "%D9%A5", "", "9223372036854775808"] {
        assert_eq!(ask("7/a", &format!("whole={text}")).await.errors().2, ["query /whole type"], "{text}");
        if !text.is_empty() {
            assert_eq!(ask(&format!("{text}/a"), "").await.errors().2, ["path /number format"], "{text}");
        }
    }
    for text in ["%2B5", "+5", ".5", "5.", "05", "0x5", "inf", "NaN", "1e999"] {
        assert_eq!(ask("7/a", &format!("real={text}")).await.errors().2, ["query /real type"], "{text}");
    }
    for text in ["True", "1", "yes", "%20true", ""] {
        assert_eq!(ask("7/a", &format!("flag={text}")).await.errors().2, ["query /flag type"], "{text}");
    }
    for text in
        ["usr_0000000000000000000000000A", "%20usr_00000000000000000000000001", "usr_%2B0000000000000000000000001"]
    {
        assert_eq!(ask("7/a", &format!("person={text}")).await.errors().2, ["query /person pattern"], "{text}");
    }
    assert_eq!(
        ask("7/a", "words=%22a&word=%1b").await.errors().2,
        ["query /word control_character", "query /words type"]
    );
    // A plus that was not encoded.
    let answer = ask("7/a", "at=2026-01-01T00:00:00+09:00").await;
    assert_eq!(answer.errors().2, ["query /at format"]);
    assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("`%2B`"));
    let answer = ask("7/a", "at=2026-01-01").await.json();
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("RFC 3339"));
}

/// Words.
#[input]
pub struct Words {
    /// They.
    words: Vec<String>,
}

/// Count words.
#[get("/words")]
async fn count_words(Query(words): Query<Words>) -> Result<Json<BookView>, BookError> {
    let title = words.words.len().to_string();
    Ok(Json(BookView { id: Id::from_uuid(uuid::Uuid::from_u128(1)), title, price: None }))
}

#[tokio::test]
async fn a_list_in_the_query_has_an_end() {
    let api = api(&[&count_words]);
    let ask = |count: usize| get(&format!("/api/v1/words?words={}", vec!["w"; count].join(",")));
    assert_eq!(call(&api, ask(100)).await.json()["title"], "100");
    let errors = call(&api, ask(101)).await.errors();
    assert_eq!(errors, (422, "invalid_request".into(), vec!["query /words length".into()]));
}

#[tokio::test]
async fn a_path_parameter_of_another_kind_is_refused() {
    let api = api(&[&get_book]);
    for id in ["usr_00000000000000000000000001", "1", "bok_", "bok_0000000000000000000000000u", "%ff", "bok_%00"] {
        let answer = call(&api, get(&format!("/api/v1/books/{id}"))).await;
        assert!([404, 422].contains(&answer.status.as_u16()), "{id}: {}", answer.status);
    }
    let errors = call(&api, get("/api/v1/books/1")).await.errors();
    assert_eq!(errors, (422, "invalid_request".into(), vec!["path /id format".into()]));
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let api = api(&[&get_book, &delete_book]);
    for path in ["/", "/api/v1/books/", "/api/v1/book", "/API/V1/books/x", "/api/v1//books/x", "/api/v1/books/x/y"] {
        assert_eq!(call(&api, get(path)).await.errors().1, "route_not_found", "{path}");
    }
    let put = http::Request::put(format!("/api/v1/books/{ONE}")).body(Vec::new()).unwrap();
    let answer = call(&api, put).await;
    assert_eq!(answer.errors(), (405, "method_not_allowed".into(), vec![]));
    assert_eq!(answer.header("allow"), "GET, HEAD, DELETE, OPTIONS");
    let options = http::Request::options(format!("/api/v1/books/{ONE}")).body(Vec::new()).unwrap();
    let answer = call(&api, options).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, "GET, HEAD, DELETE, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn conditional_and_head_requests() {
    // RFC 9110 sections 9.3.2 and 13.1.2.
    let api = api(&[&get_book]);
    let path = format!("/api/v1/books/{ONE}");
    let full = call(&api, get(&path)).await;
    let tag = full.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 10);
    let again = |tag: &str| http::Request::get(&path).header("if-none-match", tag).body(Vec::new()).unwrap();
    let answer = call(&api, again(&tag)).await;
    assert_eq!((answer.status.as_u16(), answer.body.len(), answer.header("etag")), (304, 0, tag.as_str()));
    assert_eq!(call(&api, again("\"other\"")).await.status.as_u16(), 200);
    let head = http::Request::head(&path).body(Vec::new()).unwrap();
    let answer = call(&api, head).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), full.body.len().to_string());
    assert_eq!(answer.header("etag"), tag);
}

#[tokio::test]
async fn large_answers_are_compressed_as_the_client_likes() {
    let api = api(&[&get_book, &list_books]);
    let with =
        |path: &str, accept: &str| http::Request::get(path).header("accept-encoding", accept).body(Vec::new()).unwrap();
    let path = format!("/api/v1/books/{ONE}");
    let plain = call(&api, get(&path)).await;
    for name in ["gzip", "zstd"] {
        let answer = call(&api, with(&path, name)).await;
        assert_eq!(answer.header("content-encoding"), name);
        assert!(answer.body.len() < plain.body.len() / 4);
        assert_eq!(answer.header("vary"), "accept-encoding");
        // Another representation has another tag, and it is known again.
        let tag = answer.header("etag").to_owned();
        assert_ne!(tag, plain.header("etag"));
        let mut again = with(&path, name);
        again.headers_mut().insert("if-none-match", tag.parse().unwrap());
        assert_eq!(call(&api, again).await.status.as_u16(), 304);
    }
    assert_eq!(call(&api, with("/api/v1/books", "gzip")).await.header("content-encoding"), "", "a small answer");
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let api = api(&[&get_panic]);
    let answer = call(&api, get("/panic")).await;
    assert_eq!(answer.errors(), (500, "internal".into(), vec![]));
    assert!(!String::from_utf8_lossy(&answer.body).contains("12345"));
}

#[tokio::test]
async fn request_ids_are_kept_or_made() {
    let api = api(&[&get_book]);
    let with = |id: &str| http::Request::get("/x").header("x-request-id", id).body(Vec::new()).unwrap();
    assert_eq!(call(&api, with("abc-1.2_3")).await.header("x-request-id"), "abc-1.2_3");
    for bad in ["", "a b", "a\tb", &"x".repeat(129), "\"quoted\"", "a=b"] {
        let made = call(&api, with(bad)).await.header("x-request-id").to_owned();
        assert!(made != bad && made.len() >= 12, "{bad}");
    }
    let (a, b) = (call(&api, get("/x")).await, call(&api, get("/x")).await);
    assert_ne!(a.header("x-request-id"), b.header("x-request-id"));
}
