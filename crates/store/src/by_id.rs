use std::sync::Arc;

/// A statement that finds one row by its id, and on PostgreSQL the rows of several callers at once. Made once, cheap to
/// clone; read by [`Read::row_by_id`](crate::Read::row_by_id), or with [`ById::one`] inside a transaction.
#[derive(Debug, Clone)]
pub struct ById(Arc<Texts>);

#[derive(Debug)]
struct Texts {
    one: String,
    many: String,
}

impl ById {
    /// Of a text around `column = $1`: `before` ends with the column, and what it selects begins with that column, whose
    /// values identify the rows. `after` may add conditions, which take no parameter.
    pub fn new(before: &str, after: &str) -> Self {
        let (one, many) = (format!("{before} = $1{after}"), format!("{before} = any($1){after}"));
        Self(Arc::new(Texts { one, many }))
    }

    /// The statement for one row, whose only parameter is the id: for [`Reads::row`](crate::Reads::row).
    pub fn one(&self) -> &str {
        &self.0.one
    }

    /// The statement for several, whose only parameter is an array of ids (PostgreSQL).
    pub(crate) fn many(&self) -> &str {
        &self.0.many
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
