package fastserve.posts;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.List;

import fastserve.ConditionalOnDatabase;
import jakarta.validation.Valid;
import jakarta.validation.constraints.Max;
import jakarta.validation.constraints.Min;

import org.springframework.data.domain.Limit;
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

    /** Always six digits, so that text sorts as time does. */
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC);

    private final PostRepository posts;

    PostController(PostRepository posts) {
        this.posts = posts;
    }

    record Page(List<PostResponse> items) {
    }

    @PostMapping
    @ResponseStatus(HttpStatus.CREATED)
    PostResponse create(@AuthenticationPrincipal Jwt token, @Valid @RequestBody NewPost post) {
        return PostResponse.of(posts.save(new Post(token.getSubject(), post, TIME.format(Instant.now()))));
    }

    @GetMapping("/{id}")
    PostResponse read(@PathVariable String id) {
        return posts.findById(id)
                .map(PostResponse::of)
                .orElseThrow(() -> new ResponseStatusException(HttpStatus.NOT_FOUND));
    }

    @GetMapping
    Page newest(@RequestParam(defaultValue = "20") @Min(1) @Max(100) int limit) {
        List<Post> newest = posts.findByPublishedTrueOrderByCreatedAtDescIdDesc(Limit.of(limit));
        return new Page(newest.stream().map(PostResponse::of).toList());
    }
}
