use ::posts::Post;
use serde_json::{Value, json};
use testkit::{Subject, TestDatabase, both};

use crate::app;

pub(crate) fn published(n: usize) -> Value {
    json!({ "title": format!("{} {n}", ["가", "A", "a", "é"][n % 4]), "body": "x".repeat(n), "published": true })
}

fn draft(n: usize) -> Value {
    json!({ "title": format!("Draft {n}"), "body": "", "published": false })
}

both! {
    async fn published_posts_keep_every_promise(db: TestDatabase) {
        let app = app(db).await;
        let (owner, other) = (app.user("Ada").await, app.user("Bob").await);
        let patch = json!({ "title": "Changed", "published": true });
        Subject { app: &app, owner: &owner, other: &other, new: &published, patch }.check::<Post>().await;
    }

    async fn drafts_keep_every_promise(db: TestDatabase) {
        let app = app(db).await;
        let (owner, other) = (app.user("Ada").await, app.user("Bob").await);
        let patch = json!({ "body": "Now with text" });
        Subject { app: &app, owner: &owner, other: &other, new: &draft, patch }.check::<Post>().await;
    }

    /// Another's draft is answered exactly as a post that never was.
    async fn a_draft_is_not_there_for_others(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
        let made = ada.post("/api/v1/posts").json(&json!({"title": "T", "body": "B"})).send().await.expect(201).json();
        assert_eq!(made["published"], false);
        let at = format!("/api/v1/posts/{}", made["id"].as_str().unwrap());
        let never = "/api/v1/posts/pst_01h455vb4pex5vsknk084sn02q";
        let shape = |text: String, path: &str| text.replace(path, "PATH").split("\"request_id\"").next().unwrap().to_owned();
        for caller in [&bob, &app.anonymous()] {
            let (there, absent) = (caller.get(&at).send().await, caller.get(never).send().await);
            assert_eq!(there.status(), 404);
            assert_eq!(shape(there.text(), &at), shape(absent.text(), never));
            let list = caller.get("/api/v1/posts?total=true").send().await.expect(200).json();
            assert_eq!((list["items"].as_array().unwrap().len(), &list["total"]), (0, &json!(0)));
        }
        bob.patch(&at).json(&json!({"title": "Mine"})).send().await.expect_problem(404, "post_not_found");
        ada.patch(&at).json(&json!({"published": true})).send().await.expect(200);
        bob.get(&at).send().await.expect(200);
        app.anonymous().get(&at).send().await.expect(200);
        bob.patch(&at).json(&json!({"title": "Mine"})).send().await.expect_problem(403, "forbidden");
        bob.delete(&at).send().await.expect_problem(403, "forbidden");
        let admin_like = bob.patch(&at).json(&json!({"author_id": bob.id(), "role": "admin"})).send().await;
        admin_like.expect_problem(422, "invalid_request").expect_field_errors(&[("/author_id", "unknown_field"), ("/role", "unknown_field")]);
    }

    /// A precondition that an operation would not look at is refused: nothing happens that its sender excluded.
    async fn what_cannot_hold_a_precondition_refuses_it(db: TestDatabase) {
        let app = app(db).await;
        let ada = app.user("Ada").await;
        for (name, value) in [
            ("if-match", "\"x\""), ("if-match", "*"), ("if-none-match", "*"), ("if-none-match", "\"x\""),
            ("if-unmodified-since", "Sun, 22 Nov 2026 09:30:00 GMT"),
        ] {
            let new = json!({ "title": "T", "body": "B", "published": true });
            ada.post("/api/v1/posts").header(name, value).json(&new).await.expect_problem(412, "precondition_not_supported");
            ada.post("/api/v1/auth/logout").header(name, value).await.expect_problem(412, "precondition_not_supported");
        }
        assert_eq!(app.get("/api/v1/posts?total=true").await.expect(200).json()["total"], 0);
        let made = ada.post("/api/v1/posts").json(&published(1)).await.expect(201);
        let at = format!("/api/v1/posts/{}", made.json()["id"].as_str().unwrap());
        let tag = made.header("etag").unwrap().to_owned();
        for (name, value) in [("if-none-match", tag.as_str()), ("if-none-match", "*"), ("if-match", "\"x\"")] {
            ada.patch(&at).header(name, value).json(&json!({ "title": "No" })).await.expect_problem(412, "precondition_failed");
            ada.delete(&at).header(name, value).await.expect_problem(412, "precondition_failed");
        }
        ada.patch(&at).header("if-match", &tag).json(&json!({ "title": "Yes" })).await.expect(200);
    }

    async fn the_author_is_included(db: TestDatabase) {
        let app = app(db).await;
        let ada = app.user("Ada").await;
        let made = ada.post("/api/v1/posts").json(&published(1)).send().await.expect(201).json();
        let at = format!("/api/v1/posts/{}?include=author&fields=title", made["id"].as_str().unwrap());
        let view = app.get(&at).send().await.expect(200).json();
        assert_eq!((&view["title"], &view["author"]["display_name"]), (&made["title"], &json!("Ada")));
        assert_eq!(view["author"]["id"], ada.id());
        assert!(view["author"]["email"].is_null(), "the public view only");
    }

    async fn bounds_of_the_body(db: TestDatabase) {
        let app = app(db).await;
        let ada = app.user("Ada").await;
        let send = |body: Value| { let ada = ada.clone(); async move { ada.post("/api/v1/posts").json(&body).send().await } };
        send(json!({"title": "가".repeat(200), "body": "나".repeat(100_000)})).await.expect(201);
        let response = send(json!({"title": "", "body": "x".repeat(100_001), "published": null})).await;
        response.expect_problem(422, "invalid_request").expect_field_errors(&[("/body", "length"), ("/published", "type"), ("/title", "length")]);
        send(json!({"title": "x".repeat(201), "body": ""})).await.expect_field_errors(&[("/title", "length")]);
    }

    /// A title is one line that shows something; a body has lines; both are kept and found in NFC.
    async fn a_title_is_a_line_and_a_body_a_text(db: TestDatabase) {
        let app = app(db).await;
        let ada = app.user("Ada").await;
        let send = |title: &str, body: &str| ada.post("/api/v1/posts").json(&json!({ "title": title, "body": body }));
        for (title, body, errors) in [
            ("a\nb", "", vec![("/title", "line_break")]),
            ("a\tb", "\u{1b}", vec![("/body", "control_character"), ("/title", "control_character")]),
            ("\u{202e}a", "\u{202e}", vec![("/body", "direction_control"), ("/title", "direction_control")]),
            (" \u{200b}", "", vec![("/title", "nothing_visible")]),
            ("a\u{2028}", "a\u{c}", vec![("/body", "control_character"), ("/title", "line_break")]),
        ] {
            send(title, body).await.expect_field_errors(&errors);
        }
        let made = send("\u{1100}\u{1161}\u{11a8}, \"x\"", "가\r\n\t\u{1112}\u{1161}\n").await.expect(201).json();
        assert_eq!((&made["title"], &made["body"]), (&json!("각, \"x\""), &json!("가\r\n\t하\n")));
        for query in [
            "title=%E1%84%80%E1%85%A1%E1%86%A8,%20%22x%22",
            "title[starts_with]=%E1%84%80%E1%85%A1%E1%86%A8",
            "title[in]=x,%22%EA%B0%81,%20%5C%22x%5C%22%22",
        ] {
            let page = ada.get(&format!("/api/v1/posts?{query}")).await.expect(200).json();
            assert_eq!(page["items"], json!([made]), "{query}");
        }
    }

    async fn a_korean_is_told_in_korean(db: TestDatabase) {
        let app = app(db).await;
        let ask = |path: &str| app.get(path).header("accept-language", "ko-KR").send();
        let missing = ask("/api/v1/posts/pst_01h455vb4pex5vsknk084sn02q").await.expect_problem(404, "post_not_found").json();
        assert_eq!(missing["detail"], "이 id에 해당하는 게시물 항목이 없거나 볼 수 있는 권한이 없습니다.");
        let list = ask("/api/v1/posts?limit=0&sort=body&include=x&colour=red&published=maybe&id=1&cursor=x").await;
        let told: Vec<String> = list.expect_problem(422, "invalid_request").json()["errors"].as_array().unwrap().iter()
            .map(|error| error["message"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, [
            "여기에는 이런 매개변수가 없습니다.",
            "여기의 id는 `pst_` 뒤에 26자가 오는 형식입니다.",
            "사용할 수 있는 이름: author",
            "1에서 100 사이여야 합니다.",
            "`true` 또는 `false`여야 합니다.",
            "사용할 수 있는 이름: id, title, created_at, updated_at. 이름 앞에 `-`를 붙이면 내림차순으로 정렬합니다.",
        ]);
    }
}
