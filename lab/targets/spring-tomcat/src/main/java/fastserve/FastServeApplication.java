package fastserve;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.cache.autoconfigure.metrics.CacheMetricsAutoConfiguration;
import org.springframework.boot.jdbc.autoconfigure.DataSourceAutoConfiguration;
import org.springframework.boot.micrometer.observation.autoconfigure.ObservationAutoConfiguration;

/**
 * The data source is our own ({@link DatabaseConfiguration}), since there may be none. Without observations nothing is
 * counted in the path of a request, nor does the cache count; the metrics of the process, Tomcat, the pool and so on are
 * not affected.
 */
@SpringBootApplication(exclude = {
        DataSourceAutoConfiguration.class, ObservationAutoConfiguration.class, CacheMetricsAutoConfiguration.class})
public class FastServeApplication {

    public static void main(String[] args) {
        SpringApplication.run(FastServeApplication.class, args);
    }
}
