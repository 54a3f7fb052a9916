//! The rows of the table: what is compared, and what was wanted of it.

mod building;
mod cached;
mod footprint;
mod limit;
mod list;
mod login;
mod overload;
mod versus;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::Bench;
use crate::contender::Contender;
use crate::results::Row;
use crate::rows::versus::{Against, Scene, Versus};
use crate::stats::Wanted::AtLeast;

/// A row that can be asked for.
pub struct Known {
    /// As `--rows` names it.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// Whose contenders take part.
    pub scenarios: &'static [&'static str],
    /// What must be there before.
    pub wants: &'static [Kind],
    /// How many steps of the progress it takes.
    pub steps: fn(&BTreeMap<String, Contender>, usize) -> usize,
    /// Measures it.
    pub run: fn(&Bench<'_>) -> Result<Row>,
}

/// What a row needs prepared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Posts in SQLite.
    SqliteRows,
    /// A PostgreSQL.
    Postgres,
    /// Posts in it.
    PostgresRows,
    /// Notes in it.
    Notes,
    /// A Redis.
    Redis,
}

/// All of them, in the table's order.
pub const ALL: &[Known] = &[
    Known {
        id: HEALTH.id,
        title: HEALTH.title,
        scenarios: &["health"],
        wants: &[],
        steps: |contenders, rounds| HEALTH.steps(contenders, rounds),
        run: |bench| HEALTH.run(bench),
    },
    Known {
        id: ROW_SQLITE.id,
        title: ROW_SQLITE.title,
        scenarios: &["row-sqlite"],
        wants: &[Kind::SqliteRows],
        steps: |contenders, rounds| ROW_SQLITE.steps(contenders, rounds),
        run: |bench| ROW_SQLITE.run(bench),
    },
    Known {
        id: ROW_POSTGRES.id,
        title: ROW_POSTGRES.title,
        scenarios: &["row-postgres"],
        wants: &[Kind::Postgres, Kind::PostgresRows],
        steps: |contenders, rounds| ROW_POSTGRES.steps(contenders, rounds),
        run: |bench| ROW_POSTGRES.run(bench),
    },
    Known {
        id: CREATE_SQLITE.id,
        title: CREATE_SQLITE.title,
        scenarios: &["create-sqlite"],
        wants: &[],
        steps: |contenders, rounds| CREATE_SQLITE.steps(contenders, rounds),
        run: |bench| CREATE_SQLITE.run(bench),
    },
    Known {
        id: CREATE_POSTGRES.id,
        title: CREATE_POSTGRES.title,
        scenarios: &["create-postgres"],
        wants: &[Kind::Postgres],
        steps: |contenders, rounds| CREATE_POSTGRES.steps(contenders, rounds),
        run: |bench| CREATE_POSTGRES.run(bench),
    },
    list::KNOWN,
    cached::ROW,
    cached::LIST,
    cached::LIST_WITH_AUTHORS,
    limit::KNOWN,
    login::KNOWN,
    overload::KNOWN,
    footprint::KNOWN,
    building::KNOWN,
];

/// Whether some row has contenders of this scenario.
#[cfg(test)]
pub fn is_scenario(name: &str) -> bool {
    ALL.iter().any(|row| row.scenarios.contains(&name))
}

const HEALTH: Versus = Versus {
    id: "health",
    title: "`GET /api/health`, the whole layer switched on",
    ours: "fastserve",
    scene: Scene::Health,
    connections: 64,
    is_free_too: false,
    against: &[
        Against::per_cpu("bare-axum", Some((AtLeast, 0.80))),
        Against::per_cpu("bare-hyper", None),
        Against::per_cpu("fastify", None),
        Against::per_cpu("fastapi", None),
    ],
    least_free: None,
};

const ROW_SQLITE: Versus = Versus {
    id: "row-sqlite",
    title: "read one row by id, SQLite, verified token, ETag",
    ours: "mainstay",
    scene: Scene::RowSqlite,
    connections: 64,
    is_free_too: false,
    against: &[
        Against::per_cpu("axum-rusqlite", Some((AtLeast, 0.75))),
        Against::per_cpu("fastify-better-sqlite3", Some((AtLeast, 2.0))),
    ],
    least_free: None,
};

const ROW_POSTGRES: Versus = Versus {
    id: "row-postgres",
    title: "read one row by id, PostgreSQL, verified token, ETag",
    ours: "mainstay-postgres",
    scene: Scene::RowPostgres,
    connections: 64,
    is_free_too: false,
    against: &[
        Against::per_cpu("axum-tokio-postgres", Some((AtLeast, 0.75))),
        Against::per_cpu("fastify-pg", Some((AtLeast, 4.0))),
        Against::per_cpu("fastapi-sqlalchemy-asyncpg", Some((AtLeast, 30.0))),
    ],
    least_free: None,
};

const CREATE_SQLITE: Versus = Versus {
    id: "create-sqlite",
    title: "durable create, SQLite `synchronous=FULL`, 256 connections",
    ours: "mainstay",
    scene: Scene::Create,
    connections: 256,
    is_free_too: true,
    against: &[
        Against::free("pocketbase", Some((AtLeast, 10.0))),
        Against::free("axum-rusqlite", None),
        Against::per_cpu("axum-rusqlite", None),
    ],
    least_free: Some(25_000.0),
};

const CREATE_POSTGRES: Versus = Versus {
    id: "create-postgres",
    title: "durable create, PostgreSQL, 256 connections",
    ours: "mainstay-postgres",
    scene: Scene::Create,
    connections: 256,
    is_free_too: true,
    against: &[Against::free("axum-tokio-postgres", None), Against::per_cpu("axum-tokio-postgres", None)],
    least_free: None,
};
