package fastserve.quotes;

import java.util.concurrent.ThreadLocalRandom;

import fastserve.database.ConditionalOnDatabase;
import fastserve.database.Database;
import reactor.core.publisher.Mono;

import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

@RestController
@ConditionalOnDatabase
class QuoteController {

    private static final int QUOTES = 1_000;

    private final Database database;

    QuoteController(Database database) {
        this.database = database;
    }

    @GetMapping("/api/db")
    Mono<Quote> random() {
        int id = ThreadLocalRandom.current().nextInt(QUOTES) + 1;
        return database.quote(id).switchIfEmpty(Mono.error(() -> new ResponseStatusException(HttpStatus.NOT_FOUND)));
    }
}
