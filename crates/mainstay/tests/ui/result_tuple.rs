//~ `(u16, String)` cannot be the result of an endpoint: nothing describes it in the API document
use mainstay::prelude::*;

/// Answers with a tuple.
#[get("/things")]
async fn list_things() -> (u16, String) {
    (200, String::new())
}

fn main() {}
