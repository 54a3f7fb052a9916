//! What a PostgreSQL server says of this program's tables: their indexes, and how they are read.

use kernel::Ctx;
use store::{Reads, Store, StoreError};

use app::Finding;

/// Tables of fewer rows are read whole as fast as by an index.
const MANY_ROWS: i64 = 50_000;
/// As often as this a table is read whole, on purpose or for want of an index.
const OFTEN: i64 = 1000;

pub async fn check(store: &Store, ctx: &Ctx, prefix: &str) -> Result<Vec<Finding>, StoreError> {
    let read = store.read(ctx);
    // The schemas of domains are those that the migrations' record names.
    let ours = format!("n.nspname IN (SELECT '{prefix}' || domain FROM {prefix}mainstay.mainstay_migrations)");
    let invalid = format!(
        "SELECT n.nspname::text, c.relname::text, '' FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid AND {ours} ORDER BY 1, 2"
    );
    // The later of two that are the same in all but their name; what upholds a constraint is never the one to go.
    let twice = format!(
        "SELECT n.nspname::text, c.relname::text, d.relname::text FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_index j ON j.indrelid = i.indrelid AND j.indexrelid <> i.indexrelid
             AND j.indkey = i.indkey AND j.indclass = i.indclass AND j.indoption = i.indoption
             AND coalesce(pg_get_expr(j.indexprs, j.indrelid), '') = coalesce(pg_get_expr(i.indexprs, i.indrelid), '')
             AND coalesce(pg_get_expr(j.indpred, j.indrelid), '') = coalesce(pg_get_expr(i.indpred, i.indrelid), '')
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_catalog.pg_class d ON d.oid = j.indexrelid
         WHERE NOT i.indisunique AND (j.indisunique OR j.indexrelid < i.indexrelid) AND {ours} ORDER BY 1, 2"
    );
    let unindexed = format!(
        "SELECT n.nspname::text, c.relname::text, (
             SELECT string_agg(a.attname, ', ' ORDER BY k.at) FROM unnest(f.conkey) WITH ORDINALITY AS k(column_number, at)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.column_number)::text
         FROM pg_catalog.pg_constraint f
         JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE f.contype = 'f' AND {ours} AND NOT EXISTS (
             SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
             AND (i.indkey::int2[])[0:array_length(f.conkey, 1) - 1] @> f.conkey)
         ORDER BY 1, 2"
    );
    let scanned = format!(
        "SELECT schemaname::text, relname::text, seq_scan::text FROM pg_catalog.pg_stat_user_tables
         JOIN pg_catalog.pg_namespace n ON n.nspname = schemaname
         WHERE {ours} AND n_live_tup >= {MANY_ROWS} AND seq_scan >= {OFTEN} AND seq_scan > idx_scan ORDER BY 1, 2"
    );
    let mut found = Vec::new();
    for (sql, judge) in [
        (invalid, judge_invalid as fn(&Seen) -> Finding),
        (twice, judge_twice),
        (unindexed, judge_unindexed),
        (scanned, judge_scanned),
    ] {
        let all: Vec<Seen> = read.rows(&sql, &[]).await?;
        found.extend(all.iter().map(judge));
    }
    Ok(found)
}

/// A domain, a table or an index of it, and what is to be said of that.
type Seen = (String, String, String);

fn judge_invalid((domain, index, _): &Seen) -> Finding {
    Finding::serious(
        "postgres_index_invalid",
        format!("The index {domain}.{index} was not built to its end: it costs every write, and finds nothing."),
        format!("drop index concurrently {domain}.{index}; and build it again."),
    )
}

fn judge_twice((domain, index, other): &Seen) -> Finding {
    Finding::advice(
        "postgres_index_twice",
        format!("The index {domain}.{index} is the same as {other}: every write pays for both."),
        format!("Drop one in a migration: drop index {index};"),
    )
}

fn judge_unindexed((domain, table, columns): &Seen) -> Finding {
    Finding::advice(
        "postgres_key_without_index",
        format!(
            "{domain}.{table} ({columns}) refers to another table, and no index begins with that: each deletion there reads this table whole."
        ),
        format!(
            "In a migration: create index concurrently {table}_{} on {table} ({columns});",
            columns.replace(", ", "_")
        ),
    )
}

fn judge_scanned((domain, table, times): &Seen) -> Finding {
    Finding::advice(
        "postgres_table_scanned",
        format!(
            "{domain}.{table} has many rows, and was read whole {times} times, which is more often than by an index."
        ),
        "See which statements do it (the log tells slow ones with their operation), and add the index they lack.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_read_whole_is_told() {
        let finding = judge_scanned(&("posts".to_owned(), "posts".to_owned(), "5000".to_owned()));
        assert_eq!(finding.code, "postgres_table_scanned");
        assert!(finding.what.contains("posts.posts") && finding.what.contains("5000"), "{}", finding.what);
    }
}
