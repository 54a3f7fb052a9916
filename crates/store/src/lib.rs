//! One portable SQL over SQLite and PostgreSQL: reads, transactions, migrations.
