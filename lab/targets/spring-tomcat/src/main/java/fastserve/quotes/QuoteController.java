package fastserve.quotes;

import java.util.concurrent.ThreadLocalRandom;

import fastserve.ConditionalOnDatabase;

import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

@RestController
@ConditionalOnDatabase
class QuoteController {

    private static final int QUOTES = 1_000;

    private final QuoteRepository quotes;

    QuoteController(QuoteRepository quotes) {
        this.quotes = quotes;
    }

    @GetMapping("/api/db")
    Quote random() {
        int id = ThreadLocalRandom.current().nextInt(QUOTES) + 1;
        return quotes.findById(id).orElseThrow(() -> new ResponseStatusException(HttpStatus.NOT_FOUND));
    }
}
