package fastserve;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.cache.autoconfigure.metrics.CacheMetricsAutoConfiguration;
import org.springframework.boot.jdbc.autoconfigure.DataSourceAutoConfiguration;
import org.springframework.boot.micrometer.observation.autoconfigure.ObservationAutoConfiguration;
import org.springframework.boot.r2dbc.autoconfigure.R2dbcAutoConfiguration;

/**
 * Connections are our own ({@link fastserve.database.DatabaseConfiguration}), since there may be none. Without
 * observations nothing is counted in the path of a request, nor does the cache count; the metrics of the process and so
 * on are not affected.
 */
@SpringBootApplication(exclude = {
        DataSourceAutoConfiguration.class, R2dbcAutoConfiguration.class,
        ObservationAutoConfiguration.class, CacheMetricsAutoConfiguration.class})
public class FastServeApplication {

    public static void main(String[] args) {
        SpringApplication.run(FastServeApplication.class, args);
    }
}
