//! From the text of one migration to the statements of one dialect: dialect-only blocks are kept or dropped, the type
//! words expanded, and what would not mean the same on both databases refused.

use std::fmt::Write as _;
use std::ops::Range;

use super::lint;
use crate::Dialect;
use crate::sql::{StatementKind, Token, tokens};

/// The statements of a migration, and what it says about tables.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) statements: Vec<String>,
    /// The tables it makes.
    pub(crate) tables: Vec<String>,
    /// The tables its foreign keys refer to.
    pub(crate) refers_to: Vec<String>,
    /// The index it builds beside the table's traffic, if that is what it does.
    pub(crate) concurrent_index: Option<String>,
}

/// PostgreSQL cuts longer names off, and SQLite does not.
const LONGEST_NAME: usize = 63;

const REFUSED: [&str; 13] = [
    "BEGIN",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "START",
    "ATTACH",
    "DETACH",
    "PRAGMA",
    "VACUUM",
    "SET",
    "COPY",
];

/// Reads a migration for one dialect.
pub(crate) fn expand(text: &str, dialect: Dialect) -> Result<Script, String> {
    let (text, raw) = choose(text, dialect)?;
    let all: Vec<Token<'_>> = tokens(&text).collect();
    let mut script = Script::default();
    let statements = split(&all);
    for statement in &statements {
        Statement { tokens: statement, raw: &raw, dialect }.expand(&mut script)?;
    }
    if script.concurrent_index.is_some() && statements.len() > 1 {
        return Err("an index that is built `CONCURRENTLY` is a step of its own: it is no transaction".to_owned());
    }
    if dialect == Dialect::Postgres {
        let is_new = |table: &str| script.tables.iter().any(|made| made == table);
        statements.iter().try_for_each(|statement| lint::judge(statement, is_new))?;
    }
    if script.statements.is_empty() && raw.is_empty() && !text.contains("-- sqlite:") && !text.contains("-- postgres:")
    {
        return Err("there is no statement in it".to_owned());
    }
    Ok(script)
}

/// Keeps the lines for `dialect`, and says where in the result the dialect-only ones are.
fn choose(text: &str, dialect: Dialect) -> Result<(String, Vec<Range<usize>>), String> {
    let mut kept = String::with_capacity(text.len());
    let mut raw: Vec<Range<usize>> = Vec::new();
    let mut block: Option<Dialect> = None;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let begins = match line.trim() {
            "-- sqlite:" => Some(Dialect::Sqlite),
            "-- postgres:" => Some(Dialect::Postgres),
            _ => None,
        };
        let from = kept.len();
        if begins.is_some() {
            if block.is_some() {
                return Err(format!("line {number}: a block begins inside another; close the first with `-- end`"));
            }
            block = begins;
            kept.push_str(line);
        } else if line.trim() == "-- end" {
            if block.take().is_none() {
                return Err(format!("line {number}: `-- end` without `-- sqlite:` or `-- postgres:` before it"));
            }
            kept.push_str(line);
        } else if block.is_none_or(|only| only == dialect) {
            kept.push_str(line);
        }
        kept.push('\n');
        if block.is_some() {
            raw.push(from..kept.len());
        }
    }
    match block {
        None => Ok((kept, raw)),
        Some(_) => Err("a dialect-only block is not closed; end it with `-- end`".to_owned()),
    }
}

/// Cuts at the semicolons that end statements; those inside a trigger's body do not.
fn split<'t, 'a>(all: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut statements = Vec::new();
    let mut from = 0;
    let mut depth = 0;
    for (i, token) in all.iter().enumerate() {
        if is_trigger(&all[from..i]) {
            if token.is("BEGIN") || token.is("CASE") {
                depth += 1;
            } else if token.is("END") {
                depth -= 1;
            }
        }
        if token.is_sign(";") && depth <= 0 {
            statements.push(&all[from..i]);
            from = i + 1;
            depth = 0;
        }
    }
    statements.push(&all[from..]);
    statements.retain(|statement| statement.iter().any(|token| !token.is_blank()));
    statements
}

fn is_trigger(tokens: &[Token<'_>]) -> bool {
    let mut words = tokens.iter().filter(|token| !token.is_blank());
    words.next().is_some_and(|token| token.is("CREATE")) && words.take(3).any(|token| token.is("TRIGGER"))
}

struct Statement<'t, 'a> {
    tokens: &'t [Token<'a>],
    raw: &'t [Range<usize>],
    dialect: Dialect,
}

/// What is written instead of a token, and after it.
#[derive(Default)]
struct Edits {
    instead: Vec<(usize, String)>,
    after: Vec<(usize, String)>,
}

impl<'a> Statement<'_, 'a> {
    fn expand(&self, script: &mut Script) -> Result<(), String> {
        // The tokens that say something, by their index.
        let says: Vec<usize> = (0..self.tokens.len()).filter(|i| !self.tokens[*i].is_blank()).collect();
        let word = |n: usize| says.get(n).map(|i| self.tokens[*i]);
        let is = |n: usize, expected: &str| word(n).is_some_and(|token| token.is(expected));
        self.lint(&says, script)?;

        let mut edits = Edits::default();
        let words: Vec<&Token<'_>> = says.iter().map(|i| &self.tokens[*i]).collect();
        if let Some(name) = lint::concurrent_index(&words) {
            script.concurrent_index = Some(name.to_owned());
            if self.dialect == Dialect::Sqlite {
                let at = says.iter().find(|i| self.tokens[**i].is("CONCURRENTLY"));
                edits.instead.extend(at.map(|at| (*at, String::new())));
            }
        }
        if is(0, "CREATE") && (is(1, "TABLE") || is(2, "TABLE")) {
            let mut n = if is(1, "TABLE") { 2 } else { 3 };
            if is(n, "IF") {
                n += 3;
            }
            self.create_table(&says, n, &mut edits, script)?;
        } else if is(0, "ALTER") && is(1, "TABLE") {
            let n = if is(2, "IF") { 5 } else { 3 };
            if is(n, "ADD") {
                self.add_column(&says, n + 1, &mut edits)?;
            }
        }

        let mut text = String::new();
        for (i, token) in self.tokens.iter().enumerate() {
            text.push_str(edits.instead.iter().find(|(at, _)| *at == i).map_or(token.text, |(_, text)| text));
            for (_, more) in edits.after.iter().filter(|(at, _)| *at == i) {
                text.push_str(more);
            }
        }
        script.statements.push(text.trim().to_owned());
        Ok(())
    }

    fn is_raw(&self, token: &Token<'_>) -> bool {
        self.raw.iter().any(|range| range.contains(&token.at))
    }

    fn lint(&self, says: &[usize], script: &mut Script) -> Result<(), String> {
        let token = |n: usize| says.get(n).map(|i| &self.tokens[*i]);
        let first = self.tokens[says[0]];
        if REFUSED.iter().any(|word| first.is(word)) {
            return Err(format!(
                "`{}` may not stand in a migration: each step is one transaction, and the connection's settings are \
                 the store's",
                first.text
            ));
        }
        for (n, at) in says.iter().enumerate() {
            let here = &self.tokens[*at];
            if here.is("DEFERRABLE") || here.is("DEFERRED") {
                return Err(
                    "`DEFERRABLE` is refused: a constraint checked at the commit would fail every transaction \
                            that shares the commit; write the rows in an order that holds at each statement"
                        .to_owned(),
                );
            }
            if self.is_raw(here) {
                continue;
            }
            if let Some(name) = here.name()
                && name.len() > LONGEST_NAME
            {
                return Err(format!("`{name}` is longer than {LONGEST_NAME} bytes, which PostgreSQL would cut off"));
            }
            if here.is("CHECK") && !(n >= 2 && token(n - 2).is_some_and(|t| t.is("CONSTRAINT"))) {
                return Err("a check has no name, and the two databases would name it differently; write \
                            `CONSTRAINT name CHECK (…)`"
                    .to_owned());
            }
            if here.is("CONSTRAINT") && !token(n + 2).is_some_and(|t| t.is("CHECK")) {
                return Err("only checks are named with `CONSTRAINT`, because SQLite forgets the other names; name a \
                            unique constraint with `CREATE UNIQUE INDEX name ON …`, and leave the rest without"
                    .to_owned());
            }
            if here.is("REFERENCES")
                && let Some(table) = token(n + 1).and_then(Token::name)
            {
                script.refers_to.push(table.to_owned());
            }
        }
        Ok(())
    }

    /// `n` is where the table's name stands.
    fn create_table(&self, says: &[usize], n: usize, edits: &mut Edits, script: &mut Script) -> Result<(), String> {
        let at = |n: usize| says.get(n).map(|i| &self.tokens[*i]);
        let Some(table) = at(n).and_then(|token| token.name()) else {
            return Err("`CREATE TABLE` without a name".to_owned());
        };
        script.tables.push(table.to_owned());
        match at(n + 1) {
            Some(token) if token.is_sign("(") => {}
            Some(token) if self.is_raw(token) => return Ok(()),
            Some(token) if token.is_sign(".") => {
                return Err(format!("`{table}.…` names a schema; the domain's own is found by itself"));
            }
            _ => return Err(format!("`CREATE TABLE {table}` is followed by no list of columns")),
        }
        let mut depth = 0usize;
        let mut n = n + 1;
        let mut begins = false;
        while let Some(token) = at(n) {
            if token.is_sign("(") {
                depth += 1;
                begins = depth == 1;
            } else if token.is_sign(")") {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            } else if token.is_sign(",") {
                begins = depth == 1;
            } else if begins {
                begins = false;
                let constraint =
                    ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| token.is(word));
                if !constraint {
                    self.column(says, n, edits)?;
                    n += 1;
                }
            }
            n += 1;
        }
        if depth != 0 {
            return Err(format!("the list of columns of `{table}` is not closed"));
        }
        if self.dialect == Dialect::Sqlite {
            let more = at(n + 1).is_some_and(|token| !token.is_sign(";"));
            edits.after.push((says[n], if more { " STRICT," } else { " STRICT" }.to_owned()));
        }
        Ok(())
    }

    /// `n` is where the column's name stands, or `COLUMN` before it.
    fn add_column(&self, says: &[usize], mut n: usize, edits: &mut Edits) -> Result<(), String> {
        let at = |n: usize| says.get(n).map(|i| &self.tokens[*i]);
        if at(n).is_some_and(|token| token.is("COLUMN")) {
            n += 1;
        } else if at(n).is_some_and(|token| {
            ["CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN"].iter().any(|word| token.is(word))
        }) {
            if at(n).is_some_and(|token| self.is_raw(token)) {
                return Ok(());
            }
            return Err(
                "SQLite cannot add a constraint to a table; make a new table, copy the rows, drop the old one and \
                        rename the new, or use `CREATE UNIQUE INDEX`"
                    .to_owned(),
            );
        }
        self.column(says, n, edits)?;
        let rest: Vec<_> = (n..says.len()).filter_map(at).collect();
        let not_null = rest.windows(2).any(|pair| pair[0].is("NOT") && pair[1].is("NULL"));
        if not_null && !rest.iter().any(|token| token.is("DEFAULT")) && !self.is_raw(rest[0]) {
            return Err(
                "a `NOT NULL` column is added without a `DEFAULT`, which fails as soon as there is a row".to_owned()
            );
        }
        Ok(())
    }

    /// Expands the type of the column whose name stands at `n`.
    fn column(&self, says: &[usize], n: usize, edits: &mut Edits) -> Result<(), String> {
        let Some(name) = says.get(n).map(|i| &self.tokens[*i]) else {
            return Err("a column has no name".to_owned());
        };
        let word = says.get(n + 1).map(|i| self.tokens[*i]);
        let known =
            word.filter(|word| word.kind == StatementKind::Word).and_then(|word| type_of(word.text, self.dialect));
        let Some(sql_type) = known else {
            if self.is_raw(name) {
                return Ok(());
            }
            return Err(format!(
                "the column `{}` has {}; a column's type is one of the words `id time json bool decimal text int blob`, \
                 or stands in a dialect-only block",
                name.text,
                word.filter(|word| word.kind == StatementKind::Word)
                    .map_or("no type".to_owned(), |word| format!("the type `{}`", word.text)),
            ));
        };
        edits.instead.push((says[n + 1], sql_type.to_owned()));
        if self.dialect == Dialect::Sqlite {
            let check = match word.map(|word| word.text) {
                Some("id") => Some(format!("length({}) = 16", name.text)),
                Some("bool") => Some(format!("{} IN (0, 1)", name.text)),
                Some("json") => Some(format!("json_valid({})", name.text)),
                _ => None,
            };
            if let Some(check) = check {
                let mut text = String::new();
                // Writing to a String cannot fail.
                let _ = write!(text, " CONSTRAINT {} CHECK ({check})", super::TYPE_CHECK);
                edits.after.push((says[n + 1], text));
            }
        }
        Ok(())
    }
}

/// The type a word stands for. On SQLite a whole number is `INT` and not `INTEGER`, because `INTEGER PRIMARY KEY` would
/// number rows by itself there, and not on PostgreSQL.
fn type_of(word: &str, dialect: Dialect) -> Option<&'static str> {
    let (sqlite, postgres) = match word {
        "id" => ("BLOB", "uuid"),
        "time" => ("INT", "timestamptz"),
        "json" => ("TEXT", "jsonb"),
        "bool" => ("INT", "boolean"),
        "decimal" => ("INT", "bigint"),
        "text" => ("TEXT", "text COLLATE \"C\""),
        "int" => ("INT", "bigint"),
        "blob" => ("BLOB", "bytea"),
        _ => return None,
    };
    Some(match dialect {
        Dialect::Sqlite => sqlite,
        Dialect::Postgres => postgres,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "-- People; their \"things\".
CREATE TABLE people (
    id id PRIMARY KEY, -- the id; of course
    \"text\" text NOT NULL DEFAULT 'text, (int)',
    born time,
    data json NOT NULL,
    alive bool NOT NULL DEFAULT true,
    money decimal NOT NULL CONSTRAINT people_money CHECK (money >= 0 AND (money < 10 OR alive)),
    photo blob,
    parent id REFERENCES people (id) ON DELETE CASCADE,
    age int,
    UNIQUE (\"text\", born)
);
CREATE INDEX people_born ON people (born);";

    #[test]
    fn type_words_are_expanded_where_types_stand() {
        let sqlite = expand(TABLE, Dialect::Sqlite).unwrap();
        assert_eq!(sqlite.statements.len(), 2);
        assert_eq!((sqlite.tables, sqlite.refers_to), (vec!["people".to_owned()], vec!["people".to_owned()]));
        let text = &sqlite.statements[0];
        for part in [
            "id BLOB CONSTRAINT mainstay_type CHECK (length(id) = 16) PRIMARY KEY,",
            "\"text\" TEXT NOT NULL DEFAULT 'text, (int)',",
            "born INT,",
            "data TEXT CONSTRAINT mainstay_type CHECK (json_valid(data)) NOT NULL,",
            "alive INT CONSTRAINT mainstay_type CHECK (alive IN (0, 1)) NOT NULL DEFAULT true,",
            "money INT NOT NULL CONSTRAINT people_money CHECK (money >= 0 AND (money < 10 OR alive)),",
            "photo BLOB,",
            "parent BLOB CONSTRAINT mainstay_type CHECK (length(parent) = 16) REFERENCES people (id) ON DELETE CASCADE,",
            "age INT,",
            "UNIQUE (\"text\", born)\n) STRICT",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let postgres = expand(TABLE, Dialect::Postgres).unwrap();
        let text = &postgres.statements[0];
        for part in [
            "id uuid PRIMARY KEY,",
            "\"text\" text COLLATE \"C\" NOT NULL DEFAULT 'text, (int)',",
            "born timestamptz,",
            "data jsonb NOT NULL,",
            "alive boolean NOT NULL DEFAULT true,",
            "money bigint NOT NULL CONSTRAINT",
            "photo bytea,",
            "age bigint,",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.ends_with(')'));
    }

    #[test]
    fn blocks_are_for_one_dialect() {
        let text = "CREATE TABLE docs (
    id id PRIMARY KEY,
-- postgres:
    words tsvector,
-- end
    body text NOT NULL
)
-- sqlite:
WITHOUT ROWID
-- end
;
-- postgres:
CREATE INDEX docs_words ON docs USING gin (words);
-- end
-- sqlite:
CREATE TRIGGER docs_new AFTER INSERT ON docs BEGIN
    UPDATE docs SET body = CASE WHEN body = '' THEN 'x' ELSE body END;
    DELETE FROM docs WHERE body = ';';
END;
CREATE TABLE numbered (n INTEGER PRIMARY KEY);
-- end
ALTER TABLE docs ADD COLUMN seen bool NOT NULL DEFAULT false;
ALTER TABLE docs ADD at time;";
        let sqlite = expand(text, Dialect::Sqlite).unwrap().statements;
        assert_eq!(sqlite.len(), 5, "{sqlite:?}");
        assert!(
            sqlite[0].contains(") STRICT,") && sqlite[0].contains("WITHOUT ROWID") && !sqlite[0].contains("tsvector")
        );
        assert!(sqlite[1].ends_with("END"));
        assert!(sqlite[2].contains("n INTEGER PRIMARY KEY"));
        assert!(sqlite[3].ends_with("seen INT CONSTRAINT mainstay_type CHECK (seen IN (0, 1)) NOT NULL DEFAULT false"));
        assert!(sqlite[4].ends_with("at INT"));
        let postgres = expand(text, Dialect::Postgres).unwrap().statements;
        assert_eq!(postgres.len(), 4, "{postgres:?}");
        assert!(postgres[0].contains("words tsvector,") && !postgres[0].contains("ROWID"));
        assert!(postgres[1].contains("USING gin"));
        assert!(postgres[3].ends_with("at timestamptz"));
    }

    #[test]
    fn what_would_differ_between_the_databases_is_refused() {
        for (text, says) in [
            ("", "no statement"),
            ("-- only a comment", "no statement"),
            ("CREATE TABLE a (b varchar(10))", "`varchar`"),
            ("CREATE TABLE a (b)", "no type"),
            ("CREATE TABLE a (b INT)", "the type `INT`"),
            ("CREATE TABLE a (b int CHECK (b > 0))", "CONSTRAINT name CHECK"),
            ("CREATE TABLE a (b int, CONSTRAINT u UNIQUE (b))", "CREATE UNIQUE INDEX"),
            ("CREATE TABLE a (b id REFERENCES c (id) DEFERRABLE INITIALLY DEFERRED)", "DEFERRABLE"),
            ("-- sqlite:\nCREATE TABLE a (b id REFERENCES c (id) deferrable)\n-- end", "DEFERRABLE"),
            ("CREATE TABLE a (b int", "not closed"),
            ("CREATE TABLE a AS SELECT 1", "no list of columns"),
            ("CREATE TABLE s.a (b int)", "schema"),
            ("BEGIN; CREATE TABLE a (b int); COMMIT", "`BEGIN`"),
            ("PRAGMA foreign_keys = off", "`PRAGMA`"),
            ("ALTER TABLE a ADD COLUMN b int NOT NULL", "DEFAULT"),
            ("ALTER TABLE a ADD CONSTRAINT b CHECK (c > 0)", "SQLite cannot add"),
            ("-- sqlite:\nSELECT 1;", "not closed"),
            ("-- end", "without"),
            ("-- sqlite:\n-- postgres:\n-- end", "inside another"),
            ("CREATE TABLE a23456789012345678901234567890123456789012345678901234567890abcd (b int)", "longer than 63"),
        ] {
            let error = expand(text, Dialect::Sqlite).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_program_before_would_stumble_over_is_refused_unless_it_is_said_why_not() {
        for (bad, advice) in [
            ("DROP TABLE things", "a release after"),
            ("DROP VIEW IF EXISTS seen", "a release after"),
            ("ALTER TABLE things RENAME TO stuff", "the old name"),
            ("ALTER TABLE things RENAME COLUMN a TO b", "the old name"),
            ("ALTER TABLE things DROP COLUMN a", "a release after"),
            ("CREATE INDEX things_a ON things (a)", "CONCURRENTLY"),
            ("CREATE UNIQUE INDEX things_a ON things (a)", "CONCURRENTLY"),
            ("UPDATE things SET a = 1", "some rows at a time"),
            ("DELETE FROM things", "some rows at a time"),
            ("TRUNCATE things", "until it is done"),
            ("ALTER TABLE things ADD COLUMN at time DEFAULT now()", "another for each row"),
            ("-- postgres:\nALTER TABLE things ALTER COLUMN a TYPE bigint;\n-- end", "written anew"),
            ("-- postgres:\nALTER TABLE things ALTER a SET NOT NULL;\n-- end", "the program before"),
            ("-- postgres:\nALTER TABLE things ADD CONSTRAINT c CHECK (a > 0);\n-- end", "NOT VALID"),
        ] {
            let error = expand(bad, Dialect::Postgres).unwrap_err();
            assert!(error.contains(advice) || advice == "written anew", "{bad}: {error}");
            assert!(error.contains("-- safe:"), "{bad}: {error}");
            let excused =
                bad.replace("-- postgres:\n", "-- postgres:\n-- safe: nobody has used it since the first release\n");
            let excused = match excused == bad {
                true => format!("-- safe: nobody has used it since the first release\n{bad}"),
                false => excused,
            };
            assert!(expand(&excused, Dialect::Postgres).is_ok(), "{excused}");
            let lazy = excused.replace("nobody has used it since the first release", "yes");
            assert!(expand(&lazy, Dialect::Postgres).unwrap_err().contains("reason"), "{lazy}");
        }
        for good in [
            "CREATE TABLE things (a int); CREATE INDEX things_a ON things (a); UPDATE things SET a = 1; DROP TABLE things",
            "CREATE TABLE IF NOT EXISTS things (a int); CREATE UNIQUE INDEX IF NOT EXISTS things_a ON things (a)",
            "CREATE INDEX CONCURRENTLY things_a ON things (a)",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS things_a ON things (a)",
            "ALTER TABLE things ADD COLUMN a int",
            "ALTER TABLE things ADD COLUMN a int NOT NULL DEFAULT 7",
            "ALTER TABLE things ADD COLUMN a text DEFAULT 'x'",
            "UPDATE things SET a = 1 WHERE a IS NULL",
            "DROP INDEX things_a",
            "INSERT INTO things (a) VALUES (1)",
            "-- postgres:\nALTER TABLE things ADD CONSTRAINT c CHECK (a > 0) NOT VALID;\n-- end",
            "-- postgres:\nALTER TABLE things VALIDATE CONSTRAINT c;\n-- end",
            "-- postgres:\nALTER TABLE things ALTER COLUMN a DROP DEFAULT;\n-- end",
            "-- sqlite:\nDROP TABLE things;\n-- end",
        ] {
            let script = expand(good, Dialect::Postgres);
            assert!(script.is_ok(), "{good}: {script:?}");
        }
    }

    #[test]
    fn an_index_beside_the_traffic_is_a_step_of_its_own() {
        let text = "CREATE UNIQUE INDEX CONCURRENTLY \"things_a\" ON things (a)";
        let postgres = expand(text, Dialect::Postgres).unwrap();
        assert_eq!((postgres.concurrent_index.as_deref(), postgres.statements[0].as_str()), (Some("things_a"), text));
        let sqlite = expand(text, Dialect::Sqlite).unwrap();
        assert_eq!(sqlite.statements, [text.replace("CONCURRENTLY", "")]);
        let both = format!("{text}; ALTER TABLE things ADD COLUMN b int");
        assert!(expand(&both, Dialect::Postgres).unwrap_err().contains("step of its own"));
    }
}
