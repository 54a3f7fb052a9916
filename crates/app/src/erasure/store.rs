use kernel::{Time, UserId};
use store::{Reads, StoreError, Tx, params};

use super::OwnedTable;

/// Removes up to `most` rows of an owner, and says how many there were.
pub(super) async fn remove_rows(tx: &Tx, table: &OwnedTable, owner: UserId, most: u32) -> Result<u64, StoreError> {
    tx.execute(&table.remove, &params![owner, most]).await
}

/// The statement of [`remove_rows`] for one table.
pub(super) fn removal(table: &str, key: &str, owner: &str) -> String {
    format!(r#"DELETE FROM "{table}" WHERE "{key}" IN (SELECT "{key}" FROM "{table}" WHERE "{owner}" = $1 LIMIT $2)"#)
}

/// Notes that an owner's things are to be removed.
pub(super) async fn add_erasure(tx: &Tx, owner: UserId, now: Time) -> Result<(), StoreError> {
    let sql = "INSERT INTO owner_erasures (owner_id, requested_at) VALUES ($1, $2) ON CONFLICT (owner_id) DO NOTHING";
    tx.execute(sql, &params![owner, now]).await.map(drop)
}

/// All of an owner's things are removed.
pub(super) async fn remove_erasure(tx: &Tx, owner: UserId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM owner_erasures WHERE owner_id = $1", &params![owner]).await.map(drop)
}

/// Up to `most` owners whose things are being removed, the longest waiting first.
pub(super) async fn list_erasures(reads: &impl Reads, most: u32) -> Result<Vec<UserId>, StoreError> {
    let sql = "SELECT owner_id FROM owner_erasures ORDER BY requested_at, owner_id LIMIT $1";
    Ok(reads.rows::<(UserId,)>(sql, &params![most]).await?.into_iter().map(|(owner,)| owner).collect())
}
