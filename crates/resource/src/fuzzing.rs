//! A door for the fuzzers of `crates/fuzzing`, there only with the feature `fuzzing`: the SQL that a query string means.

use kernel::Identity;

use crate::list::ListQuery;
use crate::sql::Statements;
use crate::{Cursors, Resource};

/// The statements for a page and for the total that a list's query string asks for, each with how many parameters it
/// binds; none where the query is refused. Without includes.
pub fn statements<R: Resource>(cursors: &Cursors, identity: &Identity, query: &str) -> Option<[(String, usize); 2]> {
    let list = ListQuery::read(R::SPEC, &[], cursors, query).ok()?;
    let page = list.page_sql(&Statements::new(R::SPEC).select, R::SPEC, identity, None);
    let total = list.total_sql(R::SPEC, identity);
    Some([page, total].map(|sql| (sql.text, sql.params.len())))
}
