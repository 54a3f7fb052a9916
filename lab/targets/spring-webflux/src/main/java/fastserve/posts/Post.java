package fastserve.posts;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.UUID;

import org.springframework.data.annotation.Id;
import org.springframework.data.relational.core.mapping.Table;

/** Times are text in the database too. */
@Table("posts")
public record Post(
        @Id String id, String authorId, String title, String body, boolean published, String createdAt, String updatedAt) {

    /** Always six digits, so that text sorts as time does. */
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC);

    static Post of(String authorId, NewPost post) {
        String now = TIME.format(Instant.now());
        return new Post(UUID.randomUUID().toString(), authorId, post.title(), post.body(), post.published(), now, now);
    }
}
