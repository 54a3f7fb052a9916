//! The query string of a list: filters, order, cursor, and the SQL they mean.

use std::borrow::Cow;

use kernel::{Identity, RequestPart, Text, ValidationErrors, nfc, text};
use serde_json::{Value as Json, json};
use store::Value;
use web::{Operation, Parameter, Problem, RequestError, parse_bool, parse_list, parse_pairs, parse_whole};

use crate::answer::NO_PARAMETER;
use crate::field::TRUE_OR_FALSE;
use crate::projection::{Relation, Selection, listed, repeated};
use crate::sql::{Lead, Sql, boolean, quoted, visible};
use crate::{Column, Cursors, FieldKind, Resource, Spec};

const DEFAULT_LIMIT: usize = 20;
const MOST_LIMIT: usize = 100;
/// The most values in one `[in]`.
const MOST_IN: usize = 50;
/// Rows that are gathered and sorted rather than looked for among all others.
const FEW: i64 = 1000;

/// How many rows begin with the text that a `[starts_with]` asks for, where the list has another order than that of this
/// column. SQLite does not know by itself which is less work: to gather all that begin so and sort them, or to walk in
/// the list's order until a page of them is found. For a few the one, for many the other is a hundred times dearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breadth {
    /// Gather and sort them.
    Few,
    /// Walk in order.
    Many,
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    Null,
    StartsWith,
}

impl Operator {
    const ALL: [(Operator, &'static str, &'static str); 9] = [
        (Operator::Eq, "", "Equal."),
        (Operator::Ne, "ne", "Not equal; null counts as different."),
        (Operator::Gt, "gt", "Greater."),
        (Operator::Gte, "gte", "Greater or equal."),
        (Operator::Lt, "lt", "Less."),
        (Operator::Lte, "lte", "Less or equal."),
        (
            Operator::In,
            "in",
            "One of these, separated by commas (at most 50). A text with a comma stands in double quotes: `\"a, b\",c`.",
        ),
        (Operator::Null, "null", "`true`: has no value; `false`: has one."),
        (Operator::StartsWith, "starts_with", "Begins with this text, upper and lower case told apart."),
    ];

    fn fits(self, column: &Column) -> bool {
        match self {
            Operator::Eq | Operator::Ne => column.kind.is_ordered(),
            Operator::In => column.kind.is_ordered() && column.kind != FieldKind::Bool,
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
                column.kind.is_ordered() && !matches!(column.kind, FieldKind::Bool)
            }
            Operator::Null => column.is_nullable,
            Operator::StartsWith => column.kind == FieldKind::Text,
        }
    }
}

#[derive(Debug)]
struct Filter {
    column: &'static Column,
    operator: Operator,
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    index: usize,
    column: &'static Column,
    is_descending: bool,
}

/// What a request for a list asks.
#[derive(Debug)]
pub(crate) struct ListQuery {
    pub limit: usize,
    pub selection: Selection,
    pub wants_total: bool,
    filters: Vec<Filter>,
    orders: Vec<Order>,
    /// Which list this is, for its cursors: name, order, filters.
    identity: String,
    after: Option<Vec<Value>>,
}

impl ListQuery {
    /// Reads a query string; all errors at once.
    pub(crate) fn read(
        spec: &'static Spec,
        relations: &[Relation],
        cursors: &Cursors,
        query: &str,
    ) -> Result<Self, Problem> {
        let pairs = parse_pairs(query)?;
        let mut errors = ValidationErrors::new();
        let mut list = Self {
            limit: DEFAULT_LIMIT,
            selection: Selection::default(),
            wants_total: false,
            filters: Vec::new(),
            orders: Vec::new(),
            identity: String::new(),
            after: None,
        };
        let mut cursor = None;
        let mut filter_texts = Vec::new();
        for (name, text) in &pairs {
            match name.as_ref() {
                "limit" => match parse_whole(text).map(usize::try_from) {
                    Some(Ok(limit)) if (1..=MOST_LIMIT).contains(&limit) => list.limit = limit,
                    Some(_) => errors.add(
                        RequestPart::Query,
                        "/limit",
                        "range",
                        text!("must be 1 to {most}", most = MOST_LIMIT),
                    ),
                    None => {
                        let message = text!("must be a whole number, 1 to {most}", most = MOST_LIMIT);
                        errors.add(RequestPart::Query, "/limit", "type", message);
                    }
                },
                "cursor" => cursor = Some(text),
                "sort" => list.read_sort(spec, text, &mut errors),
                "fields" => list.selection.read_fields(spec, text, &mut errors),
                "include" => list.selection.read_include(relations, text, &mut errors),
                "total" => match parse_bool(text) {
                    Some(wants_total) => list.wants_total = wants_total,
                    None => errors.add(RequestPart::Query, "/total", "type", TRUE_OR_FALSE),
                },
                _ => {
                    if list.read_filter(spec, name, text, &mut errors) {
                        filter_texts.push((name.clone(), nfc(text)));
                    }
                }
            }
        }
        list.finish_order(spec);
        list.identity = identity(spec, &list.orders, filter_texts);
        if let Some(cursor) = cursor {
            list.after = cursors.read(&list.identity, cursor).filter(|values| values.len() == list.orders.len());
            if list.after.is_none() && errors.is_empty() {
                let message = text!("must be the `next_cursor` of this same list, with the same filters and sort");
                errors.add(RequestPart::Query, "/cursor", "cursor", message);
            }
        }
        if errors.is_empty() { Ok(list) } else { Err(RequestError::Invalid(errors.into()).into()) }
    }

    fn read_sort(&mut self, spec: &'static Spec, text: &str, errors: &mut ValidationErrors) {
        for item in listed("/sort", text, errors) {
            let (is_descending, name) = item.strip_prefix('-').map_or((false, item), |name| (true, name));
            match spec.column(name).filter(|(_, c)| c.is_sort) {
                Some((index, _)) if self.orders.iter().any(|o| o.index == index) => {
                    repeated("/sort", name, errors);
                }
                Some((index, column)) => self.orders.push(Order { index, column, is_descending }),
                None => {
                    let all: Vec<&str> = spec.columns.iter().filter(|c| c.is_sort).map(|c| c.name).collect();
                    let names = all.join(", ");
                    let message = text!("may name {names}; `-` before one sorts it descending", names);
                    errors.add(RequestPart::Query, "/sort", "not_allowed", message);
                }
            }
        }
    }

    /// Every order ends with the id, so that it is total and a page cannot skip or repeat a row.
    fn finish_order(&mut self, spec: &'static Spec) {
        if !self.orders.iter().any(|o| o.index == 0) {
            let is_descending = self.orders.last().is_none_or(|o| o.is_descending);
            self.orders.push(Order { index: 0, column: &spec.columns[0], is_descending });
        }
    }

    fn read_filter(&mut self, spec: &'static Spec, name: &str, text: &str, errors: &mut ValidationErrors) -> bool {
        let (column, operator) = match name.split_once('[') {
            Some((column, rest)) => (column, rest.strip_suffix(']').filter(|o| !o.is_empty())),
            None => (name, Some("")),
        };
        let pointer = format!("/{}", name.chars().take(100).collect::<String>().replace('~', "~0").replace('/', "~1"));
        let Some((_, column)) = spec.column(column).filter(|(_, c)| c.is_filter) else {
            errors.add(RequestPart::Query, pointer, "unknown_field", NO_PARAMETER);
            return false;
        };
        let known = Operator::ALL.iter().find(|(_, word, _)| Some(*word) == operator).map(|(o, _, _)| *o);
        let Some(operator) = known.filter(|o| o.fits(column)) else {
            let all: Vec<String> = Operator::ALL
                .iter()
                .filter(|(o, word, _)| o.fits(column) && !word.is_empty())
                .map(|(_, word, _)| format!("[{word}]"))
                .collect();
            let message = text!("`{name}` takes {operators}", name = column.name, operators = all.join(", "));
            errors.add(RequestPart::Query, pointer, "unknown_field", message);
            return false;
        };
        let one = |text: &str| (column.parse)(text).map_err(|message| (code(column.kind, text), message));
        let parsed: Result<Vec<Value>, (&'static str, Text)> = match operator {
            Operator::Null => parse_bool(text).map(|value| vec![Value::Bool(value)]).ok_or(("type", TRUE_OR_FALSE)),
            Operator::In => list_values(column.kind, text)
                .map_err(|message| ("format", message))
                .and_then(|texts| texts.iter().map(|text| one(text)).collect()),
            _ => one(text).map(|v| vec![v]),
        };
        match parsed {
            Ok(values) => {
                self.filters.push(Filter { column, operator, values });
                true
            }
            Err((code, message)) => {
                errors.add(RequestPart::Query, pointer, code, message);
                false
            }
        }
    }

    /// The conditions of the list, before its cursor. Booleans and beginnings of texts may lead the way or not.
    fn conditions(&self, spec: &Spec, identity: &Identity, booleans: Lead, prefixes: Lead, sql: &mut Sql) {
        sql.push(" where ");
        visible(spec, identity, booleans, sql);
        for filter in &self.filters {
            sql.push(" and ");
            condition(filter, if filter.operator == Operator::StartsWith { prefixes } else { booleans }, sql);
        }
    }

    /// The filter by how a text begins, if there is one.
    fn prefix(&self) -> Option<&Filter> {
        self.filters.iter().find(|f| f.operator == Operator::StartsWith && f.values != [Value::Text(String::new())])
    }

    /// The statement that tells the [`Breadth`], where it matters: it counts no further than it must.
    pub(crate) fn breadth_sql(&self, spec: &Spec) -> Option<Sql> {
        let prefix = self.prefix().filter(|prefix| prefix.column.name != self.orders[0].column.name)?;
        let mut sql = Sql::default();
        sql.push(&format!("select count(*) from (select 1 from {} where ", quoted(spec.table)));
        condition(prefix, Lead::May, &mut sql);
        sql.push(&format!(" limit {}) as found", FEW + 1));
        Some(sql)
    }

    /// What that statement's answer means.
    pub(crate) const fn breadth(count: i64) -> Breadth {
        if count > FEW { Breadth::Many } else { Breadth::Few }
    }

    /// The statement for one page, and one row more, which tells whether another follows.
    pub(crate) fn page_sql(&self, select: &str, spec: &Spec, identity: &Identity, breadth: Option<Breadth>) -> Sql {
        let mut sql = Sql::default();
        let lead = if self.orders[0].index == 0 { Lead::May } else { Lead::MayNot };
        if let (Some(Breadth::Few), Some(prefix)) = (breadth, self.prefix()) {
            // Neither database looks through a `limit`: the rows are found by this condition and no other.
            sql.push("select * from (");
            sql.push(select);
            sql.push(" where ");
            condition(prefix, Lead::May, &mut sql);
            sql.push(&format!(" limit {}) as found", i64::MAX));
        } else {
            sql.push(select);
        }
        let prefixes = if breadth == Some(Breadth::Many) { Lead::MayNot } else { Lead::May };
        self.conditions(spec, identity, lead, prefixes, &mut sql);
        if let Some(after) = &self.after {
            sql.push(" and (");
            keyset(&self.orders, after, &mut sql);
            sql.push(")");
        }
        sql.push(" order by ");
        for (i, order) in self.orders.iter().enumerate() {
            if i > 0 {
                sql.push(", ");
            }
            sql.push(&quoted(order.column.name));
            sql.push(if order.is_descending { " desc" } else { " asc" });
            // Spelled out only where it matters: where there are no NULLs, PostgreSQL would not use an index for it.
            if order.column.is_nullable {
                sql.push(if order.is_descending { " nulls last" } else { " nulls first" });
            }
        }
        sql.push(" limit ");
        sql.bind(Value::Int(self.limit as i64 + 1));
        sql
    }

    /// The statement for the exact total.
    pub(crate) fn total_sql(&self, spec: &Spec, identity: &Identity) -> Sql {
        let mut sql = Sql::default();
        sql.push(&format!("select count(*) from {}", quoted(spec.table)));
        // How a text begins is known by few rows, a boolean by half of them.
        let lead = if self.prefix().is_some() { Lead::MayNot } else { Lead::May };
        self.conditions(spec, identity, lead, Lead::May, &mut sql);
        sql
    }

    /// The cursor after a row.
    pub(crate) fn cursor_after<R: Resource>(&self, cursors: &Cursors, row: &R) -> String {
        let values: Vec<Value> = self.orders.iter().map(|o| row.value(o.index)).collect();
        cursors.write(&self.identity, &values)
    }
}

/// The rule that a filter's text breaks, named as operations with a described query name it.
fn code(kind: FieldKind, text: &str) -> &'static str {
    match kind {
        FieldKind::Int if parse_whole(text).is_some() => "range",
        FieldKind::Int | FieldKind::Bool => "type",
        FieldKind::Text if text.contains('\0') => "nul_character",
        _ => "format",
    }
}

/// The texts in a list. Those of a text may stand in quotes; nothing else has commas of its own.
fn list_values(kind: FieldKind, text: &str) -> Result<Vec<String>, Text> {
    let texts =
        if kind == FieldKind::Text { parse_list(text)? } else { text.split(',').map(ToOwned::to_owned).collect() };
    if texts.len() > MOST_IN { Err(text!("may list at most {most} values", most = MOST_IN)) } else { Ok(texts) }
}

/// What a list takes from its caller's limits besides the one for the call: one for each further page of usual length, and
/// for a total, which looks at every row, as much as for a page of the greatest length. A query that cannot be read costs
/// nothing more.
pub(crate) fn extra_cost(query: &str) -> u32 {
    // Most name neither; a name may be encoded.
    if !["limit", "total", "%"].iter().any(|part| query.contains(part)) {
        return 0;
    }
    let of = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| match (name.as_ref(), value.as_ref()) {
        ("limit", limit) => {
            limit.parse().map_or(0, |limit: usize| limit.min(MOST_LIMIT).saturating_sub(1) / DEFAULT_LIMIT)
        }
        ("total", "true") => MOST_LIMIT / DEFAULT_LIMIT,
        _ => 0,
    };
    let cost: usize = parse_pairs(query).map_or(0, |pairs| pairs.iter().map(of).sum());
    u32::try_from(cost).unwrap_or(u32::MAX)
}

fn identity(spec: &Spec, orders: &[Order], mut filters: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> String {
    filters.sort();
    let mut text = format!("{}\n", spec.plural);
    for order in orders {
        text.push_str(if order.is_descending { "-" } else { "+" });
        text.push_str(order.column.name);
    }
    for (name, value) in filters {
        text.push_str(&format!("\n{name}={}:{value}", value.len()));
    }
    text
}

fn condition(filter: &Filter, lead: Lead, sql: &mut Sql) {
    let column = quoted(filter.column.name);
    let mut values = filter.values.iter().cloned();
    let first = values.next().unwrap_or(Value::Null);
    let simple = |operator: &str, sql: &mut Sql, first: Value| {
        sql.push(&format!("{column} {operator} "));
        sql.bind(first);
    };
    match filter.operator {
        Operator::Eq => match first {
            Value::Bool(value) => boolean(&column, value, lead, sql),
            other => simple("=", sql, other),
        },
        Operator::Ne => simple("is distinct from", sql, first),
        Operator::Gt => simple(">", sql, first),
        Operator::Gte => simple(">=", sql, first),
        Operator::Lt => simple("<", sql, first),
        Operator::Lte => simple("<=", sql, first),
        Operator::Null => {
            let word = if first == Value::Bool(true) { "is null" } else { "is not null" };
            sql.push(&format!("{column} {word}"));
        }
        Operator::In => {
            sql.push(&format!("{column} in ("));
            sql.bind(first);
            for value in values {
                sql.push(", ");
                sql.bind(value);
            }
            sql.push(")");
        }
        Operator::StartsWith => {
            // Not LIKE: SQLite's ignores the case of ASCII, PostgreSQL's does not. A range, since an index has one: both
            // databases compare texts by their bytes, which is by their code points.
            let prefix = if let Value::Text(text) = &first { text.clone() } else { String::new() };
            if lead == Lead::MayNot {
                sql.push("case when ");
            }
            simple(">=", sql, first);
            if let Some(end) = end_of(&prefix) {
                sql.push(" and ");
                simple("<", sql, Value::Text(end));
            }
            if lead == Lead::MayNot {
                sql.push(" then true else false end");
            }
        }
    }
}

/// The first text after all that begin with this one, if there is any: its last character made one greater. Where that is
/// the greatest there is, the one before.
fn end_of(prefix: &str) -> Option<String> {
    let mut rest = prefix;
    loop {
        let last = rest.chars().next_back()?;
        rest = &rest[..rest.len() - last.len_utf8()];
        // Between U+D7FF and U+E000 there are no characters.
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            return Some(format!("{rest}{next}"));
        }
    }
}

/// The rows after these values.
fn keyset(orders: &[Order], after: &[Value], sql: &mut Sql) {
    let is_descending = orders[0].is_descending;
    let is_plain = orders.iter().all(|o| o.is_descending == is_descending && !o.column.is_nullable);
    if is_plain {
        // A row compared as a whole is a range of an index on both databases: `("a", "b") < ($1, $2)`.
        let columns: Vec<String> = orders.iter().map(|o| quoted(o.column.name)).collect();
        sql.push(&format!("({}) {} (", columns.join(", "), if is_descending { "<" } else { ">" }));
        for (i, value) in after.iter().enumerate() {
            if i > 0 {
                sql.push(", ");
            }
            sql.bind(value.clone());
        }
        sql.push(")");
        return;
    }
    if !orders[0].column.is_nullable {
        sql.push(&format!("{} {} ", quoted(orders[0].column.name), if is_descending { "<=" } else { ">=" }));
        sql.bind(after[0].clone());
        sql.push(" and ");
    }
    // Within `case`, for the reason given at `Lead`.
    sql.push("case when ");
    places_after(orders, after, sql);
    sql.push(" then true else false end");
}

/// `(a after x) or (a same x and b after y) or …`, with NULLs where the order puts them.
fn places_after(orders: &[Order], after: &[Value], sql: &mut Sql) {
    for (i, order) in orders.iter().enumerate() {
        if i > 0 {
            sql.push(" or ");
        }
        sql.push("(");
        for (same, value) in orders[..i].iter().zip(after) {
            let column = quoted(same.column.name);
            if *value == Value::Null {
                sql.push(&format!("{column} is null and "));
            } else {
                sql.push(&format!("{column} = "));
                sql.bind(value.clone());
                sql.push(" and ");
            }
        }
        let column = quoted(order.column.name);
        match (&after[i], order.is_descending) {
            // NULLs come first going up and last going down.
            (Value::Null, false) => sql.push(&format!("{column} is not null")),
            (Value::Null, true) => sql.push("false"),
            (value, false) => {
                sql.push(&format!("{column} > "));
                sql.bind(value.clone());
            }
            (value, true) => {
                sql.push(&format!("({column} < "));
                sql.bind(value.clone());
                sql.push(&if order.column.is_nullable { format!(" or {column} is null)") } else { ")".to_owned() });
            }
        }
        sql.push(")");
    }
}

/// The schema of a list of words, separated by commas.
fn list_of(words: Vec<&str>) -> Json {
    json!({ "type": "array", "items": { "type": "string", "enum": words }, "minItems": 1, "uniqueItems": true })
}

/// Describes `fields` and `include`.
pub(crate) fn describe_selection(spec: &Spec, relations: &[Relation], op: &mut Operation<'_>) {
    let mut add = |name: &str, description: &str, schema: Json| {
        op.parameter(Parameter {
            place: RequestPart::Query,
            name: name.into(),
            required: false,
            description: description.into(),
            schema,
        });
    };
    let visible = spec.columns.iter().filter(|c| c.is_visible).map(|c| c.name).collect();
    add("fields", "Only these fields, separated by commas.", list_of(visible));
    if !relations.is_empty() {
        let names = relations.iter().map(|r| r.include.name).collect();
        add("include", "What to send along with each, separated by commas.", list_of(names));
    }
}

/// Describes the parameters of a list.
pub(crate) fn describe_list(spec: &Spec, relations: &[Relation], op: &mut Operation<'_>) {
    describe_selection(spec, relations, op);
    let mut add = |name: String, description: String, schema: Json| {
        op.parameter(Parameter { place: RequestPart::Query, name, required: false, description, schema });
    };
    add(
        "limit".into(),
        "The most items in one page.".into(),
        json!({ "type": "integer", "minimum": 1, "maximum": MOST_LIMIT, "default": DEFAULT_LIMIT }),
    );
    add("cursor".into(), "The `next_cursor` of the page before.".into(), json!({ "type": "string" }));
    add("total".into(), "Whether to count all items, exactly.".into(), json!({ "type": "boolean", "default": false }));
    let sortable: Vec<&str> = spec.columns.iter().filter(|c| c.is_sort).map(|c| c.name).collect();
    if !sortable.is_empty() {
        let words: Vec<String> = sortable.iter().flat_map(|name| [(*name).to_owned(), format!("-{name}")]).collect();
        add(
            "sort".into(),
            "The order: field names separated by commas, `-` before one for descending. Newest first without it."
                .into(),
            json!({ "type": "array", "items": { "type": "string", "enum": words }, "minItems": 1, "uniqueItems": true }),
        );
    }
    for column in spec.columns.iter().filter(|c| c.is_filter) {
        for (operator, word, description) in Operator::ALL.iter().filter(|(o, _, _)| o.fits(column)) {
            let name = if word.is_empty() { column.name.to_owned() } else { format!("{}[{word}]", column.name) };
            let schema = match operator {
                Operator::Null => json!({ "type": "boolean" }),
                Operator::In => {
                    let mut item = (column.schema)();
                    if column.kind == FieldKind::Text {
                        // The comma separates, but in quotes.
                        item["pattern"] = json!(r#"^([^\u0000,"][^\u0000,]*|"([^\u0000"\\]|\\["\\])*")?$"#);
                    }
                    json!({ "type": "array", "items": item, "minItems": 1, "maxItems": MOST_IN })
                }
                _ => (column.schema)(),
            };
            add(name, (*description).to_owned(), schema);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::{Clock, Ctx, Identity, Random, Role, SessionId, UserId};
    use store::{Dialect, EventHandlers, Migrations, Reads as _, Store, StoreError};
    use testkit::TestDatabase;
    use uuid::Uuid;

    use super::*;
    use crate::{FieldType, Read, Write};

    const fn column<T: FieldType>(name: &'static str) -> Column {
        Column {
            name,
            kind: T::KIND,
            is_nullable: T::IS_NULLABLE,
            is_visible: true,
            is_filter: true,
            is_sort: true,
            parse: T::parse,
            schema: T::schema,
        }
    }

    const SPEC: &Spec = &Spec {
        lists: "specimens.list",
        cache_s: None,
        cache_lists_s: None,
        limits: &[],
        name: "post",
        plural: "posts",
        type_name: "Post",
        path: "/posts",
        table: "posts",
        columns: &[
            column::<UserId>("id"),
            column::<UserId>("author_id"),
            column::<bool>("published"),
            column::<kernel::Time>("created_at"),
            column::<Option<String>>("note"),
        ],
        owner: Some(1),
        created: Some(3),
        updated: None,
        read: Read::OwnerOr(2),
        write: Write::Owner,
        includes: &[],
        not_found: "post_not_found",
        conflict: "post_conflict",
    };

    const TABLE: &str = "create table posts (
            id blob primary key, author_id blob not null, published integer not null, created_at integer not null, note text
        ) strict;
        create index posts_author_id on posts (author_id, id desc);
        create index posts_published on posts (published, id desc);
        create index posts_created_at on posts (created_at, id);
        create index posts_note on posts (note, id);
        create table owner_erasures (owner_id blob primary key) strict;";

    /// A page costs as much in a large table as in a small one: SQLite walks in the list's order, without sorting or
    /// gathering rows first.
    #[test]
    fn a_page_is_read_in_its_order() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        database.execute_batch(TABLE).unwrap();
        let cursors = Cursors::new([1; 32]);
        let ada = UserId::from_uuid(uuid::Uuid::from_u128(7));
        let person = Identity::User { user_id: ada, session_id: SessionId::from_uuid(ada.as_uuid()), role: Role::User };
        let of_ada = format!("author_id={ada}&sort=-id");
        for query in [
            "",
            "sort=id",
            "sort=-created_at",
            "sort=created_at",
            "sort=-note",
            "published=true&sort=-id",
            "published=true&sort=note",
            &of_ada,
        ] {
            for identity in [person, Identity::Anonymous] {
                for is_next_page in [false, true] {
                    let mut list = ListQuery::read(SPEC, &[], &cursors, query).unwrap();
                    if is_next_page {
                        let value = |o: &Order| match o.column.kind {
                            FieldKind::Id => ada.into(),
                            FieldKind::Time => Value::Time(kernel::Time::from_micros(1)),
                            _ => Value::Text("x".into()),
                        };
                        list.after = Some(list.orders.iter().map(value).collect());
                    }
                    let sql = list.page_sql("select * from \"posts\"", SPEC, &identity, None);
                    let mut statement = database.prepare(&format!("explain query plan {}", sql.text)).unwrap();
                    // What is bound does not matter to the plan.
                    let mut rows = statement.raw_query();
                    while let Some(row) = rows.next().unwrap() {
                        let step: String = row.get(3).unwrap();
                        assert!(!step.contains("TEMP B-TREE") && !step.contains("MULTI-INDEX"), "{}: {step}", sql.text);
                    }
                }
            }
        }
    }

    #[test]
    fn a_beginning_ends_before_the_next_one() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("zzzz", Some("zzz{")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{D7FF}", Some("\u{E000}")),
            ("가", Some("각")),
            ("\u{7F}", Some("\u{80}")),
            ("\u{FFFF}", Some("\u{10000}")),
            ("\u{10FFFF}", None),
            ("", None),
        ] {
            assert_eq!(end_of(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn a_list_costs_what_it_asks_for() {
        for (query, more) in [
            ("", 0),
            ("limit=20", 0),
            ("limit=21", 1),
            ("limit=100&sort=id", 4),
            ("%6Cimit=100", 4),
            ("total=true", 5),
            ("tot%61l=tru%65&limit=41", 7),
            ("total=false&limit=0", 0),
            ("limit=999999999999", 4),
            ("limit=x&total=true", 5),
            ("limit=100&limit=100", 0),
            ("note=%FF", 0),
        ] {
            assert_eq!(extra_cost(query), more, "{query}");
        }
    }

    const TABLES: Migrations = Migrations {
        domain: "posts",
        steps: &[(
            "0001_posts",
            "create table posts (
                id id primary key, author_id id not null, published bool not null, created_at time not null, note text
            );
            create index posts_author_id on posts (author_id, id desc);
            create index posts_published on posts (published, id desc);
            create index posts_created_at on posts (created_at, id);
            create index posts_note on posts (note, id);
            create table owner_erasures (owner_id id primary key);",
        )],
    };

    /// Where code points, bytes and UTF-16 would disagree, and where a text ends.
    const ENDS: [&str; 12] = [
        "",
        "a",
        "ab",
        "b",
        "\u{7F}",
        "\u{D7FF}",
        "\u{D7FF}a",
        "\u{E000}",
        "\u{FFFF}",
        "\u{10000}",
        "\u{10FFFF}",
        "\u{10FFFF}\u{10FFFF}",
    ];

    async fn filled(db: &TestDatabase) -> (Store, Ctx, Vec<(Uuid, String)>) {
        let (clock, random) = (Clock::system(), Random::os());
        let ctx = Ctx::system("test", std::time::Duration::from_secs(60), &clock, &random);
        let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
        store.migrate(&[TABLES], &clock).await.unwrap();
        let rows: Vec<(Uuid, String)> = (0..5000_u128)
            .map(|n| {
                let text = ENDS.get(n as usize).map_or_else(|| format!("note {n}"), |text| (*text).to_owned());
                (Uuid::from_u128(n), text)
            })
            .collect();
        let written = Arc::new(rows.clone());
        store
            .tx::<_, StoreError, _, _>(&ctx, move |tx| {
                let written = written.clone();
                async move {
                    for rows in written.chunks(100) {
                        let mut sql = Sql::default();
                        for (at, (id, note)) in rows.iter().enumerate() {
                            sql.push(if at == 0 { "insert into posts values (" } else { "), (" });
                            sql.bind(Value::Id(*id));
                            for value in [Value::Id(*id), true.into(), Value::Time(kernel::Time::from_micros(1))] {
                                sql.push(", ");
                                sql.bind(value);
                            }
                            sql.push(", ");
                            sql.bind(note.clone().into());
                        }
                        sql.push(")");
                        tx.execute(&sql.text, &sql.params).await?;
                    }
                    Ok(())
                }
            })
            .await
            .unwrap();
        if db.backend() != testkit::Backend::Sqlite {
            db.change_on_server("analyze posts.posts").await;
        }
        (store, ctx, rows)
    }

    async fn plan(store: &Store, ctx: &Ctx, sql: &Sql) -> String {
        let read = store.read(ctx);
        match store.dialect() {
            Dialect::Sqlite => {
                let text = format!("explain query plan {}", sql.text);
                let steps: Vec<(i64, i64, i64, String)> = read.rows(&text, &sql.params).await.unwrap();
                steps.into_iter().map(|step| step.3 + "\n").collect()
            }
            Dialect::Postgres => {
                let steps: Vec<(String,)> = read.rows(&format!("explain {}", sql.text), &sql.params).await.unwrap();
                steps.into_iter().map(|step| step.0 + "\n").collect()
            }
        }
    }

    testkit::both! {
        /// What nothing begins with is found to be absent without reading the table, in whatever order it is asked for.
        async fn how_a_text_begins_is_looked_up_in_an_index(db: TestDatabase) {
            let (store, ctx, _) = filled(&db).await;
            let cursors = Cursors::new([1; 32]);
            for query in ["note[starts_with]=zzzz", "note[starts_with]=zzzz&sort=note", "note[starts_with]=zzzz&sort=-created_at"] {
                let list = ListQuery::read(SPEC, &[], &cursors, query).unwrap();
                let breadth = list.breadth_sql(SPEC);
                assert_eq!(breadth.is_none(), query.ends_with("=note"), "{query}");
                let page = list.page_sql("select * from posts", SPEC, &Identity::Anonymous, breadth.as_ref().map(|_| Breadth::Few));
                for sql in breadth.iter().chain([&page, &list.total_sql(SPEC, &Identity::Anonymous)]) {
                    let plan = plan(&store, &ctx, sql).await;
                    assert!(plan.contains("posts_note") && !plan.contains("Seq Scan on posts") && !plan.contains("SCAN posts"), "{plan}");
                }
                if breadth.is_some() {
                    let page = list.page_sql("select * from posts", SPEC, &Identity::Anonymous, Some(Breadth::Many));
                    let plan = plan(&store, &ctx, &page).await;
                    assert!(!plan.contains("posts_note") && !plan.contains("TEMP B-TREE"), "{plan}");
                }
            }
        }

        /// Each way to read finds what begins so, page after page, and nothing else.
        async fn what_begins_so_is_found_each_way(db: TestDatabase) {
            let (store, ctx, rows) = filled(&db).await;
            let cursors = Cursors::new([1; 32]);
            for prefix in ENDS.into_iter().chain(["note 12", "note", "NOTE", "zzzz"]) {
                let expected: Vec<Uuid> = rows.iter().rev().filter(|row| row.1.starts_with(prefix)).map(|row| row.0).collect();
                let encoded: String = prefix.bytes().map(|byte| format!("%{byte:02X}")).collect();
                for breadth in [None, Some(Breadth::Few), Some(Breadth::Many)] {
                    let query = format!("note[starts_with]={encoded}&sort=-id&limit=100");
                    let mut list = ListQuery::read(SPEC, &[], &cursors, &query).unwrap();
                    let mut found: Vec<Uuid> = Vec::new();
                    // Two pages are enough where there are thousands.
                    for _ in 0..2 {
                        let page = list.page_sql("select * from posts", SPEC, &Identity::Anonymous, breadth);
                        let text = page.text.replacen("select *", "select id", 1);
                        let ids: Vec<(Uuid,)> = store.read(&ctx).rows(&text, &page.params).await.unwrap();
                        found.extend(ids.iter().take(list.limit).map(|(id,)| *id));
                        list.after = found.last().map(|id| vec![Value::Id(*id)]);
                        if ids.len() <= list.limit {
                            break;
                        }
                    }
                    let most = expected.len().min(200);
                    assert_eq!(found, expected[..most], "{prefix:?} {breadth:?}");
                }
                let total = ListQuery::read(SPEC, &[], &cursors, &format!("note[starts_with]={encoded}")).unwrap();
                let total = total.total_sql(SPEC, &Identity::Anonymous);
                let counted: Vec<(i64,)> = store.read(&ctx).rows(&total.text, &total.params).await.unwrap();
                assert_eq!(counted, [(expected.len() as i64,)], "{prefix:?}");
            }
        }
    }
}
