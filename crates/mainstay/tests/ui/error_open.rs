//~ the trait `ApiError` is not implemented for `std::io::Error`
use mainstay::prelude::*;

/// Fails with anything at all.
#[get("/things")]
async fn list_things() -> Result<NoContent, std::io::Error> {
    Ok(NoContent)
}

fn main() {}
