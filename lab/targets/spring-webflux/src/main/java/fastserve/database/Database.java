package fastserve.database;

import java.util.List;

import fastserve.posts.Post;
import fastserve.quotes.Quote;
import reactor.core.publisher.Mono;

public interface Database {

    Mono<Quote> quote(int id);

    Mono<Post> post(String id);

    /** Newest first. */
    Mono<List<Post>> newestPublished(int limit);

    /** The post, when it is in the database. */
    Mono<Post> insert(Post post);
}
