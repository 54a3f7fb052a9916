package fastserve.posts;

import jakarta.validation.constraints.NotNull;
import jakarta.validation.constraints.Pattern;
import org.hibernate.validator.constraints.CodePointLength;

/** {@code @Size} would count an emoji as two characters. No database keeps half a surrogate pair, PostgreSQL no NUL either. */
record NewPost(
        @NotNull @CodePointLength(min = 1, max = 200) @Pattern(regexp = NewPost.STORABLE) String title,
        @NotNull @CodePointLength(max = 10_000) @Pattern(regexp = NewPost.STORABLE) String body,
        boolean published) {

    static final String STORABLE = "[^\\x00\\p{Cs}]*";
}
