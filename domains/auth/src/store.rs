use mainstay::kernel::{Account, Json, Role, SessionId, Time, UserId};
use mainstay::prelude::*;
use mainstay::store::placeholders;

use crate::SigningAlgorithm;
use crate::keys::SigningKeyId;
use crate::model::Email;

/// An account, as far as signing in needs it.
#[derive(Debug, Row)]
pub(crate) struct CredentialsRow {
    pub(crate) id: UserId,
    pub(crate) password_hash: String,
    /// How much speaks for its being at home in this network: that it was registered there, each session last used there.
    pub(crate) signs_of_home: i64,
}

/// The credentials behind an address, as somebody in this network asks for them.
pub(crate) async fn find_credentials(
    reads: &impl Reads,
    email_key: &str,
    network: &[u8],
) -> Result<Option<CredentialsRow>, StoreError> {
    let sql = "SELECT a.id, a.password_hash, CASE WHEN a.network = $2 THEN 1 ELSE 0 END
                 + (SELECT count(*) FROM sessions s WHERE s.account_id = a.id AND s.network = $2)
               FROM accounts a WHERE a.email_key = $1";
    reads.row(sql, &params![email_key, network]).await
}

/// Every form that stored hashes have, or had.
pub(crate) async fn password_forms(reads: &impl Reads) -> Result<Vec<String>, StoreError> {
    let rows = reads.rows::<(String,)>("SELECT form FROM password_forms ORDER BY form", &[]).await?;
    Ok(rows.into_iter().map(|(form,)| form).collect())
}

/// Whether any account's hash has this form.
pub(crate) async fn has_form(reads: &impl Reads, form: &str) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM accounts WHERE password_hash LIKE $1 LIMIT 1";
    Ok(!reads.rows::<(UserId,)>(sql, &params![format!("{form}$%")]).await?.is_empty())
}

pub(crate) async fn add_password_form(tx: &Tx, form: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO password_forms (form) VALUES ($1) ON CONFLICT DO NOTHING";
    tx.execute(sql, &params![form]).await.map(drop)
}

pub(crate) async fn remove_password_form(tx: &Tx, form: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM password_forms WHERE form = $1", &params![form]).await.map(drop)
}

/// Adds an account. False when the address is taken; the transaction can only be rolled back then.
pub(crate) async fn add_account(
    tx: &Tx,
    id: UserId,
    email: &Email,
    password_hash: &str,
    role: Role,
    network: &[u8],
    now: Time,
) -> Result<bool, StoreError> {
    let added = tx
        .execute(
            "INSERT INTO accounts (id, email, email_key, password_hash, role, network, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            &params![id, email.typed(), email.key(), password_hash, role, network, now],
        )
        .await;
    match added {
        Err(error) if error.violates("accounts.email_key") => Ok(false),
        other => other.map(|_| true),
    }
}

/// The account behind an address.
pub(crate) async fn find_id(reads: &impl Reads, email_key: &str) -> Result<Option<UserId>, StoreError> {
    let row = reads.row::<(UserId,)>("SELECT id FROM accounts WHERE email_key = $1", &params![email_key]).await?;
    Ok(row.map(|(id,)| id))
}

/// Hands an account over: another role, another password, no home yet.
pub(crate) async fn set_role_and_password(
    tx: &Tx,
    id: UserId,
    role: Role,
    password_hash: &str,
    now: Time,
) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET role = $2, password_hash = $3, network = NULL, updated_at = $4 WHERE id = $1";
    tx.execute(sql, &params![id, role, password_hash, now]).await.map(drop)
}

pub(crate) async fn set_password_hash(tx: &Tx, id: UserId, new: &str, now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET password_hash = $2, updated_at = $3 WHERE id = $1";
    tx.execute(sql, &params![id, new, now]).await.map(drop)
}

/// The role of an account whose password is still the one that was checked.
pub(crate) async fn role_of(reads: &impl Reads, id: UserId, password_hash: &str) -> Result<Option<Role>, StoreError> {
    let sql = "SELECT role FROM accounts WHERE id = $1 AND password_hash = $2";
    Ok(reads.row::<(Role,)>(sql, &params![id, password_hash]).await?.map(|(role,)| role))
}

/// Up to `most` accounts, newest first, those older than `before` where that is given: with this address, with this role, or
/// all.
pub(crate) async fn search_accounts(
    reads: &impl Reads,
    email_key: Option<&str>,
    role: Option<Role>,
    before: Option<UserId>,
    most: u32,
) -> Result<Vec<Account>, StoreError> {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    for (condition, value) in
        [("email_key =", email_key.map(Into::into)), ("role =", role.map(Into::into)), ("id <", before.map(Into::into))]
    {
        if let Some(value) = value {
            values.push(value);
            conditions.push(format!("{condition} ${}", values.len()));
        }
    }
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    values.push(most.into());
    let sql = format!(
        "SELECT id, email, role, created_at FROM accounts WHERE {conditions} ORDER BY id DESC LIMIT ${}",
        values.len()
    );
    let rows = reads.rows::<(UserId, String, Role, Time)>(&sql, &values).await?;
    Ok(rows.into_iter().map(|(id, email, role, created_at)| Account { id, email, role, created_at }).collect())
}

/// The accounts with these ids, at most [`MOST_KEYS`](mainstay::store::MOST_KEYS), in no order.
pub(crate) async fn find_accounts(reads: &impl Reads, ids: &[UserId]) -> Result<Vec<Account>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let marks = placeholders(1, ids.len());
    let sql = format!("SELECT id, email, role, created_at FROM accounts WHERE id IN ({marks})");
    let values: Vec<_> = ids.iter().map(Into::into).collect();
    let rows = reads.rows_by_key::<(UserId, String, Role, Time)>(&sql, &values).await?;
    Ok(rows.into_iter().map(|(id, email, role, created_at)| Account { id, email, role, created_at }).collect())
}

/// Removes an account, which has no sessions any more. Whether it was there.
pub(crate) async fn remove_account(tx: &Tx, id: UserId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM accounts WHERE id = $1", &params![id]).await? > 0)
}

pub(crate) async fn add_session(
    tx: &Tx,
    id: SessionId,
    account_id: UserId,
    network: &[u8],
    now: Time,
    expires_at: Time,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sessions (id, account_id, network, created_at, last_used_at, expires_at)
         VALUES ($1, $2, $3, $4, $4, $5)",
        &params![id, account_id, network, now, expires_at],
    )
    .await
    .map(drop)
}

/// Who uses a live session: the account, its role, and when the session ends at the latest. Asked on every request whose
/// token was not looked at just before.
pub(crate) async fn find_live_session(
    reads: &impl Reads,
    id: SessionId,
) -> Result<Option<(UserId, Role, Time)>, StoreError> {
    let sql = "SELECT a.id, a.role, s.expires_at FROM sessions s JOIN accounts a ON a.id = s.account_id
               WHERE s.id = $1 AND s.ended_at IS NULL";
    reads.row(sql, &params![id]).await
}

/// Gives a row where a person's session is live and they still have the role they claim: the session, the person, now, the
/// role. Every transaction in a person's name begins with it. Every account is a user, so that role is not looked at.
pub(crate) const LIVE_SESSION: &str = "SELECT 1 FROM sessions
    WHERE id = $1 AND account_id = $2 AND ended_at IS NULL AND expires_at > $3
    AND ($4 = 'user' OR EXISTS (SELECT 1 FROM accounts WHERE id = $2 AND role = 'admin'))";

/// Ends a session of this account, if it is there and live.
pub(crate) async fn end_session(tx: &Tx, id: SessionId, account_id: UserId, now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET ended_at = $3 WHERE id = $1 AND account_id = $2 AND ended_at IS NULL";
    tx.execute(sql, &params![id, account_id, now]).await.map(drop)
}

/// Ends a session whose refresh token somebody used twice. Where it was used is no place of the owner's any more.
pub(crate) async fn end_stolen_session(tx: &Tx, id: SessionId, now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET ended_at = $2, network = NULL WHERE id = $1 AND ended_at IS NULL";
    tx.execute(sql, &params![id, now]).await.map(drop)
}

/// Every session of an account.
pub(crate) async fn session_ids(tx: &Tx, account_id: UserId) -> Result<Vec<SessionId>, StoreError> {
    let rows = tx.rows::<(SessionId,)>("SELECT id FROM sessions WHERE account_id = $1", &params![account_id]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Removes an account's sessions that nobody can go on with, and their refresh tokens. `unused_since` is the latest use that
/// lets one die of idleness. One that was ended stays as long as it would have: it tells where the account is at home.
pub(crate) async fn remove_dead_sessions(
    tx: &Tx,
    account_id: UserId,
    now: Time,
    unused_since: Time,
) -> Result<(), StoreError> {
    let values = params![account_id, now, unused_since];
    tx.execute(
        "DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE account_id = $1
         AND (expires_at <= $2 OR last_used_at <= $3))",
        &values,
    )
    .await?;
    let sql = "DELETE FROM sessions WHERE account_id = $1 AND (expires_at <= $2 OR last_used_at <= $3)";
    tx.execute(sql, &values).await.map(drop)
}

/// Removes all but `kept` of an account's sessions: those that were ended first, then those that were not used for
/// longest. Says which.
pub(crate) async fn remove_oldest_sessions(
    tx: &Tx,
    account_id: UserId,
    kept: u32,
) -> Result<Vec<SessionId>, StoreError> {
    let sql = "SELECT id FROM sessions WHERE account_id = $1
               ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, last_used_at DESC, id DESC LIMIT 100000 OFFSET $2";
    let rows = tx.rows::<(SessionId,)>(sql, &params![account_id, i64::from(kept)]).await?;
    for rows in rows.chunks(500) {
        let marks = placeholders(1, rows.len());
        let values: Vec<_> = rows.iter().map(|(id,)| id.into()).collect();
        tx.execute(&format!("DELETE FROM refresh_tokens WHERE session_id IN ({marks})"), &values).await?;
        tx.execute(&format!("DELETE FROM sessions WHERE id IN ({marks})"), &values).await?;
    }
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Removes every session of an account, and their refresh tokens.
pub(crate) async fn remove_all_sessions(tx: &Tx, account_id: UserId) -> Result<(), StoreError> {
    let sql = "DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE account_id = $1)";
    tx.execute(sql, &params![account_id]).await?;
    tx.execute("DELETE FROM sessions WHERE account_id = $1", &params![account_id]).await.map(drop)
}

/// A session, and what is kept of one refresh token of it: the one that is good, and the one that was spent for it.
#[derive(Debug, Row)]
pub(crate) struct RefreshRow {
    pub(crate) token_expires_at: Option<Time>,
    pub(crate) spent_at: Option<Time>,
    pub(crate) seed: Option<Vec<u8>>,
    pub(crate) session_expires_at: Time,
    pub(crate) ended_at: Option<Time>,
    pub(crate) account_id: UserId,
    pub(crate) role: Role,
    pub(crate) email_key: String,
}

/// The session that a refresh token names, and what is known of the token.
pub(crate) async fn find_refresh(
    reads: &impl Reads,
    session_id: SessionId,
    hash: &[u8],
) -> Result<Option<RefreshRow>, StoreError> {
    let sql = "SELECT t.expires_at, t.spent_at, t.seed, s.expires_at, s.ended_at, a.id, a.role, a.email_key
               FROM sessions s JOIN accounts a ON a.id = s.account_id
               LEFT JOIN refresh_tokens t ON t.session_id = s.id AND t.hash = $2 WHERE s.id = $1";
    reads.row(sql, &params![session_id, hash]).await
}

pub(crate) async fn add_refresh_token(
    tx: &Tx,
    hash: &[u8],
    session_id: SessionId,
    now: Time,
    expires_at: Time,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        &params![hash, session_id, now, expires_at],
    )
    .await
    .map(drop)
}

/// Spends a refresh token, true for exactly one caller ever, and forgets those that its session spent before: a genuine
/// token of which nothing is kept was spent long ago.
pub(crate) async fn spend_refresh_token(
    tx: &Tx,
    hash: &[u8],
    session_id: SessionId,
    seed: &[u8],
    now: Time,
) -> Result<bool, StoreError> {
    let sql = "UPDATE refresh_tokens SET spent_at = $2, seed = $3 WHERE hash = $1 AND spent_at IS NULL";
    let is_first = tx.execute(sql, &params![hash, now, seed]).await? == 1;
    let sql = "DELETE FROM refresh_tokens WHERE session_id = $1 AND hash <> $2";
    tx.execute(sql, &params![session_id, hash]).await?;
    Ok(is_first)
}

/// Notes that a session was used, and in which network.
pub(crate) async fn touch_session(tx: &Tx, id: SessionId, network: &[u8], now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET last_used_at = $2, network = $3 WHERE id = $1";
    tx.execute(sql, &params![id, now, network]).await.map(drop)
}

/// A signing key as it is stored.
#[derive(Debug, Row)]
pub(crate) struct SigningKeyRow {
    pub(crate) id: SigningKeyId,
    pub(crate) algorithm: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) not_before: Time,
    pub(crate) retires_at: Option<Time>,
}

impl SigningKeyRow {
    /// Whether it can still sign at `now` or later.
    pub(crate) fn is_unretired(&self, algorithm: SigningAlgorithm) -> bool {
        self.retires_at.is_none() && self.algorithm == algorithm.name()
    }
}

/// Every key whose tokens are still believed.
pub(crate) async fn list_signing_keys(reads: &impl Reads, now: Time) -> Result<Vec<SigningKeyRow>, StoreError> {
    let sql = format!(
        "SELECT {} FROM signing_keys WHERE retires_at IS NULL OR retires_at > $1 ORDER BY not_before, id",
        SigningKeyRow::COLUMNS
    );
    reads.rows(&sql, &params![now]).await
}

/// Adds a key.
pub(crate) async fn add_signing_key(tx: &Tx, key: &SigningKeyRow, public: Json, now: Time) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO signing_keys (id, algorithm, sealed, public_jwk, created_at, not_before)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &params![key.id, &key.algorithm, &key.sealed, public, now, key.not_before],
    )
    .await
    .map(drop)
}

/// Lets every other key retire at `at`, and removes those that have retired.
pub(crate) async fn retire_other_keys(tx: &Tx, kept: SigningKeyId, at: Time, now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE signing_keys SET retires_at = $2 WHERE id <> $1 AND retires_at IS NULL";
    tx.execute(sql, &params![kept, at]).await?;
    tx.execute("DELETE FROM signing_keys WHERE retires_at <= $1", &params![now]).await.map(drop)
}

/// Whether anybody is an administrator.
pub(crate) async fn has_admin(reads: &impl Reads) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM accounts WHERE role = 'admin' LIMIT 1";
    Ok(!reads.rows::<(UserId,)>(sql, &[]).await?.is_empty())
}

/// When the newest signing key was made.
pub(crate) async fn newest_key_at(reads: &impl Reads) -> Result<Option<Time>, StoreError> {
    let sql = "SELECT created_at FROM signing_keys ORDER BY created_at DESC LIMIT 1";
    Ok(reads.rows::<(Time,)>(sql, &[]).await?.first().map(|(made_at,)| *made_at))
}

/// The latest moment a session was made or used.
pub(crate) async fn last_seen_at(reads: &impl Reads) -> Result<Option<Time>, StoreError> {
    let sql = "SELECT last_used_at FROM sessions ORDER BY last_used_at DESC LIMIT 1";
    Ok(reads.rows::<(Time,)>(sql, &[]).await?.first().map(|(used_at,)| *used_at))
}
