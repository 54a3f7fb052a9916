//! What of a resource is kept between requests: rows as they are answered, with what decides who may see them; and lists.

use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, CacheConfig, Cached, Codec, Key, Unanswered};
use http::header::HeaderValue;
use kernel::{Id, Identity};
use store::{Invalidation, StoreError, Tx, Value};
use uuid::Uuid;
use web::{ETags, Problem};

use crate::{Read, Resource, Spec};

/// How long it is remembered at most that there is no row: callers ask again for a row that is gone.
const MOST_ABSENT: Duration = Duration::from_secs(5);

/// A list is kept where it was asked for so often lately: there are as many lists as there are queries.
const WORTH_AFTER: u8 = 2;

/// The caches of one resource, as far as it has any.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) rows: Option<Cached<KeptRow>>,
    pub(crate) lists: Option<Cached<Bytes>>,
    row_key: Key,
    list_key: Key,
}

/// A row, as it is answered to callers that may see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeptRow {
    /// Whose it is.
    owner: Option<Uuid>,
    /// Whether others see it too.
    is_open: bool,
    pub(crate) body: Bytes,
    pub(crate) tag: Option<HeaderValue>,
}

/// Why there is nothing to answer with.
#[derive(Debug)]
pub(crate) struct NotLoaded(pub(crate) Problem);

impl From<Problem> for NotLoaded {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Unanswered> for NotLoaded {
    /// Callers that waited for another's load get the same error as that one.
    fn from(why: Unanswered) -> Self {
        let error = match why {
            Unanswered::Late => StoreError::Timeout,
            Unanswered::Failed => StoreError::Busy,
        };
        Self(error.into())
    }
}

impl Kept {
    /// The caches that the resource declares.
    ///
    /// # Errors
    /// When there are some of this name.
    pub(crate) fn new(spec: &Spec, cache: &Cache, etags: ETags) -> Result<Self, String> {
        let told = |error: cache::CacheConfigError| format!("the cache of {}: {error}", spec.type_name);
        let rows = spec.cache_s.map(|keep_s| {
            let keep = Duration::from_secs(keep_s);
            let config = CacheConfig::with(spec.table, RowCodec(etags)).keep(keep).keep_absent(keep.min(MOST_ABSENT));
            cache.configure(config.weigh(|row: &KeptRow| row.body.len()))
        });
        let lists = spec.cache_lists_s.map(|keep_s| {
            let config = CacheConfig::raw(spec.lists).keep(Duration::from_secs(keep_s)).worth_after(WORTH_AFTER);
            cache.configure(config.weigh(Bytes::len))
        });
        Ok(Self {
            rows: rows.transpose().map_err(told)?,
            lists: lists.transpose().map_err(told)?,
            row_key: Key::of(spec.table),
            list_key: Key::of(spec.lists),
        })
    }

    pub(crate) fn row_key(&self, id: Uuid) -> Key {
        self.row_key.id(id)
    }

    /// The key of a list; if the list depends on the caller, one key for each caller.
    pub(crate) fn list_key(&self, spec: &Spec, identity: &Identity, query: &str) -> Key {
        match spec.read {
            Read::Anyone | Read::Admin => self.list_key.field(query),
            Read::Owner | Read::OwnerOr(_) => self.list_key.by(identity).field(query),
        }
    }
}

impl KeptRow {
    pub(crate) fn new<R: Resource>(row: &R, body: Vec<u8>, etags: ETags) -> Self {
        let spec = R::SPEC;
        let owner = match spec.owner.map(|column| row.value(column)) {
            Some(Value::Id(owner)) => Some(owner),
            _ => None,
        };
        let is_open = match spec.read {
            Read::Anyone => true,
            Read::Admin | Read::Owner => false,
            Read::OwnerOr(column) => row.value(column) == Value::Bool(true),
        };
        Self::of(owner, is_open, body.into(), etags)
    }

    fn of(owner: Option<Uuid>, is_open: bool, body: Bytes, etags: ETags) -> Self {
        let tag = HeaderValue::from_str(etags.of(&body).as_str()).ok();
        Self { owner, is_open, body, tag }
    }

    /// The same rule as [`Spec::may_read`], by what was kept of the row.
    pub(crate) fn may_be_read(&self, spec: &Spec, identity: &Identity) -> bool {
        let is_owner = || self.owner.is_some() && self.owner == identity.user_id().map(|id| id.as_uuid());
        if identity.is_admin() {
            return true;
        }
        match spec.read {
            Read::Anyone => true,
            Read::Admin => false,
            Read::Owner => is_owner(),
            Read::OwnerOr(_) => self.is_open || is_owner(),
        }
    }
}

/// For Redis: flags, the owner, the body.
struct RowCodec(ETags);

const OPEN: u8 = 1;
const OWNED: u8 = 2;

impl Codec<KeptRow> for RowCodec {
    fn encode(&self, row: &KeptRow) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(17 + row.body.len());
        bytes.push(if row.is_open { OPEN } else { 0 } | if row.owner.is_some() { OWNED } else { 0 });
        bytes.extend_from_slice(row.owner.unwrap_or_default().as_bytes());
        bytes.extend_from_slice(&row.body);
        Some(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Option<KeptRow> {
        let (&flags, rest) = bytes.split_first()?;
        let (owner, body) = rest.split_first_chunk::<16>()?;
        let owner = (flags & OWNED != 0).then(|| Uuid::from_bytes(*owner));
        (flags <= OPEN | OWNED).then(|| KeptRow::of(owner, flags & OPEN != 0, Bytes::copy_from_slice(body), self.0))
    }
}

/// Says that a transaction changes or removes this row of a resource: copies of it, and of lists, are forgotten before the
/// transaction is acknowledged. The operations of the resource say so by themselves; for SQL of one's own.
pub fn touch<R: Resource>(tx: &Tx, id: Id<R::Kind>) {
    tx.invalidate(Invalidation::One(R::SPEC.table.into(), id.as_uuid()));
    touch_lists::<R>(tx);
}

/// The same for all rows, or for those that are not known one by one.
pub fn touch_all<R: Resource>(tx: &Tx) {
    tx.invalidate(Invalidation::All(R::SPEC.table.into()));
    touch_lists::<R>(tx);
}

/// What one more row changes: nobody has asked for it yet, but lists have another item.
pub(crate) fn lists_of<R: Resource>() -> Invalidation {
    Invalidation::All(R::SPEC.lists.into())
}

/// Says that a transaction makes a row; for SQL of one's own, as [`touch`].
pub fn touch_lists<R: Resource>(tx: &Tx) {
    tx.invalidate(lists_of::<R>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was_written() {
        let etags = ETags::new([1; 32]);
        let codec = RowCodec(etags);
        for owner in [None, Some(Uuid::from_u128(7))] {
            for is_open in [true, false] {
                let row = KeptRow::of(owner, is_open, Bytes::from_static(b"{}"), etags);
                let bytes = codec.encode(&row).unwrap();
                assert_eq!(codec.decode(&bytes), Some(row));
            }
        }
        assert_eq!(codec.decode(b""), None);
        assert_eq!(codec.decode(&[1; 16]), None);
        assert_eq!(codec.decode(&[4; 17]), None, "another program's");
    }
}
