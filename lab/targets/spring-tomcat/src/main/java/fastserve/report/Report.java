package fastserve.report;

import java.time.Instant;

public record Report(int answer, Instant madeAt) {
}
