package fastserve.report;

import java.time.Instant;

import fastserve.Fibonacci;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import org.springframework.cache.annotation.Cacheable;
import org.springframework.stereotype.Service;

@Service
public class ReportService {

    private static final int DEPTH = 32;

    /** Of those who ask while there is none, one makes it ({@code sync}), and not on the event loop. */
    @Cacheable(cacheNames = "report", sync = true)
    public Mono<Report> report() {
        return Mono.fromSupplier(() -> new Report(Fibonacci.of(DEPTH), Instant.now()))
                .subscribeOn(Schedulers.parallel());
    }
}
