package fastserve;

import javax.sql.DataSource;

import com.zaxxer.hikari.HikariDataSource;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

@Configuration(proxyBeanMethods = false)
@ConditionalOnDatabase
class DatabaseConfiguration {

    @Bean
    DataSource dataSource(@Value("${database.url}") String url, @Value("${POOL_SIZE:10}") int poolSize) {
        DatabaseUrl parsed = DatabaseUrl.parse(url);
        if (parsed.isSqlite()) {
            return new SqliteDataSource(parsed.jdbcUrl(), poolSize);
        }
        HikariDataSource pool = new HikariDataSource();
        pool.setJdbcUrl(parsed.jdbcUrl());
        pool.setUsername(parsed.user());
        pool.setPassword(parsed.password());
        pool.setMaximumPoolSize(poolSize);
        pool.setAutoCommit(false);
        return pool;
    }
}
