//! What `docs/how-to/limit-an-endpoint.md` shows.

use mainstay::prelude::*;
use testkit::{App, Backend, TestDatabase};

use crate::people::{self, person};

#[derive(Debug, ApiError)]
pub enum VoucherError {
    /// There is no such voucher.
    #[api(NotFound, "There is no such voucher.")]
    NoVoucher,
    /// It was tried too often.
    #[api(from)]
    Limited(Limited),
}

/// Make the yearly report.
///
/// It takes a while.
#[post("/reports", limit = "reports", cost = 5)]
async fn make_report(_caller: Caller<User>) -> Result<NoContent, VoucherError> {
    Ok(NoContent)
}

/// A voucher's code.
#[input]
#[derive(Debug)]
struct VoucherInput {
    /// As it is printed.
    #[check(line, length(min = 1, max = 40))]
    code: String,
}

/// Redeem a voucher.
#[post("/vouchers/redeem")]
async fn redeem_voucher(
    caller: Caller<User>,
    limits: Limits,
    Valid(voucher): Valid<VoucherInput>,
) -> Result<NoContent, VoucherError> {
    limits.take(caller.ctx(), &["vouchers"], &voucher.code).await?;
    Err(VoucherError::NoVoucher)
}

pub fn domain() -> Domain {
    Domain::new("shop")
        .limit("reports: 20/1h by user admin=200")
        .limit("vouchers: 5/10m by subject")
        .endpoint(make_report)
        .endpoint(redeem_voucher)
}

#[test]
fn each_has_their_own_allowance() {
    testkit::run(async {
        let app = App::with(people::domain).and(domain).set("limits.enabled", true);
        let app = app.start(TestDatabase::fresh(Backend::Sqlite).await).await;
        let (ada, ben) = (person(&app, 1), person(&app, 2));
        for _ in 0..4 {
            ada.post("/api/v1/reports").await.expect(204);
        }
        let told = ada.post("/api/v1/reports").await.expect_problem(429, "rate_limited");
        assert_eq!(told.header("retry-after"), Some("900"));
        ben.post("/api/v1/reports").await.expect(204);
        for caller in [&ada, &ben, &ada, &ben, &ada] {
            let redeem = caller.post("/api/v1/vouchers/redeem").json(&serde_json::json!({ "code": "x" }));
            redeem.await.expect_problem(404, "no_voucher");
        }
        let redeem = ben.post("/api/v1/vouchers/redeem").json(&serde_json::json!({ "code": "x" }));
        redeem.await.expect_problem(429, "rate_limited");
    });
}
