//! Whether there is room for our schemas in a database that may be others' as well: which are there, whose they are, and
//! what is in them. Looked at as a whole before anything is made.

use std::collections::HashMap;

use super::failure::Failure;
use super::session::Session;
use crate::migrate::{Known, MigrationPlan, told};
use crate::schemas::Schemas;
use crate::{MigrateError, params};

/// What the database says of the schemas that have the names of ours.
#[derive(Debug)]
pub(crate) struct Room {
    database: String,
    /// The role we connect as.
    role: String,
    /// Whether that role may make a schema.
    may_make_schemas: bool,
    found: HashMap<String, Found>,
}

/// A schema that is there.
#[derive(Debug, Clone, Default)]
struct Found {
    owner: String,
    /// Whether our role may create something in it.
    may_make: bool,
    /// Tables, views and the like in it.
    relations: i64,
    /// Those among them that have the name of one of the domain's tables.
    ours: i64,
    /// Those in `public` that do: an earlier version made them there, where the schema was another's.
    in_public: i64,
    /// The owner of a table in it that our role may not change.
    other: Option<String>,
}

/// Whether a table is there, by its name as it stands in SQL. Not one in a schema that may not be looked into.
pub(crate) async fn is_there(session: &mut Session, table: &str) -> Result<bool, Failure> {
    let (schema, name) = table.split_once('.').unwrap_or(("", table));
    let ask = "SELECT 1::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND has_schema_privilege(n.oid, 'USAGE')";
    let rows: Vec<(i64,)> = session.fetch(ask, &params![schema.trim_matches('"'), name.trim_matches('"')], 1).await?;
    Ok(!rows.is_empty())
}

impl Room {
    pub(crate) async fn look(session: &mut Session, schemas: &Schemas, plan: &MigrationPlan) -> Result<Self, Failure> {
        let ask = "SELECT current_database()::text, current_user::text,
            has_database_privilege(current_database(), 'CREATE')";
        let of_all: Vec<(String, String, bool)> = session.fetch(ask, &[], 1).await?;
        let (database, role, may_make_schemas) = of_all.into_iter().next().unwrap_or_default();
        let mut found = HashMap::new();
        for (schema, tables) in wanted(schemas, plan) {
            let tables = tables.iter().map(|table| format!("'{}'", table.replace('\'', "''")));
            let tables = tables.chain(["NULL".to_owned()]).collect::<Vec<_>>().join(", ");
            let ask = format!(
                "SELECT pg_get_userbyid(n.nspowner)::text,
                     has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'),
                     count(c.oid), count(c.oid) FILTER (WHERE c.relname IN ({tables})),
                     (SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public' AND tablename IN ({tables})),
                     max(pg_get_userbyid(c.relowner)::text)
                         FILTER (WHERE c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE'))
                 FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c
                     ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                 WHERE n.nspname = $1 GROUP BY n.oid, n.nspowner"
            );
            type Row = (String, bool, i64, i64, i64, Option<String>);
            let rows: Vec<Row> = session.fetch(&ask, &params![&schema], 1).await?;
            found.extend(rows.into_iter().map(|(owner, may_make, relations, ours, in_public, other)| {
                (schema.clone(), Found { owner, may_make, relations, ours, in_public, other })
            }));
        }
        Ok(Self { database, role, may_make_schemas, found })
    }

    /// The schemas that are to be made.
    ///
    /// # Errors
    /// Why not all that is to be made could be: which schema, whose it is, and what to do.
    pub(crate) fn judge(
        &self,
        schemas: &Schemas,
        plan: &MigrationPlan,
        known: Option<&[Known]>,
    ) -> Result<Vec<String>, MigrateError> {
        let (mut missing, mut others, mut lost, mut closed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let record = schemas.record();
        // The record, then each domain: whether it is recorded as ours, and whether something is to be made in it.
        let of_record = (record.clone(), known.is_some(), known.is_none());
        let of_domains = plan.domains.iter().map(|domain| {
            let known = known.unwrap_or_default();
            let is_ours = known.iter().any(|(of, ..)| of == domain.domain);
            let is_behind = plan.pending(known).any(|(of, _)| of == domain.domain);
            (schemas.of(domain.domain), is_ours, is_behind)
        });
        for (schema, is_ours, is_behind) in [of_record].into_iter().chain(of_domains) {
            match self.found.get(&schema) {
                None if is_ours => lost.push(schema),
                None => missing.push(schema),
                Some(found) if is_ours && found.ours == 0 && found.in_public > 0 => lost.push(schema),
                Some(found) if !is_ours && found.relations > 0 => {
                    others.push(format!("`{schema}`, of `{}`, has {}", found.owner, told(found.relations)));
                }
                Some(found) if !is_ours && !found.may_make => {
                    others.push(format!("`{schema}` is of `{}`", found.owner));
                }
                Some(found) if is_behind && !found.may_make => closed.push((schema, found.owner.clone())),
                Some(Found { other: Some(owner), .. }) if is_behind && is_ours => closed.push((schema, owner.clone())),
                Some(_) => {}
            }
        }
        let (role, database) = (&self.role, &self.database);
        let refused = |advice: String| Err(MigrateError::Refused(format!("{advice} (nothing was made)")));
        if !others.is_empty() {
            return refused(format!(
                "the database `{database}` has schemas of these names that are another program's: {}; set \
                 `database.schema_prefix = \"mainstay_\"`, so that the names of ours begin with that, or use a database of \
                 its own",
                others.join("; ")
            ));
        }
        if !lost.is_empty() {
            return refused(format!(
                "the record in the schema `{record}` says that tables were made in `{}`, and they are not there: put them \
                 back from a backup; if an earlier version made them in `public`, move each with `ALTER TABLE public.… SET \
                 SCHEMA …`; if nothing is missed, name another `database.schema_prefix` or database",
                lost.join("`, `")
            ));
        }
        if let Some((schema, owner)) = closed.first() {
            return refused(format!(
                "the tables in the schema `{schema}` are to be changed, and the role `{role}` may not: they are of `{owner}`; \
                 set `database.admin_url` to that role, or let `{role}` do so with `GRANT {owner} TO {role}`"
            ));
        }
        if !missing.is_empty() && !self.may_make_schemas {
            let make: Vec<_> =
                missing.iter().map(|schema| format!("CREATE SCHEMA {schema} AUTHORIZATION {role}")).collect();
            return refused(format!(
                "the role `{role}` may make no schemas in the database `{database}`, and these are to be made: `{}`; as its \
                 owner, run `GRANT CREATE ON DATABASE {database} TO {role}`, or make them: `{}`; or set \
                 `database.admin_url` to a role that may",
                missing.join("`, `"),
                make.join("; ")
            ));
        }
        Ok(missing)
    }
}

/// The schemas of a plan, the record's first, and the tables that are made in each.
fn wanted<'a>(schemas: &Schemas, plan: &'a MigrationPlan) -> Vec<(String, &'a [String])> {
    let of_domains = plan.domains.iter().map(|domain| (schemas.of(domain.domain), domain.tables.as_slice()));
    [(schemas.record(), &[][..])].into_iter().chain(of_domains).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Migrations};

    fn plan() -> MigrationPlan {
        let steps = &[("0001_x", "CREATE TABLE accounts (id id PRIMARY KEY)")];
        let sets = [Migrations { domain: "auth", steps }, Migrations { domain: "empty", steps: &[] }];
        MigrationPlan::new(&sets, Dialect::Postgres).unwrap()
    }

    fn recorded() -> Vec<Known> {
        vec![("auth".to_owned(), 1, "0001_x".to_owned(), plan().domains[0].steps[0].checksum.clone())]
    }

    fn room(may_make_schemas: bool, found: &[(&str, Found)]) -> Room {
        let found = found.iter().map(|(schema, found)| ((*schema).to_owned(), found.clone())).collect();
        Room { database: "db".to_owned(), role: "me".to_owned(), may_make_schemas, found }
    }

    fn judge(room: &Room, known: Option<&[Known]>) -> Result<Vec<String>, String> {
        room.judge(&Schemas::new(""), &plan(), known).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_made_where_all_of_it_may_be() {
        assert_eq!(judge(&room(true, &[]), None).unwrap(), ["mainstay", "auth", "empty"]);
        let own = Found { owner: "me".to_owned(), may_make: true, ..Found::default() };
        let made = [("mainstay", own.clone()), ("auth", own.clone()), ("empty", own.clone())];
        assert_eq!(judge(&room(false, &made), None).unwrap(), [""; 0], "made by an administrator beforehand");
        let error = judge(&room(false, &made[..2]), None).unwrap_err();
        assert!(error.contains("`empty`") && error.contains("GRANT CREATE ON DATABASE db TO me"), "{error}");
        let rows_only =
            Found { may_make: false, ours: 1, relations: 1, other: Some("owner".to_owned()), ..own.clone() };
        let all = [("mainstay", own.clone()), ("auth", rows_only.clone()), ("empty", own)];
        assert_eq!(judge(&room(false, &all), Some(&recorded())).unwrap(), [""; 0], "nothing is to be made");
        // The same role, and a step is to come.
        let known = Some(&[][..]);
        assert!(judge(&room(false, &all), known).unwrap_err().contains("another program's"));
    }

    #[test]
    fn what_is_anothers_is_left_alone_whoever_owns_it() {
        let foreign = Found { owner: "supabase".to_owned(), relations: 20, ..Found::default() };
        let of_me = Found { owner: "me".to_owned(), may_make: true, relations: 1, ours: 1, ..Found::default() };
        for (found, says) in [(&foreign, "20 tables"), (&of_me, "one table"), (&Found::default(), "`auth` is of")] {
            let error = judge(&room(true, &[("auth", found.clone())]), None).unwrap_err();
            assert!(error.contains("`auth`") && error.contains(says) && error.contains("schema_prefix"), "{error}");
        }
        let error = judge(&room(true, &[("mainstay", of_me)]), None).unwrap_err();
        assert!(error.contains("`mainstay`"), "{error}");
    }

    #[test]
    fn tables_that_were_made_elsewhere_are_missed() {
        let own = Found { owner: "me".to_owned(), may_make: true, ..Found::default() };
        let foreign = Found { relations: 20, in_public: 1, ..own.clone() };
        let dropped = [("mainstay", own.clone()), ("empty", own.clone()), ("auth", own.clone())];
        assert_eq!(
            judge(&room(true, &dropped), Some(&recorded())).unwrap(),
            [""; 0],
            "a later step may have dropped it"
        );
        for auth in [None, Some(Found { in_public: 1, ..own.clone() }), Some(foreign)] {
            let mut found = vec![("mainstay", own.clone()), ("empty", own.clone())];
            found.extend(auth.map(|auth| ("auth", auth)));
            let error = judge(&room(true, &found), Some(&recorded())).unwrap_err();
            assert!(error.contains("`auth`") && error.contains("are not there"), "{error}");
        }
    }
}
