use mainstay::prelude::*;

/// How many quotes the migration writes; their ids begin with 1.
pub(crate) const QUOTES: i64 = 1_000;

/// Something somebody might have said.
#[view]
#[derive(Debug, Clone, PartialEq, Row)]
pub(crate) struct Quote {
    /// Its number, 1–1000.
    id: i64,
    /// What was said.
    words: String,
    /// By whom.
    author: String,
}

/// The quote with this number.
pub(crate) async fn get_quote(read: &impl Reads, id: i64) -> Result<Quote, StoreError> {
    let columns = Quote::COLUMNS;
    let found = read.row(&format!("select {columns} from quotes where id = $1"), &params![id]).await?;
    found.ok_or_else(|| StoreError::internal(format!("quote {id} is gone; run the migrations on an empty database")))
}
