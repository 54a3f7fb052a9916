package fastserve.report;

import java.time.Duration;

import tools.jackson.databind.json.JsonMapper;

import org.springframework.boot.cache.autoconfigure.CacheManagerCustomizer;
import org.springframework.cache.annotation.EnableCaching;
import org.springframework.cache.caffeine.CaffeineCacheManager;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.data.redis.cache.RedisCacheConfiguration;
import org.springframework.data.redis.serializer.JacksonJsonRedisSerializer;
import org.springframework.data.redis.serializer.RedisSerializationContext.SerializationPair;

/** Where reports are kept, {@code spring.cache.type} says. */
@Configuration(proxyBeanMethods = false)
@EnableCaching
class CacheConfiguration {

    /** What is kept is a {@code Mono}'s value, so the cache must be one that is asked without blocking. */
    @Bean
    CacheManagerCustomizer<CaffeineCacheManager> asyncCaffeine() {
        return caffeine -> caffeine.setAsyncCacheMode(true);
    }

    /** JSON in Redis, instead of Java's own serialization. */
    @Bean
    RedisCacheConfiguration redisCacheConfiguration(JsonMapper mapper) {
        return RedisCacheConfiguration.defaultCacheConfig()
                .entryTtl(Duration.ofSeconds(60))
                .serializeValuesWith(SerializationPair.fromSerializer(new JacksonJsonRedisSerializer<>(mapper, Report.class)));
    }
}
