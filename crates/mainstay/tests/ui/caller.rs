//~ `Somebody` does not say who may call
use mainstay::prelude::*;

struct Somebody;

/// Says nothing about who may call.
#[get("/things")]
async fn list_things(_caller: Caller<Somebody>) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

fn main() {}
