//! Problems in the caller's language: the framework's own, a domain's, and what nobody has translated.

use mainstay::kernel::Code;
use mainstay::prelude::*;
use serde_json::{Value, json};
use testkit::{App as TestApp, Backend, Call, TestDatabase, both};

use crate::errors;

/// One failure of each kind.
#[derive(Debug, ApiError)]
enum KindError {
    #[api(Malformed, "Kind {name} it is.")]
    Malformed { name: String },
    #[api(Unauthenticated, "Kind {name} it is.")]
    Unauthenticated { name: String },
    #[api(Forbidden, "Kind {name} it is.")]
    Forbidden { name: String },
    #[api(NotFound, "Kind {name} it is.")]
    NotFound { name: String },
    #[api(RequestTimeout, "Kind {name} it is.")]
    RequestTimeout { name: String },
    #[api(Conflict, "Kind {name} it is.")]
    Conflict { name: String },
    #[api(PreconditionFailed, "Kind {name} it is.")]
    PreconditionFailed { name: String },
    #[api(TooLarge, "Kind {name} it is.")]
    TooLarge { name: String },
    #[api(UnsupportedMediaType, "Kind {name} it is.")]
    UnsupportedMediaType { name: String },
    #[api(Invalid, "Kind {name} it is.")]
    Invalid { name: String },
    #[api(HeadersTooLarge, "Kind {name} it is.")]
    HeadersTooLarge { name: String },
    #[api(Internal, "Kind {name} it is.")]
    Internal { name: String },
    #[api(Unavailable, "Kind {name} it is.")]
    Unavailable { name: String },
    #[api(StorageFull, "Kind {name} it is.")]
    StorageFull { name: String },
    #[api(Conflict, "Nobody has translated {_0}.")]
    Untranslated(String),
}

/// Fail.
#[get("/kinds/{number}")]
async fn get_kind(Path(number): Path<u32>) -> Result<NoContent, KindError> {
    let name = number.to_string();
    let Some(code) = Code::ALL.get(number as usize) else { return Err(KindError::Untranslated(name)) };
    Err(match code {
        Code::Malformed => KindError::Malformed { name },
        Code::Unauthenticated => KindError::Unauthenticated { name },
        Code::Forbidden => KindError::Forbidden { name },
        Code::NotFound => KindError::NotFound { name },
        // The router alone answers 405; a 429 says when to come back, which no domain does yet.
        Code::MethodNotAllowed | Code::TooManyRequests => KindError::Untranslated(name),
        Code::RequestTimeout => KindError::RequestTimeout { name },
        Code::Conflict => KindError::Conflict { name },
        Code::PreconditionFailed => KindError::PreconditionFailed { name },
        Code::TooLarge => KindError::TooLarge { name },
        Code::UnsupportedMediaType => KindError::UnsupportedMediaType { name },
        Code::Invalid => KindError::Invalid { name },
        Code::HeadersTooLarge => KindError::HeadersTooLarge { name },
        Code::Internal => KindError::Internal { name },
        Code::Unavailable => KindError::Unavailable { name },
        Code::StorageFull => KindError::StorageFull { name },
    })
}

/// For people.
#[get("/people")]
async fn get_people(_caller: Caller<User>) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

/// For nobody, ever.
#[get("/never")]
async fn get_never() -> Result<NoContent, StoreError> {
    std::future::pending().await
}

fn tongues() -> Domain {
    Domain::new("tongues")
        .texts("ko", "\"Kind {name} it is.\" = \"종류: {name}.\"")
        .endpoint(get_kind)
        .endpoint(get_people)
        .endpoint(get_never)
        .endpoint(errors::create_order)
}

/// The problem, in Korean from its title to its last error; its codes are as ever.
async fn korean(call: Call, status: u16, code: &str) -> Value {
    let response = call.header("accept-language", "ko-KR,ko;q=0.9,en;q=0.8").send().await.expect_problem(status, code);
    assert_eq!(response.header("content-language"), Some("ko"), "{code}");
    let problem = response.json();
    let errors = problem["errors"].as_array().into_iter().flatten().map(|error| &error["message"]);
    for text in [&problem["title"], &problem["detail"]].into_iter().chain(errors) {
        let text = text.as_str().unwrap();
        assert!(text.chars().any(|c| ('가'..='힣').contains(&c)), "{code} is not told in Korean: {text}");
        // A pattern has braces of its own, round numbers.
        let is_open = text.split('{').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        assert!(!is_open, "{code} has an open place: {text}");
    }
    problem
}

both! {
    async fn every_kind_of_problem(db: TestDatabase) {
        let app = TestApp::with(tongues).start(db).await;
        for (number, code) in Code::ALL.iter().enumerate() {
            if matches!(code, Code::MethodNotAllowed | Code::TooManyRequests) {
                continue;
            }
            let at = format!("/api/v1/kinds/{number}");
            let english = app.get(&at).await;
            assert_eq!(english.header("content-language"), Some("en"));
            let english = english.json();
            assert_eq!(english["title"], code.title().to_string());
            assert_eq!(english["detail"], format!("Kind {number} it is."));
            let korean = korean(app.get(&at), code.status(), english["code"].as_str().unwrap()).await;
            assert_eq!(korean["detail"], format!("종류: {number}."));
            assert_ne!(korean["title"], english["title"]);
            for same in ["type", "status", "instance", "code"] {
                assert_eq!(korean[same], english[same], "{same}");
            }
        }
    }

    async fn what_is_wrong_with_a_request(db: TestDatabase) {
        let app = TestApp::with(tongues)
            .set("server.max_body_bytes", 2000)
            .set("server.max_headers", 5)
            .set("server.request_timeout_ms", 300)
            .start(db)
            .await;
        let json = |text: &str| app.post("/api/v1/orders").body("application/json", text.to_owned());
        let told = [
            (json("{"), 400, "malformed_json", "본문이 JSON이 아닙니다: 1행 1열에서 구문이 깨졌습니다."),
            (json(&"[".repeat(200)), 400, "malformed_json", "본문이 JSON이 아닙니다: 128단계보다 깊게 중첩되었습니다."),
            (json(r#"{"a":1,"a":1}"#), 400, "repeated_field", "필드 `a`: 두 번 나왔습니다. 한 번만 보내세요."),
            (json(&" ".repeat(3000)), 413, "body_too_large", "본문이 2000바이트보다 큽니다."),
            (
                app.post("/api/v1/orders").body("text/plain", "{}"),
                415,
                "unsupported_media_type",
                "본문을 `Content-Type: application/json`으로 보내세요.",
            ),
            (app.get("/nowhere"), 404, "route_not_found", ""),
            (app.delete("/api/v1/orders"), 405, "method_not_allowed", "이 경로가 받는 메서드: POST, OPTIONS."),
            (app.get("/api/v1/people"), 401, "missing_token", ""),
            (app.get("/api/v1/people").bearer("x"), 401, "invalid_token", ""),
            (
                app.get("/api/v1/people").bearer("x").bearer("y"),
                400,
                "bad_header",
                "헤더 `authorization`: 한 번만, 일반 텍스트로 보내야 합니다.",
            ),
            (
                app.get("/health/live").header("a", 1).header("b", 1).header("c", 1).header("d", 1).header("e", 1),
                431,
                "headers_too_large",
                "",
            ),
            (app.get("/api/v1/never"), 503, "deadline_exceeded", ""),
        ];
        for (call, status, code, detail) in told {
            let problem = korean(call, status, code).await;
            assert!(detail.is_empty() || problem["detail"] == detail, "{code}: {}", problem["detail"]);
        }
    }

    async fn all_errors_of_a_body_at_once(db: TestDatabase) {
        let app = TestApp::with(tongues).start(db).await;
        let body = json!({
            "lines": [{ "sku": "toolong", "count": 0, "colour": 1 }, {}], "couponCode": "abc", "nonsense": true,
            "shipping": 1, "at": "yesterday", "person": "key_1", "extra": "\0", "even": "x",
        });
        let problem = korean(app.post("/api/v1/orders").json(&body), 422, "invalid_request").await;
        let errors: Vec<String> = problem["errors"].as_array().unwrap().iter()
            .map(|error| format!("{} {}", error["pointer"].as_str().unwrap(), error["message"].as_str().unwrap()))
            .collect();
        assert_eq!(problem["title"], "요청이 올바르지 않습니다");
        assert_eq!(problem["detail"], format!("올바르지 않은 값이 {}개 있습니다. `errors` 항목을 확인하세요.", errors.len()));
        for error in [
            "/at 시각은 2026-11-22T09:30:00Z처럼 쓰세요(RFC 3339, 마이크로초까지).",
            "/couponCode 다음 정규식과 일치해야 합니다: ^[A-Z]{3}$",
            "/email 필수 필드입니다.",
            "/even 값의 타입은 null 또는 정수만 가능합니다.",
            "/lines/0/colour 여기에는 이런 필드가 없습니다.",
            "/lines/0/count 1 이상이어야 합니다.",
            "/lines/0/sku 길이는 최대 5자 이하여야 합니다.",
            "/lines/1/sku 필수 필드입니다.",
            "/nonsense 여기에는 이런 필드가 없습니다.",
        ] {
            assert!(errors.iter().any(|found| found == error), "{error}: {errors:#?}");
        }
    }

    /// Nothing is lost where a text has no translation: it is said in English.
    async fn what_nobody_has_translated(db: TestDatabase) {
        let app = TestApp::with(tongues).start(db).await;
        let response = app.get("/api/v1/kinds/99").header("accept-language", "ko").await.expect_problem(409, "untranslated");
        assert_eq!(response.json()["title"], "현재 상태와 충돌합니다");
        assert_eq!(response.json()["detail"], "Nobody has translated 99.");
        assert_eq!(response.header("content-language"), Some("ko, en"));
        // A language that is not there.
        let response = app.get("/nowhere").header("accept-language", "ja").await.expect_problem(404, "route_not_found");
        assert_eq!((response.header("content-language"), &response.json()["title"]), (Some("en"), &json!("Not found")));
    }

    /// A product has the last word on every text, and brings languages of its own.
    async fn a_product_says_it_otherwise(db: TestDatabase) {
        let app = TestApp::with(tongues)
            .app(|app| {
                app.texts("ko", "\"Not found\" = \"없어요\"\n\"Kind {name} it is.\" = \"{name}번이에요.\"")
                    .texts("ja", "\"Not found\" = \"見つかりません\"")
                    .texts("en", "\"Not found\" = \"Nothing here\"")
            })
            .start(db)
            .await;
        for (language, title) in [("ko", "없어요"), ("ja-JP", "見つかりません"), ("en", "Nothing here")] {
            let response = app.get("/nowhere").header("accept-language", language).await;
            assert_eq!(response.json()["title"], title);
            // Japanese has a title here, and no detail.
            let told = if language == "ja-JP" { "ja, en" } else { language };
            assert_eq!(response.header("content-language"), Some(told));
        }
        let bare = app.get("/api/v1/kinds/3").header("accept-language", "ja").await;
        assert_eq!(bare.header("content-language"), Some("ja, en"));
        let bare = app.get("/api/v1/people").header("accept-language", "ja").await;
        assert_eq!((bare.header("content-language"), &bare.json()["title"]), (Some("en"), &json!("Authentication is required")));
        let response = app.get("/api/v1/kinds/3").header("accept-language", "ko").await;
        assert_eq!(response.json()["detail"], "3번이에요.");
    }

    /// What is kept for one reader must not be shown to another, and what succeeds is the same for all.
    async fn caches_are_told(db: TestDatabase) {
        let app = TestApp::with(tongues).file("[server.cors]\norigins = [\"https://app.example\"]").start(db).await;
        let vary = |response: &testkit::Response| {
            let values: Vec<&str> = response.headers.get_all("vary").iter().map(|v| v.to_str().unwrap()).collect();
            values.join(", ")
        };
        let problem = app.get("/nowhere").header("accept-language", "ko").await;
        assert_eq!(vary(&problem), "accept-language, origin");
        let fine = app.get("/health/live").header("accept-language", "ko").await.expect(200);
        assert_eq!((vary(&fine).as_str(), fine.header("content-language")), ("origin", None));
    }

    /// Through a socket, and an absurd header, which costs nothing but itself.
    async fn on_the_wire(db: TestDatabase) {
        let app = TestApp::with(tongues).start(db).await;
        let served = app.serve();
        for (language, title) in [
            ("ko", "찾을 수 없습니다"),
            ("ko-x,".repeat(2000).as_str(), "찾을 수 없습니다"),
            (",".repeat(9000).as_str(), "Not found"),
        ] {
            let mut wire = served.connect().await;
            wire.send(format!("GET /nowhere HTTP/1.1\r\nhost: a\r\naccept-language: {language}\r\n\r\n")).await;
            let response = wire.receive().await;
            assert_eq!((response.status, response.json()["title"].as_str()), (404, Some(title)));
        }
        served.stop().await;
    }
}

#[tokio::test]
async fn a_table_that_says_something_else_stops_the_start() {
    for (table, told) in [
        ("\"Kind {name} it is.\" = \"종류\"", "must have the same `{places}` as the English text"),
        ("nonsense", "texts in `ko`"),
    ] {
        let setup = TestApp::of(move || App::new().domain(Domain::new("tongues").texts("ko", table)));
        let error = setup.try_start(TestDatabase::fresh(Backend::Sqlite).await).await.unwrap_err();
        assert!(error.contains("the domain `tongues`: texts in `ko`") && error.contains(told), "{error}");
    }
}
