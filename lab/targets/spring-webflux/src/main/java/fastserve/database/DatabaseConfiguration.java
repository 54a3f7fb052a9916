package fastserve.database;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

@Configuration(proxyBeanMethods = false)
@ConditionalOnDatabase
public class DatabaseConfiguration {

    private static final String SQLITE = "sqlite://";

    @Bean
    Database database(@Value("${database.url}") String url, @Value("${POOL_SIZE:10}") int poolSize) {
        if (url.startsWith(SQLITE)) {
            return new SqliteDatabase(url.substring(SQLITE.length()), poolSize);
        }
        return R2dbcDatabase.connect(url, poolSize);
    }
}
