use mainstay::prelude::*;
use mainstay::store::{MOST_KEYS, placeholders};

use crate::Profile;

pub(crate) async fn add_profile(tx: &Tx, id: UserId, display_name: &str, now: Time) -> Result<(), StoreError> {
    let sql = "INSERT INTO profiles (id, display_name, created_at, updated_at) VALUES ($1, $2, $3, $3)";
    tx.execute(sql, &params![id, display_name, now]).await.map(drop)
}

pub(crate) async fn remove_profile(tx: &Tx, id: UserId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM profiles WHERE id = $1", &params![id]).await.map(drop)
}

pub(crate) async fn find_profile(reads: &impl Reads, id: UserId) -> Result<Option<Profile>, StoreError> {
    let sql = format!("SELECT {} FROM profiles WHERE id = $1", Profile::COLUMNS);
    reads.row(&sql, &params![id]).await
}

/// The profiles with these ids, in no order.
pub(crate) async fn find_profiles(reads: &impl Reads, ids: &[UserId]) -> Result<Vec<Profile>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(MOST_KEYS) {
        let sql = format!("SELECT {} FROM profiles WHERE id IN ({})", Profile::COLUMNS, placeholders(1, ids.len()));
        let values: Vec<_> = ids.iter().map(Into::into).collect();
        found.extend(reads.rows_by_key::<Profile>(&sql, &values).await?);
    }
    Ok(found)
}

/// The newest profiles, those older than `before` and whose name begins with `prefix` where these are given. Ids are ordered
/// by time.
pub(crate) async fn list_profiles(
    reads: &impl Reads,
    prefix: Option<&str>,
    before: Option<UserId>,
    most: u32,
) -> Result<Vec<Profile>, StoreError> {
    let (mut conditions, mut values) = (String::from("true"), Vec::new());
    if let Some(prefix) = prefix {
        values.push(prefix.into());
        // Not LIKE: SQLite's ignores the case of ASCII, PostgreSQL's does not.
        conditions.push_str(&format!(" AND substr(display_name, 1, {}) = ${}", prefix.chars().count(), values.len()));
    }
    if let Some(before) = before {
        values.push(before.into());
        conditions.push_str(&format!(" AND id < ${}", values.len()));
    }
    values.push(most.into());
    let columns = Profile::COLUMNS;
    let sql = format!("SELECT {columns} FROM profiles WHERE {conditions} ORDER BY id DESC LIMIT ${}", values.len());
    reads.rows(&sql, &values).await
}

pub(crate) async fn set_display_name(tx: &Tx, id: UserId, display_name: &str, now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE profiles SET display_name = $2, updated_at = $3 WHERE id = $1";
    tx.execute(sql, &params![id, display_name, now]).await.map(drop)
}
