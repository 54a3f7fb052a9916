use kernel::{Id, IdKind, Identity, Text, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use store::{FromRow, Value};
use web::InputType;

use crate::FieldKind;

/// A row type that is a resource. Derived; see `docs/how-to/add-a-resource.md`.
pub trait Resource: FromRow + Clone + Send + Sync + 'static {
    /// The kind of its ids.
    type Kind: IdKind;
    /// What creates one.
    type New: InputType;
    /// What changes one.
    type Patch: InputType;
    /// What is sent of one.
    type View: Serialize + JsonSchema + Send;
    /// The same with every field optional, for answers to `?fields=`.
    type Part: JsonSchema;

    /// Everything about it that is not code.
    const SPEC: &'static Spec;

    /// Its id.
    fn id(&self) -> Id<Self::Kind>;
    /// What is sent of it.
    fn view(&self) -> Self::View;
    /// The value of a column, by its index in the spec.
    fn value(&self, column: usize) -> Value;
    /// The columns a creation sets.
    fn create_values(new: Self::New) -> Vec<(usize, Value)>;
    /// The columns a change sets.
    fn patch_values(patch: Self::Patch) -> Vec<(usize, Value)>;
}

/// Everything about a resource that is not code.
#[derive(Debug)]
pub struct Spec {
    /// One of them: `post`.
    pub name: &'static str,
    /// Many of them: `posts`.
    pub plural: &'static str,
    /// The type's name: `Post`.
    pub type_name: &'static str,
    /// Where they are: `/posts`.
    pub path: &'static str,
    /// The table.
    pub table: &'static str,
    /// The columns, in the order of the row's fields. The first is the id.
    pub columns: &'static [Column],
    /// The column that holds the owner.
    pub owner: Option<usize>,
    /// The column that holds the moment of creation.
    pub created: Option<usize>,
    /// The column that holds the moment of the last change.
    pub updated: Option<usize>,
    /// Who may read.
    pub read: Read,
    /// Who may create, change and delete.
    pub write: Write,
    /// What can be included.
    pub includes: &'static [Include],
    /// What its lists are kept under in caches: `posts.list`. Nobody else's kind, so that a changed row is forgotten apart
    /// from the lists that it stands in.
    pub lists: &'static str,
    /// How long a row is kept in caches, in seconds; none where it is not.
    pub cache_s: Option<u64>,
    /// The same for lists.
    pub cache_lists_s: Option<u64>,
    /// The limits on its operations, by their names.
    pub limits: &'static [&'static str],
    /// The problem's name when there is none: `post_not_found`.
    pub not_found: &'static str,
    /// The problem's name when a constraint forbids it: `post_conflict`.
    pub conflict: &'static str,
}

/// A column of a resource.
#[derive(Debug)]
pub struct Column {
    /// Its name, in the table and on the wire.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it can be NULL.
    pub is_nullable: bool,
    /// Whether it is sent.
    pub is_visible: bool,
    /// Whether lists can be filtered by it.
    pub is_filter: bool,
    /// Whether lists can be sorted by it.
    pub is_sort: bool,
    /// Reads a filter's text.
    pub parse: fn(&str) -> Result<Value, Text>,
    /// Its schema as a parameter.
    pub schema: fn() -> serde_json::Value,
}

/// Who may read a resource, besides administrators. A row that may not be read is answered as one that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Everyone.
    Anyone,
    /// The row's owner.
    Owner,
    /// The row's owner; everyone once this boolean column is true.
    OwnerOr(usize),
    /// Administrators.
    Admin,
}

/// Who may create, change and delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Any signed-in person creates; the owner, or an administrator, changes and deletes.
    Owner,
    /// Administrators.
    Admin,
}

/// Something that can be included with a row, by a loader that another domain exports.
#[derive(Debug)]
pub struct Include {
    /// Its name on the wire: `author`.
    pub name: &'static str,
    /// The loader: `users.by_id`.
    pub loader: &'static str,
    /// The column whose id the loader is asked for.
    pub key: usize,
}

impl Spec {
    /// Whether this caller may read this row. Administrators may read each row by its id, so that none is out of their
    /// reach; their lists are those of everybody.
    pub(crate) fn may_read<R: Resource>(&self, identity: &Identity, row: &R) -> bool {
        if identity.is_admin() {
            return true;
        }
        match self.read {
            Read::Anyone => true,
            Read::Admin => false,
            Read::Owner => self.is_owner(identity, row),
            Read::OwnerOr(column) => row.value(column) == Value::Bool(true) || self.is_owner(identity, row),
        }
    }

    /// Whether this caller may change this row.
    pub(crate) fn may_write<R: Resource>(&self, identity: &Identity, row: &R) -> bool {
        identity.is_admin() || self.write == Write::Owner && self.is_owner(identity, row)
    }

    fn is_owner<R: Resource>(&self, identity: &Identity, row: &R) -> bool {
        let owner = self.owner.map(|column| row.value(column));
        let caller: Option<UserId> = identity.user_id();
        matches!((owner, caller), (Some(Value::Id(owner)), Some(caller)) if owner == caller.as_uuid())
    }

    /// The column of this name.
    pub(crate) fn column(&self, name: &str) -> Option<(usize, &'static Column)> {
        self.columns.iter().enumerate().find(|(_, c)| c.name == name)
    }
}
