package fastserve;

import java.net.URI;
import java.nio.charset.StandardCharsets;

import org.jspecify.annotations.Nullable;

import org.springframework.web.util.UriUtils;

/** {@code DATABASE_URL} as JDBC has it. */
record DatabaseUrl(String jdbcUrl, @Nullable String user, @Nullable String password) {

    private static final String SQLITE = "sqlite://";

    static DatabaseUrl parse(String url) {
        if (url.startsWith(SQLITE)) {
            return new DatabaseUrl("jdbc:sqlite:" + url.substring(SQLITE.length()), null, null);
        }
        URI uri = URI.create(url);
        String driver = switch (String.valueOf(uri.getScheme())) {
            case "postgres", "postgresql" -> "postgresql";
            case "mysql", "mariadb" -> "mariadb";
            default -> throw new IllegalArgumentException("DATABASE_URL begins with sqlite://, postgres:// or mysql://");
        };
        String authority = uri.getRawAuthority();
        int at = authority.lastIndexOf('@');
        String query = uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery();
        String jdbcUrl = "jdbc:" + driver + "://" + authority.substring(at + 1) + uri.getRawPath() + query;

        String[] userInfo = at < 0 ? new String[0] : authority.substring(0, at).split(":", 2);
        return new DatabaseUrl(jdbcUrl, decoded(userInfo, 0), decoded(userInfo, 1));
    }

    boolean isSqlite() {
        return jdbcUrl.startsWith("jdbc:sqlite:");
    }

    private static @Nullable String decoded(String[] parts, int index) {
        return parts.length > index ? UriUtils.decode(parts[index], StandardCharsets.UTF_8) : null;
    }
}
