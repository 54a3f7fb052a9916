//! Rate limits, and their response headers (draft-ietf-httpapi-ratelimit-headers-10).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay::prelude::*;
use serde_json::json;
use testkit::{App, Backend, RedisServer, Response, Setup, TestDatabase};

static RUNS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, ApiError)]
pub enum GateError {
    #[api(from)]
    Limited(Limited),
}

/// Pass.
#[get("/open")]
async fn get_open() -> Result<Text<&'static str>, GateError> {
    RUNS.fetch_add(1, Ordering::SeqCst);
    Ok(Text("passed"))
}

/// Make a report.
#[get("/report", limit = "reports", cost = 5)]
async fn get_report() -> Result<Text<&'static str>, GateError> {
    Ok(Text("a report"))
}

/// Whose.
#[input]
#[derive(Debug)]
struct Whose {
    /// The name.
    #[check(length(max = 100))]
    name: String,
}

/// Try a door.
#[get("/door")]
async fn get_door(ctx: Ctx, limits: Limits, Query(whose): Query<Whose>) -> Result<Text<&'static str>, GateError> {
    limits.take(&ctx, &["doors", "names"], &whose.name).await?;
    Ok(Text("closed"))
}

fn domain() -> Domain {
    Domain::new("gate")
        .limit("reports: 10/1m by address+operation")
        .limit("doors: 2/1m by address+subject")
        .limit("names: 3/1h by subject")
        .endpoint(get_open)
        .endpoint(get_report)
        .endpoint(get_door)
}

fn setup(policies: &str) -> Setup {
    App::with(domain).set("limits.enabled", true).set("limits.policies", policies)
}

async fn app(policies: &str) -> App {
    setup(policies).start(TestDatabase::fresh(Backend::Sqlite).await).await
}

async fn get(app: &App, path: &str, from: &str) -> Response {
    app.get(path).from(peer(from)).await
}

fn peer(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 40_000)
}

fn told(response: &Response) -> (Option<&str>, Option<&str>, Option<&str>) {
    (response.header("ratelimit-policy"), response.header("ratelimit"), response.header("retry-after"))
}

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

#[test]
fn each_address_has_its_own_allowance_which_comes_back_little_by_little() {
    testkit::run(async {
        let app = app("address: 3/30s by address on get_open,user: off").await;
        let policy = Some("\"address\";q=3;w=30");
        for (left, wait) in [(2, 10), (1, 20), (0, 30)] {
            let response = get(&app, "/api/v1/open", A).await.expect(200);
            assert_eq!(told(&response), (policy, Some(&*format!("\"address\";r={left};t={wait}")), None));
        }
        let runs = RUNS.load(Ordering::SeqCst);
        let response = get(&app, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response), (policy, Some("\"address\";r=0;t=10"), Some("10")));
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(detail, "Too many requests: `address` allows 3 in 30 seconds. Try again in 10 seconds.");
        assert_eq!(RUNS.load(Ordering::SeqCst), runs, "nothing was done for it");
        get(&app, "/api/v1/open", B).await.expect(200);
        app.clock().advance(Duration::from_millis(9_999));
        let response = get(&app, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response).2, Some("1"));
        app.clock().advance(Duration::from_millis(1));
        get(&app, "/api/v1/open", A).await.expect(200);
        get(&app, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        // A caller that waits as long as the answer says gets in, and all is back after the window.
        app.clock().advance(Duration::from_secs(30));
        for _ in 0..3 {
            get(&app, "/api/v1/open", A).await.expect(200);
        }
        get(&app, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        // Who looks whether it runs is always told.
        for _ in 0..10 {
            let response = get(&app, "/health/live", A).await.expect(200);
            assert_eq!(told(&response), (None, None, None));
        }
    });
}

#[test]
fn a_dear_call_takes_more_and_its_limit_is_its_own() {
    testkit::run(async {
        let app = app("address: off,user: off").await;
        for left in [5, 0] {
            let response = get(&app, "/api/v1/report", A).await.expect(200);
            assert!(told(&response).1.unwrap().starts_with(&format!("\"reports\";r={left};")), "{response}");
        }
        let response = get(&app, "/api/v1/report", A).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response), (Some("\"reports\";q=10;w=60"), Some("\"reports\";r=0;t=30"), Some("30")));
        let response = get(&app, "/api/v1/open", A).await.expect(200);
        assert_eq!(told(&response), (None, None, None));
        // One unit is back, and five are needed.
        app.clock().advance(Duration::from_secs(6));
        let response = get(&app, "/api/v1/report", A).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response).1, Some("\"reports\";r=1;t=24"));
    });
}

#[test]
fn of_several_limits_all_must_have_enough_or_nothing_is_taken() {
    testkit::run(async {
        let app = app("address: 10/1m by address on *,user: off,few: 2/1m by address on get_open").await;
        for _ in 0..2 {
            get(&app, "/api/v1/open", A).await.expect(200);
        }
        for _ in 0..20 {
            let response = get(&app, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
            assert_eq!(told(&response).1, Some("\"address\";r=8;t=12, \"few\";r=0;t=30"));
        }
        // What was refused took nothing from the other.
        let response = get(&app, "/api/v1/report", A).await.expect(200);
        assert!(told(&response).1.unwrap().starts_with("\"address\";r=3;"), "{response}");
    });
}

#[test]
fn a_handler_counts_what_only_it_knows() {
    testkit::run(async {
        let app = app("address: off,user: off").await;
        for _ in 0..2 {
            get(&app, "/api/v1/door?name=ada", A).await.expect(200);
        }
        let response = get(&app, "/api/v1/door?name=ada", A).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response).2, Some("30"));
        get(&app, "/api/v1/door?name=bob", A).await.expect(200);
        get(&app, "/api/v1/door?name=ada", B).await.expect(200);
        let response = get(&app, "/api/v1/door?name=ada", B).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response).2, Some("1200"), "all addresses together have had three");
        let off = setup("address: off,user: off,doors: off,names: off");
        let app = off.start(TestDatabase::fresh(Backend::Sqlite).await).await;
        for _ in 0..10 {
            get(&app, "/api/v1/door?name=ada", A).await.expect(200);
        }
    });
}

/// Contract: X-Forwarded-For spoofing to dodge limits. Only trusted proxies count; an unparsable value never skips the policy.
#[test]
fn what_a_client_says_of_its_address_is_not_believed() {
    testkit::run(async {
        let limited = |app: App, peer_address: &'static str| async move {
            let mut admitted = 0;
            for i in 0..20 {
                for value in [format!("198.51.100.{i}"), format!("x{i}"), format!("198.51.100.{i}, y"), String::new()] {
                    let call = app.get("/api/v1/open").from(peer(peer_address)).header("x-forwarded-for", value);
                    admitted += u32::from(call.await.status() == 200);
                }
            }
            admitted
        };
        let policies = "address: 3/1h by address on get_open,user: off";
        assert_eq!(limited(app(policies).await, A).await, 3);
        let behind = setup(policies).set("server.trusted_proxies", "10.0.0.0/8");
        let app = behind.start(TestDatabase::fresh(Backend::Sqlite).await).await;
        assert_eq!(limited(app.clone(), A).await, 3);
        // A trusted proxy's word is: twenty clients, and what it could not read is its own.
        assert_eq!(limited(app, "10.1.1.1").await, 20 + 3);
    });
}

#[test]
fn what_cannot_be_kept_is_told_at_the_start() {
    testkit::run(async {
        for (policies, says) in [
            ("nonsense", "no colon"),
            ("reports: off,x: off", "takes `x` away"),
            ("reports: 1/1m by address", "more than `reports` ever lets through"),
            ("x: 1/1m by address on get_nothing", "no operation has that operationId"),
            ("x: 1/1m by subject on get_open", "`Limits::take`"),
            // A name that is misspelt, and one whose operations were left out.
            ("report: 1/1m by user", "limits.policies has `report`, which would count nothing"),
            ("address: 600/1m by address", "limits.policies has `address`, which would count nothing"),
            ("x: 1/1m by user on * gold=5", "the tiers are anonymous, user, admin"),
        ] {
            let started = setup(policies).try_start(TestDatabase::fresh(Backend::Sqlite).await).await;
            let why = started.map(|_| ()).unwrap_err();
            assert!(why.contains(says), "{policies}: {why}");
        }
    });
}

#[test]
fn limits_can_be_off() {
    testkit::run(async {
        let app = App::with(domain).set("limits.policies", "address: 5/1h by address on *");
        let app = app.set("limits.enabled", false).start(TestDatabase::fresh(Backend::Sqlite).await).await;
        for _ in 0..9 {
            let response = get(&app, "/api/v1/open", A).await.expect(200);
            assert_eq!(told(&response), (None, None, None));
        }
    });
}

/// Contract: N parallel requests on a budget for one: exactly one admitted, on one node and on three.
#[test]
fn of_many_at_once_on_three_nodes_as_many_are_let_through_as_the_limit_says() {
    testkit::run(async {
        let redis = RedisServer::start().unwrap();
        let setup =
            setup("address: 100/1h by address on get_open,user: off,one: 5/1h by address on get_report,reports: off")
                .set("cache.url", redis.url());
        let first = setup.start(TestDatabase::fresh(Backend::Sqlite).await).await;
        let nodes = [first.clone(), first.second_node().await, first.second_node().await];
        let mut tasks = Vec::new();
        for i in 0..180 {
            let (node, path) = (nodes[i % 3].clone(), if i < 30 { "/api/v1/report" } else { "/api/v1/open" });
            tasks.push(tokio::spawn(async move { (i < 30, get(&node, path, A).await) }));
        }
        let (mut reports, mut open) = (0, 0);
        for task in tasks {
            let (is_report, response) = task.await.unwrap();
            if response.status() == 200 {
                reports += u32::from(is_report);
                open += u32::from(!is_report);
            } else {
                response.expect_problem(429, "rate_limited");
            }
        }
        assert_eq!((reports, open), (1, 100));
        let response = get(&nodes[1], "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        assert_eq!(told(&response).1.unwrap(), "\"address\";r=0;t=36");
    });
}

/// Contract 24: two deployments on one Redis. The nodes of one deployment have the same database.
#[test]
fn deployments_that_share_a_redis_have_an_allowance_each() {
    testkit::run(async {
        let redis = RedisServer::start().unwrap();
        let with_redis = || setup("address: 3/1h by address on get_open,user: off").set("cache.url", redis.url());
        let one = with_redis().start(TestDatabase::fresh(Backend::Sqlite).await).await;
        let other = with_redis().start(TestDatabase::fresh(Backend::Sqlite).await).await;
        let node = one.second_node().await;
        for _ in 0..3 {
            get(&one, "/api/v1/open", A).await.expect(200);
        }
        get(&node, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        for _ in 0..3 {
            get(&other, "/api/v1/open", A).await.expect(200);
        }
        // The same after all of its nodes have restarted.
        let again = one.restart().await;
        get(&again, "/api/v1/open", A).await.expect_problem(429, "rate_limited");
        // Each by its own name, also if the name is configured.
        let named = one.another_node(|setup| setup.set("cache.namespace", "shop")).await.unwrap();
        get(&named, "/api/v1/open", A).await.expect(200);
        let keys = redis.cli(&["--scan"]).unwrap();
        let names: std::collections::BTreeSet<_> = keys.lines().filter_map(|key| key.split(':').nth(1)).collect();
        assert!(names.len() == 3 && names.contains("shop"), "{keys}");
    });
}

#[test]
fn the_document_says_what_is_answered() {
    testkit::run(async {
        let app = app("").await;
        let document = app.running().api.document_value();
        let responses = &document["paths"]["/api/v1/report"]["get"]["responses"];
        assert!(responses["429"]["headers"]["RateLimit-Policy"].is_object());
        assert_eq!(document["paths"]["/health/live"]["get"]["responses"]["429"], json!(null));
    });
}

/// A handler may name the failure itself. The document lists it once.
#[tokio::test]
async fn documented_once() {
    let app = app("").await;
    let document = app.get("/openapi.json").await.expect(200).json();
    let answer = &document["paths"]["/api/v1/door"]["get"]["responses"]["429"]["content"];
    let names = &answer["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
    assert_eq!(names, &json!(["rate_limited"]), "{answer:#}");
}
