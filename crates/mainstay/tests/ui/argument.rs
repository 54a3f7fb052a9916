//~ `Undescribed` cannot be an argument of an endpoint: nothing describes it in the API document
//~ argument.rs:9:30
use mainstay::prelude::*;

struct Undescribed;

/// Takes something that nothing describes.
#[get("/things")]
async fn list_things(_thing: Undescribed) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

fn main() {}
