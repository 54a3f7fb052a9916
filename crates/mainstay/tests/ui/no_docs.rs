//~ an endpoint needs a doc comment
use mainstay::prelude::*;

#[get("/things")]
async fn list_things() -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

fn main() {}
