//! The SQL of a resource, the same text for both databases.

use std::fmt::Write as _;

use kernel::{Identity, Time, UserId};
use store::{ById, Value};

use crate::{Read, Spec};

/// A statement while it is put together.
#[derive(Debug, Default)]
pub(crate) struct Sql {
    pub text: String,
    pub params: Vec<Value>,
}

impl Sql {
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends `$n` for a value.
    pub(crate) fn bind(&mut self, value: Value) {
        self.params.push(value);
        let _ = write!(self.text, "${}", self.params.len());
    }
}

/// The statements that do not depend on a request.
#[derive(Debug)]
pub(crate) struct Statements {
    /// `select … from …`
    pub select: String,
    /// The same by id.
    pub select_by_id: ById,
    /// `delete … where id = $1`
    pub delete: String,
    columns: String,
    table: String,
}

/// Every identifier is quoted: a column may be called `order`.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

impl Statements {
    pub(crate) fn new(spec: &Spec) -> Self {
        let columns = spec.columns.iter().map(|c| quoted(c.name)).collect::<Vec<_>>().join(", ");
        let table = quoted(spec.table);
        let id = quoted(spec.columns[0].name);
        let select = format!("select {columns} from {table}");
        Self {
            select_by_id: ById::new(&format!("{select} where {id}"), &one_not_erased(spec)),
            delete: format!("delete from {table} where {id} = $1"),
            select,
            columns,
            table,
        }
    }

    /// `insert … returning …`
    pub(crate) fn insert(&self, spec: &Spec, values: Vec<(usize, Value)>) -> Sql {
        let names = values.iter().map(|(c, _)| quoted(spec.columns[*c].name)).collect::<Vec<_>>().join(", ");
        let mut sql = Sql::default();
        sql.push(&format!("insert into {} ({names}) values (", self.table));
        for (i, (_, value)) in values.into_iter().enumerate() {
            if i > 0 {
                sql.push(", ");
            }
            sql.bind(value);
        }
        sql.push(&format!(") returning {}", self.columns));
        sql
    }

    /// `update … where id = … returning …`
    pub(crate) fn update(&self, spec: &Spec, id: Value, values: Vec<(usize, Value)>) -> Sql {
        let mut sql = Sql::default();
        sql.push(&format!("update {} set ", self.table));
        for (i, (column, value)) in values.into_iter().enumerate() {
            if i > 0 {
                sql.push(", ");
            }
            sql.push(&format!("{} = ", quoted(spec.columns[column].name)));
            sql.bind(value);
        }
        sql.push(&format!(" where {} = ", quoted(spec.columns[0].name)));
        sql.bind(id);
        sql.push(&format!(" returning {}", self.columns));
        sql
    }
}

/// Whether a condition may lead the way. Given an index for it, SQLite gathers the rows it fits and sorts them all, rather
/// than walk in the list's order and stop after a page; that is right for what few rows fit, not for a boolean that half
/// of them fit. A condition inside `case` leads nowhere, on either database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It may: rows come in the order of ids, which an index on the condition has too; or nothing is in order.
    May,
    /// It may not.
    MayNot,
}

/// Adds `column = value` for a boolean column.
pub(crate) fn boolean(column: &str, value: bool, lead: Lead, sql: &mut Sql) {
    match lead {
        Lead::May => sql.push(&format!("{column} = {value}")),
        Lead::MayNot => sql.push(&format!("case when {column} = {value} then true else false end")),
    }
}

/// The condition that a row's owner is not being erased: what is left of an account that is gone is not there for anybody,
/// however long removing it takes.
fn not_erased(spec: &Spec) -> String {
    spec.owner.map_or_else(String::new, |owner| {
        format!(" and {} not in (select \"owner_id\" from \"owner_erasures\")", quoted(spec.columns[owner].name))
    })
}

/// The same for few rows: PostgreSQL makes no table of all who are being erased, which costs it half as much again as to find
/// a row by its id.
fn one_not_erased(spec: &Spec) -> String {
    spec.owner.map_or_else(String::new, |owner| {
        let owner = format!("{}.{}", quoted(spec.table), quoted(spec.columns[owner].name));
        format!(
            " and (select \"owner_id\" from \"owner_erasures\" where \"owner_erasures\".\"owner_id\" = {owner}) is null"
        )
    })
}

/// Adds the condition under which the caller may see a row.
pub(crate) fn visible(spec: &Spec, identity: &Identity, lead: Lead, sql: &mut Sql) {
    let owned = |sql: &mut Sql, caller: Option<UserId>| match (spec.owner, caller) {
        (Some(owner), Some(caller)) => {
            sql.push(&format!("{} = ", quoted(spec.columns[owner].name)));
            sql.bind(caller.into());
        }
        _ => sql.push("false"),
    };
    match spec.read {
        Read::Anyone => sql.push("true"),
        Read::Admin => sql.push(if identity.is_admin() { "true" } else { "false" }),
        Read::Owner => owned(sql, identity.user_id()),
        Read::OwnerOr(column) => {
            let column = quoted(spec.columns[column].name);
            if identity.user_id().is_none() {
                boolean(&column, true, lead, sql);
            } else {
                // `case` and not `or`, whose sides SQLite would look up one by one and sort.
                sql.push(&format!("case when {column} = true then true else "));
                owned(sql, identity.user_id());
                sql.push(" end");
            }
        }
    }
    sql.push(&not_erased(spec));
}

/// The columns that the server sets itself on creation.
pub(crate) fn own_values(spec: &Spec, id: Value, owner: Option<UserId>, now: Time) -> Vec<(usize, Value)> {
    let mut values = vec![(0, id)];
    if let (Some(column), Some(owner)) = (spec.owner, owner) {
        values.push((column, owner.into()));
    }
    values.extend(spec.created.map(|column| (column, now.into())));
    values.extend(spec.updated.map(|column| (column, now.into())));
    values
}
