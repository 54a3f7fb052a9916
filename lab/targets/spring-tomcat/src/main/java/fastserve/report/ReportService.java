package fastserve.report;

import java.time.Instant;

import fastserve.Fibonacci;

import org.springframework.cache.annotation.Cacheable;
import org.springframework.stereotype.Service;

@Service
public class ReportService {

    private static final int DEPTH = 32;

    /** Of those who ask while there is none, one makes it ({@code sync}). */
    @Cacheable(cacheNames = "report", sync = true)
    public Report report() {
        return new Report(Fibonacci.of(DEPTH), Instant.now());
    }
}
