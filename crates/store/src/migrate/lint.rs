//! What may not stand in a migration while the program before it still runs on another node, or while the table is in use:
//! each kind with another way. Where the author knows better, a comment before the statement says why: `-- safe: …`.

use crate::sql::Token;

/// What is said of a statement that is dangerous all the same.
const SAFE: &str = "-- safe:";

/// A reason is a sentence.
const SHORTEST_REASON: usize = 12;

/// The name of an index that a statement builds beside the table's traffic.
pub(super) fn concurrent_index<'a>(says: &[&Token<'a>]) -> Option<&'a str> {
    let at = says.iter().position(|token| token.is("CONCURRENTLY"))?;
    let is_index = says[0].is("CREATE") && at <= 3 && says[1..at].iter().any(|token| token.is("INDEX"));
    let name = says.get(at + 1..)?.iter().find(|token| !["IF", "NOT", "EXISTS"].iter().any(|word| token.is(word)))?;
    is_index.then(|| name.text.trim_matches('"'))
}

/// Judges one statement of a step. `is_new` says of a table whether this step makes it, so that nobody uses it yet.
pub(super) fn judge(statement: &[Token<'_>], is_new: impl Fn(&str) -> bool) -> Result<(), String> {
    let says: Vec<&Token<'_>> = statement.iter().filter(|token| !token.is_blank()).collect();
    let Some(danger) = danger(&says, is_new) else { return Ok(()) };
    let reason = statement.iter().find_map(|token| token.text.trim().strip_prefix(SAFE));
    match reason {
        Some(reason) if reason.trim().len() >= SHORTEST_REASON => Ok(()),
        Some(_) => Err(format!("`{SAFE}` is followed by no reason; say in a sentence why this does no harm")),
        None => Err(format!("{danger}; or write a line `{SAFE}` before it, and why it does no harm here")),
    }
}

fn danger(says: &[&Token<'_>], is_new: impl Fn(&str) -> bool) -> Option<String> {
    let is = |n: usize, word: &str| says.get(n).is_some_and(|token| token.is(word));
    let has = |word: &str| says.iter().any(|token| token.is(word));
    let after = |word: &str| says.iter().position(|token| token.is(word)).map(|at| at + 1);
    // The table whose name stands there, past words that are no name.
    let name_at = |n: usize| {
        let skipped = ["IF", "NOT", "EXISTS", "ONLY", "CONCURRENTLY"];
        let mut names = says.get(n..)?.iter().skip_while(|token| skipped.iter().any(|word| token.is(word)));
        names.next()?.name()
    };
    let concerns_a_new_table = |n: usize| name_at(n).is_some_and(&is_new);

    if is(0, "DROP") && !is(1, "INDEX") {
        let what = says.get(1).map_or("", |token| token.text).to_lowercase();
        return (!concerns_a_new_table(2)).then(|| {
            format!("`DROP` takes a {what} away that the program before may still use; drop it in a release after the one that stopped using it")
        });
    }
    if is(0, "TRUNCATE") || is(0, "CLUSTER") || is(0, "LOCK") || (is(0, "REINDEX") && !has("CONCURRENTLY")) {
        return Some(format!("`{}` keeps everybody from the table until it is done", says[0].text));
    }
    if is(0, "ALTER") && is(1, "TABLE") && !concerns_a_new_table(2) {
        if has("RENAME") {
            return Some(
                "`RENAME` breaks the program before, which knows the old name; add the new one beside it, write both, and drop the \
                 old one in a later release"
                    .to_owned(),
            );
        }
        if has("DROP") && !has("DEFAULT") && !has("CONSTRAINT") {
            return Some(
                "a column is dropped that the program before may still use; drop it in a release after the one that stopped using it"
                    .to_owned(),
            );
        }
        if has("TYPE") {
            return Some(
                "`TYPE` writes the whole table anew while nobody can use it; add a column of the new type, fill it, and move over"
                    .to_owned(),
            );
        }
        if has("SET") && has("NOT") && has("NULL") {
            return Some(
                "`SET NOT NULL` refuses rows of the program before, and reads the whole table while nobody can use it; let the new \
                 program fill the column first"
                    .to_owned(),
            );
        }
        if has("CONSTRAINT") && has("ADD") && !has("VALID") {
            return Some(
                "a constraint is checked against every row while nobody can write; add it `NOT VALID`, and `VALIDATE CONSTRAINT` in \
                 the next step"
                    .to_owned(),
            );
        }
        let default = after("DEFAULT").and_then(|at| says.get(at..at + 2));
        if let Some([function, parenthesis]) = default
            && function.name().is_some()
            && parenthesis.is_sign("(")
        {
            return Some(format!(
                "the default `{}(…)` is another for each row, so the whole table is written anew while nobody can use it; add the \
                 column without, and fill it",
                function.text
            ));
        }
    }
    if is(0, "CREATE") && has("INDEX") && (is(1, "INDEX") || is(2, "INDEX")) && !has("CONCURRENTLY") {
        let on = after("ON")?;
        return (!concerns_a_new_table(on)).then(|| {
            "an index is built while nobody can write to the table; write `CREATE INDEX CONCURRENTLY`, in a step of its own".to_owned()
        });
    }
    if (is(0, "UPDATE") && !concerns_a_new_table(1)) || (is(0, "DELETE") && !concerns_a_new_table(2)) {
        return (!has("WHERE")).then(|| {
            format!(
                "`{}` of every row keeps others from all of them until the step is done; let the new program do it, some rows at a time",
                says[0].text.to_uppercase()
            )
        });
    }
    None
}
