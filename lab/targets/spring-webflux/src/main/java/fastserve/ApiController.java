package fastserve;

import jakarta.validation.constraints.Max;
import jakarta.validation.constraints.Min;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import org.springframework.http.MediaType;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

@RestController
@RequestMapping("/api")
class ApiController {

    record Computed(int n, int fibonacci) {
    }

    @GetMapping(path = "/health", produces = MediaType.TEXT_PLAIN_VALUE)
    Mono<String> health() {
        return Mono.just("ok");
    }

    /** Not on the event loop: the largest takes half a second. */
    @GetMapping("/compute")
    Mono<Computed> compute(@RequestParam @Min(0) @Max(40) int n) {
        return Mono.fromSupplier(() -> new Computed(n, Fibonacci.of(n))).subscribeOn(Schedulers.parallel());
    }
}
