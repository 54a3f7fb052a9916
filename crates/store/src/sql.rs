//! Reads SQL text as far as this crate needs to: it distinguishes words, quotes and comments, and nothing more.

use std::collections::BTreeSet;

use memchr::memchr;

use crate::StoreError;

/// What a piece of SQL text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementKind {
    /// A keyword or a bare name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string, in single quotes or between dollars.
    Text,
    /// A number or a parameter.
    Number,
    /// One character of anything else.
    Sign,
    /// White space.
    Space,
    /// A comment.
    Comment,
}

/// A piece of SQL text, and where it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: StatementKind,
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

impl Token<'_> {
    /// Whether it is this bare word, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == StatementKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character.
    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == StatementKind::Sign && self.text == sign
    }

    /// Whether it says nothing.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.kind, StatementKind::Space | StatementKind::Comment)
    }

    /// The name it is, if it is one, without its quotes.
    pub(crate) fn name(&self) -> Option<&str> {
        match self.kind {
            StatementKind::Word => Some(self.text),
            StatementKind::Quoted => Some(self.text.trim_matches('"')),
            _ => None,
        }
    }
}

/// Cuts SQL text into tokens. Their texts joined are the whole text.
pub(crate) fn tokens(sql: &str) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &sql[at..];
        let first = rest.chars().next()?;
        let (kind, length) = piece(rest, first);
        let token = Token { kind, text: &rest[..length], at };
        at += length;
        Some(token)
    })
}

fn piece(rest: &str, first: char) -> (StatementKind, usize) {
    let bytes = rest.as_bytes();
    // The length up to and with `end`, or of all that is left.
    let through = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |i| from + i + end.len());
    match first {
        c if c.is_whitespace() => (StatementKind::Space, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len())),
        '-' if bytes.get(1) == Some(&b'-') => (StatementKind::Comment, rest.find('\n').unwrap_or(rest.len())),
        '/' if bytes.get(1) == Some(&b'*') => (StatementKind::Comment, through(2, "*/")),
        '\'' => (StatementKind::Text, length_of_quoted(rest, '\'')),
        '"' => (StatementKind::Quoted, length_of_quoted(rest, '"')),
        '$' => {
            let tag = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(rest.len(), |i| i + 1);
            if bytes.get(1).is_some_and(u8::is_ascii_digit) {
                (StatementKind::Number, tag)
            } else if bytes.get(tag) == Some(&b'$') {
                (StatementKind::Text, through(tag + 1, &rest[..=tag]))
            } else {
                (StatementKind::Sign, 1)
            }
        }
        c if c.is_ascii_digit() => (
            StatementKind::Number,
            rest.find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_')).unwrap_or(rest.len()),
        ),
        c if c.is_alphabetic() || c == '_' => (
            StatementKind::Word,
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len()),
        ),
        c => (StatementKind::Sign, c.len_utf8()),
    }
}

/// A name as it stands in SQL, whatever it is.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The length of a quoted piece; a doubled quote inside stands for itself.
fn length_of_quoted(rest: &str, quote: char) -> usize {
    let mut from = 1;
    loop {
        match rest[from..].find(quote) {
            None => return rest.len(),
            Some(i) if rest[from + i + 1..].starts_with(quote) => from += i + 2,
            Some(i) => return from + i + 1,
        }
    }
}

/// How many parameters a statement takes: the highest number that one has, as in `$3`. None when a lower one is missing.
pub(crate) fn parameters(sql: &str) -> Option<usize> {
    let numbers = tokens(sql).filter(|token| token.kind == StatementKind::Number);
    let numbers: BTreeSet<usize> = numbers.filter_map(|token| token.text.strip_prefix('$')?.parse().ok()).collect();
    let highest = numbers.last().copied().unwrap_or(0);
    (numbers.len() == highest).then_some(highest)
}

/// The words that may begin a statement. Transactions are made with `store.tx`, tables with migrations, and settings
/// of the connection are the store's own.
const MAY_BEGIN: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "EXPLAIN"];

/// Refuses what may not be run as a statement: several at once, and whatever would reach past the transaction it is
/// in, a `COMMIT` above all.
pub(crate) fn check(sql: &str) -> Result<(), StoreError> {
    let Some(first) = tokens(sql).find(|token| !token.is_blank()) else {
        return Err(StoreError::internal("the statement is empty"));
    };
    if !MAY_BEGIN.iter().any(|word| first.is(word)) {
        return Err(StoreError::internal(format!(
            "a statement may not begin with `{}`; it begins with one of {}. Transactions are made with `store.tx`, \
             tables with migrations",
            first.text.chars().take(30).collect::<String>(),
            MAY_BEGIN.join(", "),
        )));
    }
    if memchr(b';', sql.as_bytes()).is_some() {
        let mut rest = tokens(sql).skip_while(|token| !token.is_sign(";")).skip(1);
        if rest.any(|token| !token.is_blank()) {
            return Err(StoreError::internal("several statements in one text; run them one by one"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_the_text_and_respect_quotes() {
        let sql = "SELECT 'a;''b', \"c;d\" -- e;\n, /* f; */ $1, $$g;$$, $t$h;$t$, 1.5e3, 한글 FROM t;";
        let all: Vec<_> = tokens(sql).collect();
        assert_eq!(all.iter().map(|t| t.text).collect::<String>(), sql);
        assert_eq!(all.iter().filter(|t| t.is_sign(";")).count(), 1);
        let names: Vec<_> = all.iter().filter(|t| t.kind == StatementKind::Word).map(|t| t.text).collect();
        assert_eq!(names, ["SELECT", "한글", "FROM", "t"]);
    }

    #[test]
    fn parameters_are_counted_where_they_are_some() {
        for (sql, count) in [
            ("SELECT 1", Some(0)),
            ("SELECT $1, '$9', \"$8\" -- $7\n, $2", Some(2)),
            ("SELECT $2 + $1 + $1", Some(2)),
            ("SELECT $2", None),
            ("SELECT $0", None),
        ] {
            assert_eq!(parameters(sql), count, "{sql}");
        }
    }

    #[test]
    fn unfinished_text_ends_where_it_ends() {
        for sql in ["'abc", "\"abc", "/* abc", "-- abc", "$$abc", "$", "''''", "'a''"] {
            assert_eq!(tokens(sql).map(|t| t.text).collect::<String>(), sql);
        }
    }

    #[test]
    fn statements_that_reach_past_their_transaction_are_refused() {
        for sql in [
            "",
            "  -- nothing",
            "COMMIT",
            "commit;",
            " /* x */ COMMIT",
            "-- x\nROLLBACK",
            "BEGIN",
            "END",
            "SAVEPOINT a",
            "RELEASE a",
            "ATTACH 'x' AS y",
            "DETACH y",
            "PRAGMA foreign_keys = off",
            "VACUUM",
            "SET search_path = x",
            "SELECT 1; COMMIT",
            "SELECT 1;;SELECT 2",
            "CREATE TABLE x (a)",
            "DISCARD ALL",
            "(SELECT 1)",
            "\"COMMIT\"",
            "COMMITTED",
            "\u{feff}COMMIT",
        ] {
            assert!(check(sql).is_err(), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "select 1;",
            "SELECT 1; -- done",
            " /* a */ -- b\n WITH x AS (SELECT 1) SELECT * FROM x",
            "INSERT INTO t VALUES (';COMMIT')",
            "UPDATE t SET a = 1",
            "DELETE FROM t",
        ] {
            assert!(check(sql).is_ok(), "{sql}");
        }
    }
}
