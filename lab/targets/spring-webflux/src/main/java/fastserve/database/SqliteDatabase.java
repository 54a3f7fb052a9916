package fastserve.database;

import java.util.List;

import com.zaxxer.hikari.HikariDataSource;
import fastserve.posts.Post;
import fastserve.quotes.Quote;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteDataSource;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

import org.springframework.jdbc.core.simple.JdbcClient;

/**
 * SQLite has no R2DBC driver: JDBC, which blocks, on threads that may.
 *
 * <p>One connection writes, the others read: SQLite lets one write at a time, and waiting for a connection is fairer than
 * waiting for its lock.
 */
final class SqliteDatabase implements Database, AutoCloseable {

    private static final String POST = "select id, author_id, title, body, published, created_at, updated_at from posts ";

    private final HikariDataSource writerPool;
    private final HikariDataSource readerPool;
    private final JdbcClient writer;
    private final JdbcClient reader;
    /** A thread for each connection: with more, they would wait for one. */
    private final Scheduler writing;
    private final Scheduler reading;

    SqliteDatabase(String file, int poolSize) {
        int readers = Math.max(1, poolSize - 1);
        writerPool = pool("sqlite-writer", file, 1);
        writing = scheduler("sqlite-writer", 1);
        readerPool = poolSize > 1 ? pool("sqlite-reader", file, readers) : writerPool;
        reading = poolSize > 1 ? scheduler("sqlite-reader", readers) : writing;
        writer = JdbcClient.create(writerPool);
        reader = JdbcClient.create(readerPool);
    }

    private static HikariDataSource pool(String name, String file, int size) {
        SQLiteConfig config = new SQLiteConfig();
        config.setJournalMode(SQLiteConfig.JournalMode.WAL);
        config.setSynchronous(SQLiteConfig.SynchronousMode.FULL);
        config.setBusyTimeout(5_000);
        SQLiteDataSource source = new SQLiteDataSource(config);
        source.setUrl("jdbc:sqlite:" + file);

        HikariDataSource pool = new HikariDataSource();
        pool.setPoolName(name);
        pool.setDataSource(source);
        pool.setMaximumPoolSize(size);
        // There is no server that closes them, and opening one is dear.
        pool.setMaxLifetime(0);
        return pool;
    }

    private static Scheduler scheduler(String name, int threads) {
        return Schedulers.newBoundedElastic(threads, Schedulers.DEFAULT_BOUNDED_ELASTIC_QUEUESIZE, name);
    }

    @Override
    public Mono<Quote> quote(int id) {
        return Mono.fromCallable(() -> reader.sql("select id, words, author from quotes where id = ?")
                        .param(id)
                        .query(Quote.class)
                        .optional())
                .subscribeOn(reading)
                .flatMap(Mono::justOrEmpty);
    }

    @Override
    public Mono<Post> post(String id) {
        return Mono.fromCallable(() -> reader.sql(POST + "where id = ?").param(id).query(Post.class).optional())
                .subscribeOn(reading)
                .flatMap(Mono::justOrEmpty);
    }

    @Override
    public Mono<List<Post>> newestPublished(int limit) {
        return Mono.fromCallable(() -> reader
                        .sql(POST + "where published = true order by created_at desc, id desc limit ?")
                        .param(limit)
                        .query(Post.class)
                        .list())
                .subscribeOn(reading);
    }

    @Override
    public Mono<Post> insert(Post post) {
        return Mono.fromRunnable(() -> writer
                        .sql("""
                                insert into posts (id, author_id, title, body, published, created_at, updated_at)
                                values (:id, :authorId, :title, :body, :published, :createdAt, :updatedAt)""")
                        .paramSource(post)
                        .update())
                .subscribeOn(writing)
                .thenReturn(post);
    }

    @Override
    public void close() {
        writing.dispose();
        reading.dispose();
        readerPool.close();
        writerPool.close();
    }
}
