//~ `mainstay::prelude::Valid<Plain>` cannot be an argument of an endpoint
//~ body.rs:11:36
use mainstay::prelude::*;

struct Plain {
    name: String,
}

/// Takes a body that is no `#[input]`.
#[post("/things")]
async fn create_thing(Valid(_new): Valid<Plain>) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

fn main() {}
