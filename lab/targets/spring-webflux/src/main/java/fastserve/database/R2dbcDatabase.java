package fastserve.database;

import java.util.List;

import fastserve.posts.Post;
import fastserve.quotes.Quote;
import io.r2dbc.pool.ConnectionPool;
import io.r2dbc.pool.ConnectionPoolConfiguration;
import io.r2dbc.spi.ConnectionFactories;
import io.r2dbc.spi.ConnectionFactoryOptions;
import reactor.core.publisher.Mono;

import org.springframework.data.domain.Sort;
import org.springframework.data.r2dbc.core.R2dbcEntityTemplate;
import org.springframework.data.relational.core.query.Query;

import static org.springframework.data.relational.core.query.Criteria.where;
import static org.springframework.data.relational.core.query.Query.query;

/** PostgreSQL and MariaDB, by Spring Data R2DBC. */
final class R2dbcDatabase implements Database, AutoCloseable {

    private static final Sort NEWEST_FIRST = Sort.by("createdAt", "id").descending();

    private final ConnectionPool pool;
    private final R2dbcEntityTemplate template;

    private R2dbcDatabase(ConnectionPool pool) {
        this.pool = pool;
        this.template = new R2dbcEntityTemplate(pool);
    }

    static R2dbcDatabase connect(String url, int poolSize) {
        ConnectionPool pool = new ConnectionPool(ConnectionPoolConfiguration.builder(ConnectionFactories.get(options(url)))
                .initialSize(poolSize)
                .maxSize(poolSize)
                .build());
        // All of them now, as a blocking pool does: what is wrong with the database is said at once.
        pool.warmup().block();
        return new R2dbcDatabase(pool);
    }

    private static ConnectionFactoryOptions options(String url) {
        String[] parts = url.split("://", 2);
        String driver = switch (parts[0]) {
            case "postgres", "postgresql" -> "postgresql";
            case "mysql", "mariadb" -> "mariadb";
            default -> throw new IllegalArgumentException("DATABASE_URL begins with sqlite://, postgres:// or mysql://");
        };
        ConnectionFactoryOptions options = ConnectionFactoryOptions.parse("r2dbc:" + driver + "://" + parts[1]);
        if (options.hasOption(ConnectionFactoryOptions.USER)) {
            return options;
        }
        // As these databases' own clients do.
        return options.mutate().option(ConnectionFactoryOptions.USER, System.getProperty("user.name")).build();
    }

    @Override
    public Mono<Quote> quote(int id) {
        return template.selectOne(query(where("id").is(id)), Quote.class);
    }

    @Override
    public Mono<Post> post(String id) {
        return template.selectOne(query(where("id").is(id)), Post.class);
    }

    @Override
    public Mono<List<Post>> newestPublished(int limit) {
        Query newest = query(where("published").is(true)).sort(NEWEST_FIRST).limit(limit);
        return template.select(newest, Post.class).collectList();
    }

    @Override
    public Mono<Post> insert(Post post) {
        return template.insert(post);
    }

    @Override
    public void close() {
        pool.dispose();
    }
}
