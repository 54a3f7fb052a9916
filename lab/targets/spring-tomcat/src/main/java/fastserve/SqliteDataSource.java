package fastserve;

import com.zaxxer.hikari.HikariDataSource;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteDataSource;

import org.springframework.jdbc.datasource.LazyConnectionDataSourceProxy;

/**
 * One connection writes, the others read: SQLite lets one write at a time, and waiting for a connection is fairer than
 * waiting for its lock. Which one a transaction gets, {@code @Transactional(readOnly = true)} says.
 */
final class SqliteDataSource extends LazyConnectionDataSourceProxy implements AutoCloseable {

    private final HikariDataSource writer;
    private final HikariDataSource reader;

    SqliteDataSource(String jdbcUrl, int poolSize) {
        writer = pool("sqlite-writer", jdbcUrl, 1);
        reader = poolSize > 1 ? pool("sqlite-reader", jdbcUrl, poolSize - 1) : writer;
        setTargetDataSource(writer);
        setReadOnlyDataSource(reader);
        setDefaultAutoCommit(false);
    }

    @Override
    public void close() {
        reader.close();
        writer.close();
    }

    private static HikariDataSource pool(String name, String jdbcUrl, int size) {
        SQLiteConfig config = new SQLiteConfig();
        config.setJournalMode(SQLiteConfig.JournalMode.WAL);
        config.setSynchronous(SQLiteConfig.SynchronousMode.FULL);
        config.setBusyTimeout(5_000);
        // A transaction may say that it only reads; one that does not takes the lock when it begins.
        config.setExplicitReadOnly(true);
        SQLiteDataSource source = new SQLiteDataSource(config);
        source.setUrl(jdbcUrl);

        HikariDataSource pool = new HikariDataSource();
        pool.setPoolName(name);
        pool.setDataSource(source);
        pool.setMaximumPoolSize(size);
        pool.setAutoCommit(false);
        // Nor may the pool's own question whether a connection is alive begin a transaction.
        pool.setIsolateInternalQueries(true);
        // There is no server that closes them, and opening one is dear.
        pool.setMaxLifetime(0);
        return pool;
    }
}
