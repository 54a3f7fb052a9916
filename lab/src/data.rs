//! The rows that are read: made by Mainstay over its API, then handed to the other targets as they came out of it,
//! so that all answer the same.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::Requests;
use crate::lab::Lab;
use crate::load_generator;
use crate::mainstay;
use crate::postgres::Postgres;
use crate::process;
use crate::target::{Home, Placement, Target};

/// The tables of targets without their own.
pub const SCHEMA: &str = include_str!("schema.sql");
/// What the study's targets have beside them.
pub const QUOTES_SCHEMA: &str =
    "create table quotes (id int primary key, words text not null, author text not null);\n";
const AUTHORS: usize = 20;
const BODY_BYTES: usize = 200;
const SEED_CONNECTIONS: usize = 64;

/// Posts and their authors in a database of Mainstay, and the same in one of the others.
pub struct Seeded {
    /// As Mainstay answered them, in the order in which they were written. Every tenth is a draft.
    pub posts: Vec<Value>,
    /// Their authors' profiles.
    pub authors: Vec<Value>,
    /// Mainstay's.
    pub own: Home,
    /// The others'.
    pub others: Home,
}

impl Seeded {
    /// In SQLite files below the folder `name`.
    pub fn sqlite(lab: &Lab, mainstay: &Target, name: &str, count: usize) -> Result<Self> {
        let folder = lab.folder(name)?;
        let own = Home { data: folder.join("own"), ..Home::default() };
        let others = Home { data: folder.clone(), database_file: folder.join("others.db"), ..Home::default() };
        fs::create_dir(&own.data).context("cannot make a data folder")?;
        let (posts, authors) = write(lab, mainstay, &own, count)?;
        let seeded = Self { posts, authors, own, others };
        empty_sqlite(&folder, &seeded.others.database_file)?;
        let file = folder.join("seed.sql");
        fs::write(&file, seeded.sql("1", "0")? + "analyze;\n").context("cannot write the rows")?;
        sqlite(&seeded.others.database_file, &file)?;
        Ok(seeded)
    }

    /// In two databases of `postgres`, `NAME_own` and `NAME_others`.
    pub fn postgres(lab: &Lab, mainstay: &Target, postgres: &Postgres, name: &str, count: usize) -> Result<Self> {
        let data = lab.folder(name)?;
        let [for_own, for_others] = ["own", "others"].map(|whose| format!("{name}_{whose}"));
        let env = mainstay.at("database=postgres");
        let own = Home { data: data.clone(), database_url: postgres.fresh(&for_own)?, env, ..Home::default() };
        let others = Home { database_url: empty_postgres(lab, postgres, &for_others)?, ..own.clone() };
        let (posts, authors) = write(lab, mainstay, &own, count)?;
        let seeded = Self { posts, authors, own, others };
        let file = data.join("seed.sql");
        fs::write(&file, seeded.sql("true", "false")?).context("cannot write the rows")?;
        postgres.psql_file(&for_others, &file)?;
        for database in [for_own, for_others] {
            postgres.psql(&database, "vacuum analyze")?;
        }
        Ok(seeded)
    }

    /// In a database of Mainstay alone.
    pub fn written(lab: &Lab, mainstay: &Target, own: Home, count: usize) -> Result<Self> {
        let (posts, authors) = write(lab, mainstay, &own, count)?;
        Ok(Self { posts, authors, own, others: Home::default() })
    }

    /// The published ones.
    pub fn published(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.posts.iter().filter(|post| post["published"] == true)
    }

    /// Statements that write them into tables of [`SCHEMA`]; `yes` and `no` are what a boolean is there.
    pub fn sql(&self, yes: &str, no: &str) -> Result<String> {
        let mut sql = String::from("begin;\n");
        let quoted = |value: &Value| match value.as_str() {
            Some(text) if !text.contains('\'') => Ok(format!("'{text}'")),
            _ => bail!("not a plain text: {value}"),
        };
        for author in &self.authors {
            let [id, name, at] = ["id", "display_name", "created_at"].map(|field| quoted(&author[field]));
            writeln!(sql, "insert into users values ({}, {}, {});", id?, name?, at?).context("cannot write")?;
        }
        for post in &self.posts {
            let [id, author, title, body, created, updated] =
                ["id", "author_id", "title", "body", "created_at", "updated_at"].map(|field| quoted(&post[field]));
            let published = if post["published"] == true { yes } else { no };
            writeln!(
                sql,
                "insert into posts values ({}, {}, {}, {}, {published}, {}, {});",
                id?, author?, title?, body?, created?, updated?
            )
            .context("cannot write")?;
        }
        sql.push_str("commit;\n");
        Ok(sql)
    }
}

/// The body of a new post of about 200 bytes.
pub fn new_post(number: usize) -> Value {
    let mut body = format!("Number {number}.");
    while body.len() < BODY_BYTES {
        body.push_str(" What is written here is read again, and again.");
    }
    body.truncate(BODY_BYTES);
    json!({ "title": format!("Post {number}"), "body": body, "published": !number.is_multiple_of(10) })
}

/// An SQLite file with the tables and nothing in them.
pub fn empty_sqlite(folder: &Path, database: &Path) -> Result<()> {
    let file = folder.join("schema.sql");
    fs::write(&file, format!("pragma journal_mode = wal;\n{SCHEMA}")).context("cannot write the tables")?;
    sqlite(database, &file)
}

/// A PostgreSQL database with the tables and nothing in them; its URL.
pub fn empty_postgres(lab: &Lab, postgres: &Postgres, database: &str) -> Result<String> {
    let url = postgres.fresh(database)?;
    let file = lab.scratch.join("schema.sql");
    fs::write(&file, SCHEMA).context("cannot write the tables")?;
    postgres.psql_file(database, &file)?;
    Ok(url)
}

/// Runs a file of SQL on an SQLite file.
pub fn sqlite(database: &Path, file: &Path) -> Result<()> {
    let mut sqlite = Command::new("sqlite3");
    sqlite.arg("-bail").arg(database).arg(format!(".read '{}'", file.display()));
    process::output(&mut sqlite).map(|_| ())
}

fn write(lab: &Lab, mainstay: &Target, home: &Home, count: usize) -> Result<(Vec<Value>, Vec<Value>)> {
    let server = mainstay.start(lab, Placement::FREE, home)?;
    let authors = (0..AUTHORS).map(|number| mainstay::register(server.address, number)).collect::<Result<Vec<_>>>()?;
    let tokens = (0..AUTHORS).map(|number| mainstay::log_in(server.address, number)).collect::<Result<Vec<_>>>()?;
    let posts = posts(server.address, &mainstay.paths.posts, &tokens, count, mainstay.create_status)?;
    server.stop()?;
    Ok((posts, authors))
}

/// Writes so many posts over a server's API; as they were answered.
pub fn posts(address: SocketAddr, path: &str, tokens: &[String], count: usize, status: u16) -> Result<Vec<Value>> {
    let request = |number: usize| {
        let token = &tokens[number % tokens.len()];
        Requests::post(path, &new_post(number)).signed(Some(token)).bytes(path)
    };
    let answers = load_generator::each_once(address, (0..count).map(request).collect(), SEED_CONNECTIONS)?;
    let post = |answer: crate::http::Answer| match answer.status {
        answered if answered == status => answer.json(),
        status => bail!("writing a post was answered {status}: {}", answer.text()),
    };
    answers.into_iter().map(post).collect()
}
