package fastserve.posts;

import java.util.List;

import fastserve.database.ConditionalOnDatabase;
import fastserve.database.Database;
import jakarta.validation.Valid;
import jakarta.validation.constraints.Max;
import jakarta.validation.constraints.Min;
import reactor.core.publisher.Mono;

import org.springframework.http.HttpStatus;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

@RestController
@RequestMapping("/api/v1/posts")
@ConditionalOnDatabase
class PostController {

    private final Database database;

    PostController(Database database) {
        this.database = database;
    }

    record Page(List<Post> items) {
    }

    @PostMapping
    @ResponseStatus(HttpStatus.CREATED)
    Mono<Post> create(@AuthenticationPrincipal Jwt token, @Valid @RequestBody Mono<NewPost> post) {
        return post.flatMap(valid -> database.insert(Post.of(token.getSubject(), valid)));
    }

    @GetMapping("/{id}")
    Mono<Post> read(@PathVariable String id) {
        return database.post(id).switchIfEmpty(Mono.error(() -> new ResponseStatusException(HttpStatus.NOT_FOUND)));
    }

    @GetMapping
    Mono<Page> newest(@RequestParam(defaultValue = "20") @Min(1) @Max(100) int limit) {
        return database.newestPublished(limit).map(Page::new);
    }
}
