use kernel::Time;
use store::{Reads, StoreError, Tx, params};

use super::DeploymentId;

/// The deployment's id, if it has one.
pub(super) async fn find_id(reads: &impl Reads) -> Result<Option<DeploymentId>, StoreError> {
    let row = reads.row("SELECT id FROM mainstay_deployment WHERE one = 1", &[]).await?;
    Ok(row.map(|(id,)| id))
}

/// Gives the deployment this id, unless it has one.
pub(super) async fn create_deployment(tx: &Tx, id: DeploymentId, now: Time) -> Result<(), StoreError> {
    let sql = "INSERT INTO mainstay_deployment (one, id, made_at, probed_at) VALUES (1, $1, $2, $2)
        ON CONFLICT (one) DO NOTHING";
    tx.execute(sql, &params![id, now]).await.map(drop)
}

/// Writes something.
pub(super) async fn update_probe(tx: &Tx, now: Time) -> Result<(), StoreError> {
    tx.execute("UPDATE mainstay_deployment SET probed_at = $1 WHERE one = 1", &params![now]).await.map(drop)
}
