use kernel::{Blob, Json, Time, UserId};
use store::{Reads, StoreError, Tx, params};

/// What a kept answer was to, its status, headers and body.
pub(super) type AnswerRow = (Blob, i64, Json, Blob);

/// The answer kept under a key, unless its time is up, or its account is gone.
pub(super) async fn find_answer(reads: &impl Reads, key: &[u8], now: Time) -> Result<Option<AnswerRow>, StoreError> {
    let sql = "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE key = $1 AND expires_at > $2
               AND NOT EXISTS (SELECT 1 FROM owner_erasures WHERE owner_id = account_id)";
    reads.row(sql, &params![key.to_vec(), now]).await
}

/// What is to be kept.
#[derive(Debug, Clone)]
pub(super) struct NewAnswer {
    pub(super) key: Vec<u8>,
    pub(super) fingerprint: Vec<u8>,
    pub(super) account_id: Option<UserId>,
    pub(super) status: i64,
    pub(super) headers: Json,
    pub(super) body: Vec<u8>,
    pub(super) expires_at: Time,
}

/// Keeps an answer. False when there is one already whose time is not up at `now`.
pub(super) async fn add_answer(tx: &Tx, new: NewAnswer, now: Time) -> Result<bool, StoreError> {
    let NewAnswer { key, fingerprint, account_id, status, headers, body, expires_at } = new;
    let added = tx
        .execute(
            "INSERT INTO idempotency_keys (key, fingerprint, account_id, status, headers, body, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, account_id = excluded.account_id,
                 status = excluded.status, headers = excluded.headers, body = excluded.body,
                 expires_at = excluded.expires_at
             WHERE idempotency_keys.expires_at <= $8",
            &params![key, fingerprint, account_id, status, headers, body, expires_at, now],
        )
        .await?;
    Ok(added > 0)
}

/// Notes that the answer kept under a key will tell of this account.
pub(super) async fn add_subject(tx: &Tx, account_id: UserId, key: &[u8], expires_at: Time) -> Result<(), StoreError> {
    let sql = "INSERT INTO idempotency_subjects (account_id, key, expires_at) VALUES ($1, $2, $3)";
    tx.execute(sql, &params![account_id, key.to_vec(), expires_at]).await.map(drop)
}

/// Removes up to `most` answers whose time is up, and as many notes of whom they told; says how many there were of the more.
pub(super) async fn remove_expired(tx: &Tx, now: Time, most: u32) -> Result<u64, StoreError> {
    let (params, mut removed) = (params![now, most], 0);
    for sql in [
        "DELETE FROM idempotency_keys WHERE key IN
             (SELECT key FROM idempotency_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        "DELETE FROM idempotency_subjects WHERE account_id IN
             (SELECT account_id FROM idempotency_subjects WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    ] {
        removed = tx.execute(sql, &params).await?.max(removed);
    }
    Ok(removed)
}

/// Removes the answers about an account, to any caller. (Answers to the account itself go as its things do.)
pub(super) async fn remove_about(tx: &Tx, account_id: UserId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_subjects WHERE account_id = $1)",
        "DELETE FROM idempotency_subjects WHERE account_id = $1",
    ] {
        tx.execute(sql, &params![account_id]).await?;
    }
    Ok(())
}
