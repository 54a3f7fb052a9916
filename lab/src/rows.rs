//! The rows of the table: what is compared, and what was wanted of it.

mod building;
mod cached;
mod comparison;
mod footprint;
mod limit;
mod list;
mod login;
mod overload;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::Bench;
use crate::results::Row;
use crate::rows::comparison::{Against, Comparison, Scene};
use crate::stats::Wanted::AtLeast;
use crate::target::Target;

/// A row that can be asked for.
pub struct Known {
    /// As `--rows` names it.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// Whose targets take part.
    pub scenarios: &'static [&'static str],
    /// What must be there before.
    pub wants: &'static [Need],
    /// How many steps of the progress it takes.
    pub steps: fn(&BTreeMap<String, Target>, usize) -> usize,
    /// Measures it.
    pub run: fn(&Bench<'_>) -> Result<Row>,
}

/// What a row needs prepared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
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
        steps: |targets, rounds| HEALTH.steps(targets, rounds),
        run: |bench| HEALTH.run(bench),
    },
    Known {
        id: ROW_SQLITE.id,
        title: ROW_SQLITE.title,
        scenarios: &["row-sqlite"],
        wants: &[Need::SqliteRows],
        steps: |targets, rounds| ROW_SQLITE.steps(targets, rounds),
        run: |bench| ROW_SQLITE.run(bench),
    },
    Known {
        id: ROW_POSTGRES.id,
        title: ROW_POSTGRES.title,
        scenarios: &["row-postgres"],
        wants: &[Need::Postgres, Need::PostgresRows],
        steps: |targets, rounds| ROW_POSTGRES.steps(targets, rounds),
        run: |bench| ROW_POSTGRES.run(bench),
    },
    Known {
        id: CREATE_SQLITE.id,
        title: CREATE_SQLITE.title,
        scenarios: &["create-sqlite"],
        wants: &[],
        steps: |targets, rounds| CREATE_SQLITE.steps(targets, rounds),
        run: |bench| CREATE_SQLITE.run(bench),
    },
    Known {
        id: CREATE_POSTGRES.id,
        title: CREATE_POSTGRES.title,
        scenarios: &["create-postgres"],
        wants: &[Need::Postgres],
        steps: |targets, rounds| CREATE_POSTGRES.steps(targets, rounds),
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

/// Whether some row has targets of this scenario.
#[cfg(test)]
pub fn is_scenario(name: &str) -> bool {
    ALL.iter().any(|row| row.scenarios.contains(&name))
}

const HEALTH: Comparison = Comparison {
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

const ROW_SQLITE: Comparison = Comparison {
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

const ROW_POSTGRES: Comparison = Comparison {
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

const CREATE_SQLITE: Comparison = Comparison {
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

const CREATE_POSTGRES: Comparison = Comparison {
    id: "create-postgres",
    title: "durable create, PostgreSQL, 256 connections",
    ours: "mainstay-postgres",
    scene: Scene::Create,
    connections: 256,
    is_free_too: true,
    against: &[Against::free("axum-tokio-postgres", None), Against::per_cpu("axum-tokio-postgres", None)],
    least_free: None,
};
