//~ `String` cannot be the success of an endpoint: nothing describes it in the API document
//~ wrap it: `Json<T>` (200)
use mainstay::prelude::*;

/// Answers with something that nothing describes.
#[get("/things")]
async fn list_things() -> Result<String, StoreError> {
    Ok(String::new())
}

fn main() {}
