use mainstay::prelude::*;

/// Nothing is wrong here, which shows that the others fail for their own reasons.
#[get("/things")]
async fn list_things(_caller: Caller<User>) -> Result<NoContent, StoreError> {
    Ok(NoContent)
}

fn main() {}
