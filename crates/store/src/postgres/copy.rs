//! The server that rows are carried over to. What is done so far stands in a table of its own, changed in the same
//! transaction as the rows; while it is there no store starts on this database. Keys between tables are taken away first, so
//! that rows may come in any order, and put back at the end.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::failure::Failure;
use super::session::Driver;
use super::value::cell;
use crate::copy::{Batch, Column, CopyError, CopyKind, Done, Sum, Table};
use crate::schemas::Schemas;
use crate::sql::quoted;
use crate::{Cell, Store, StoreError, Value};

/// A database that rows are carried into, over a connection of its own.
#[derive(Debug)]
pub(crate) struct Target {
    client: Client,
    _driver: Driver,
    schemas: Schemas,
}

type Result<T> = std::result::Result<T, CopyError>;

impl From<tokio_postgres::Error> for CopyError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(Failure::from(error).error)
    }
}

impl Target {
    /// Connects, and keeps a second copy away.
    pub(crate) async fn open(store: &Store) -> Result<Self> {
        let postgres = store.postgres().ok_or_else(|| StoreError::internal("the target is no server"))?;
        if !postgres.admin_is_direct() {
            return Err(CopyError::Refused(
                "rows are copied over one connection from beginning to end, which a pooler does not give; set \
                 `database.admin_url` to the server itself, or name it in `--to`"
                    .to_owned(),
            ));
        }
        let schemas = postgres.schemas().clone();
        let (client, driver, _) = postgres.connect_admin().await?.into_parts();
        // Another than that of migrations, and of the same deployment.
        let alone = client.query_one("SELECT pg_try_advisory_lock($1)", &[&!schemas.lock()]).await?;
        if !alone.get::<_, bool>(0) {
            return Err(CopyError::Refused("another copy into this database is under way; let it end".to_owned()));
        }
        let settings = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET TIME ZONE 'UTC'; \
                        SET client_min_messages = error";
        client.batch_execute(settings).await?;
        Ok(Self { client, _driver: driver, schemas })
    }

    fn name(&self, table: &Table) -> String {
        format!("{}.{}", quoted(&self.schemas.of(&table.domain)), quoted(&table.name))
    }

    /// Whether an earlier copy was stopped before its end.
    pub(crate) async fn is_begun(&self) -> Result<bool> {
        let there = self.client.query_one("SELECT to_regclass($1)::text", &[&self.schemas.copies()]).await?;
        Ok(there.get::<_, Option<String>>(0).is_some())
    }

    /// The tables of these domains, with the columns that are not computed.
    pub(crate) async fn tables(&self, domains: &[&str]) -> Result<Vec<Table>> {
        let sql = "SELECT n.nspname::text, c.relname::text, a.attname::text, a.atttypid, a.atthasdef OR NOT a.attnotnull
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
            WHERE n.nspname = ANY($1) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            ORDER BY 1, 2, a.attnum";
        let named: Vec<String> = domains.iter().map(|domain| self.schemas.of(domain)).collect();
        let mut tables: Vec<Table> = Vec::new();
        for row in self.client.query(sql, &[&named]).await? {
            let (schema, name, column): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let domain = self.schemas.domain(&schema).to_owned();
            let kind = Type::from_oid(row.get(3)).and_then(|ty| kind_of(&ty));
            let kind = kind.ok_or_else(|| {
                CopyError::Refused(format!(
                    "`{name}.{column}` has a type that SQLite does not know; it cannot be copied"
                ))
            })?;
            let column = Column { name: column, kind, has_default: row.get(4) };
            match tables.last_mut().filter(|table| table.domain == domain && table.name == name) {
                Some(table) => table.columns.push(column),
                None => tables.push(Table { domain, name, columns: vec![column] }),
            }
        }
        Ok(tables)
    }

    /// Takes the keys between tables away and begins to count.
    pub(crate) async fn begin(&self, tables: &[Table]) -> Result<()> {
        let copies = self.schemas.copies();
        for table in tables {
            let rows = self.client.query_opt(&format!("SELECT 1 FROM {} LIMIT 1", self.name(table)), &[]).await?;
            if rows.is_some() {
                return Err(CopyError::Refused(format!(
                    "`{}` on the server has rows already; copy into a database that has none",
                    table.name
                )));
            }
        }
        let begin = format!(
            "BEGIN; CREATE TABLE {copies} (domain text, name text, rows bigint NOT NULL DEFAULT 0,
                 last bigint NOT NULL DEFAULT -9223372036854775808, is_whole boolean NOT NULL DEFAULT false,
                 keys text[] NOT NULL DEFAULT '{{}}', PRIMARY KEY (domain, name))"
        );
        self.client.batch_execute(&begin).await?;
        for table in tables {
            let add = format!(
                "INSERT INTO {copies} (domain, name, keys) SELECT $1::text, $2::text, coalesce(array_agg(
                     format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $4::text, $2::text, conname, pg_get_constraintdef(oid))), '{{}}')
                 FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conrelid = $3::text::regclass"
            );
            self.client
                .execute(&add, &[&table.domain, &table.name, &self.name(table), &self.schemas.of(&table.domain)])
                .await?;
            let keys = "SELECT conname::text FROM pg_catalog.pg_constraint
                WHERE contype = 'f' AND conrelid = $1::text::regclass";
            for key in self.client.query(keys, &[&self.name(table)]).await? {
                let drop = format!("ALTER TABLE {} DROP CONSTRAINT {}", self.name(table), quoted(key.get(0)));
                self.client.batch_execute(&drop).await?;
            }
        }
        Ok(self.client.batch_execute("COMMIT").await?)
    }

    /// How far a table has come.
    pub(crate) async fn done(&self, table: &Table) -> Result<Done> {
        let copies = self.schemas.copies();
        let sql = format!("SELECT rows, last, is_whole FROM {copies} WHERE domain = $1 AND name = $2");
        let row = self.client.query_opt(&sql, &[&table.domain, &table.name]).await?.ok_or_else(|| {
            CopyError::Refused(format!(
                "the copy that was begun knows no table `{}`: it is another program's; make the database anew",
                table.name
            ))
        })?;
        Ok(Done { rows: row.get::<_, i64>(0) as u64, last: row.get(1), is_whole: row.get(2) })
    }

    /// Writes rows, and that they are there, in one transaction.
    pub(crate) async fn write(&self, table: &Table, done: &Done, batch: Batch) -> Result<Done> {
        let copies = self.schemas.copies();
        let now = Done { rows: done.rows + batch.rows.len() as u64, last: batch.last, is_whole: batch.is_last };
        self.client.batch_execute("BEGIN").await?;
        let result = self.write_rows(table, batch).await;
        if let Err(error) = result {
            // The first error is the one to tell.
            let _ = self.client.batch_execute("ROLLBACK").await;
            return Err(error);
        }
        let sql = format!("UPDATE {copies} SET rows = $3, last = $4, is_whole = $5 WHERE domain = $1 AND name = $2");
        let rows = now.rows as i64;
        self.client.execute(&sql, &[&table.domain, &table.name, &rows, &now.last, &now.is_whole]).await?;
        self.client.batch_execute("COMMIT").await?;
        Ok(now)
    }

    async fn write_rows(&self, table: &Table, batch: Batch) -> Result<()> {
        let types: Vec<Type> = table.columns.iter().map(|column| type_of(column.kind)).collect();
        let sink =
            self.client.copy_in(&format!("COPY {} ({}) FROM STDIN BINARY", self.name(table), columns(table))).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in &batch.rows {
            if row.iter().any(Value::has_nul) {
                return Err(StoreError::internal(format!(
                    "a text of `{}` holds the NUL character, which PostgreSQL cannot keep",
                    table.name
                ))
                .into());
            }
            writer.as_mut().write_raw(row).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// What a table holds.
    pub(crate) async fn sum(&self, table: &Table) -> Result<Sum> {
        let sql = format!("SELECT {} FROM {}", columns(table), self.name(table));
        let none: [Value; 0] = [];
        let mut rows = pin!(self.client.query_raw(&sql, &none).await?);
        let mut sum = Sum::default();
        while let Some(row) = rows.try_next().await? {
            let values = table.columns.iter().enumerate().map(|(at, column)| Ok(value(cell(&row, at)?, column.kind)?));
            sum.add(&values.collect::<Result<Vec<_>>>()?);
        }
        Ok(sum)
    }

    /// Puts the keys between tables back, and lets stores start on the database.
    pub(crate) async fn end(&self) -> Result<()> {
        let copies = self.schemas.copies();
        self.client.batch_execute("BEGIN").await?;
        let keys = self.client.query(&format!("SELECT unnest(keys) FROM {copies} ORDER BY domain, name"), &[]).await?;
        for key in keys {
            self.client.batch_execute(key.get(0)).await?;
        }
        self.client.batch_execute(&format!("DROP TABLE {copies}; COMMIT; ANALYZE")).await?;
        Ok(())
    }
}

fn columns(table: &Table) -> String {
    table.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

fn kind_of(ty: &Type) -> Option<CopyKind> {
    [CopyKind::Id, CopyKind::Time, CopyKind::Json, CopyKind::Bool, CopyKind::Int, CopyKind::Text, CopyKind::Blob]
        .into_iter()
        .find(|kind| type_of(*kind) == *ty)
}

fn type_of(kind: CopyKind) -> Type {
    match kind {
        CopyKind::Id => Type::UUID,
        CopyKind::Time => Type::TIMESTAMPTZ,
        CopyKind::Json => Type::JSONB,
        CopyKind::Bool => Type::BOOL,
        CopyKind::Int => Type::INT8,
        CopyKind::Text => Type::TEXT,
        CopyKind::Blob => Type::BYTEA,
    }
}

fn value(cell: Cell<'_>, kind: CopyKind) -> std::result::Result<Value, StoreError> {
    Ok(match (cell, kind) {
        (Cell::Null, _) => Value::Null,
        (Cell::Id(id), _) => Value::Id(id),
        (Cell::Time(time), _) => Value::Time(time),
        (Cell::Bool(value), _) => Value::Bool(value),
        (Cell::Int(value), _) => Value::Int(value),
        (Cell::Blob(bytes), _) => Value::Blob(bytes.to_vec()),
        (Cell::Text(text), CopyKind::Json) => Value::Json(serde_json::from_str(text).map_err(StoreError::internal)?),
        (Cell::Text(text), _) => Value::Text(text.to_owned()),
        (Cell::Real(_), _) => return Err(StoreError::internal("a column of a type that no migration makes")),
    })
}
