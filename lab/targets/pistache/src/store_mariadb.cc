#include "store.h"

#include <array>
#include <mutex>
#include <stdexcept>

#include <mysql.h>

#include "settings.h"

namespace
{
    using Connection = std::unique_ptr<MYSQL, decltype(&mysql_close)>;

    [[noreturn]] void fail(const char* message)
    {
        throw std::runtime_error(std::string("MariaDB: ") + message);
    }

    /// A column of a row that is read.
    class Column
    {
    public:
        /// `bytes`: the most a value of this column can have.
        explicit Column(std::size_t bytes)
            : bytes_(bytes)
        { }

        void bind(MYSQL_BIND& bind)
        {
            bind.buffer_type   = MYSQL_TYPE_STRING;
            bind.buffer        = bytes_.data();
            bind.buffer_length = bytes_.size();
            bind.length        = &length_;
            bind.is_null       = &is_null_;
            bind.error         = &is_cut_;
        }

        std::string text() const
        {
            if (is_cut_)
                fail("a value is longer than its column can be");
            return is_null_ ? std::string() : std::string(bytes_.data(), length_);
        }

    private:
        std::vector<char> bytes_;
        unsigned long length_ = 0;
        my_bool is_null_      = 0;
        my_bool is_cut_       = 0;
    };

    void bind(MYSQL_BIND& to, const std::string& value)
    {
        to.buffer_type   = MYSQL_TYPE_STRING;
        to.buffer        = const_cast<char*>(value.data()); // it is only read
        to.buffer_length = value.size();
    }

    void bind(MYSQL_BIND& to, const int& value)
    {
        to.buffer_type = MYSQL_TYPE_LONG;
        to.buffer      = const_cast<int*>(&value);
    }

    void bind(MYSQL_BIND& to, const signed char& value)
    {
        to.buffer_type = MYSQL_TYPE_TINY;
        to.buffer      = const_cast<signed char*>(&value);
    }

    class Statement
    {
    public:
        Statement(MYSQL* connection, const std::string& sql)
            : statement_(mysql_stmt_init(connection), mysql_stmt_close)
        {
            if (!statement_)
                fail(mysql_error(connection));
            check(mysql_stmt_prepare(statement_.get(), sql.data(), sql.size()));
        }

        /// Runs it with these values, which must outlive the call.
        template <typename... Values>
        void run(const Values&... values)
        {
            std::array<MYSQL_BIND, sizeof...(Values)> binds {};
            std::size_t at = 0;
            (bind(binds[at++], values), ...);
            check(mysql_stmt_bind_param(statement_.get(), binds.data()));
            check(mysql_stmt_execute(statement_.get()));
        }

        template <typename Row>
        void each(std::vector<Column>& columns, Row&& row)
        {
            std::vector<MYSQL_BIND> binds(columns.size());
            for (std::size_t at = 0; at < columns.size(); ++at)
                columns[at].bind(binds[at]);
            check(mysql_stmt_bind_result(statement_.get(), binds.data()));
            check(mysql_stmt_store_result(statement_.get()));
            for (;;)
            {
                const int result = mysql_stmt_fetch(statement_.get());
                if (result == MYSQL_NO_DATA)
                    break;
                if (result == 1)
                    fail(mysql_stmt_error(statement_.get()));
                row();
            }
            check(mysql_stmt_free_result(statement_.get()));
        }

    private:
        void check(int result)
        {
            if (result != 0)
                fail(mysql_stmt_error(statement_.get()));
        }

        std::unique_ptr<MYSQL_STMT, decltype(&mysql_stmt_close)> statement_;
    };

    Connection connect(const Url& url)
    {
        static std::once_flag once;
        std::call_once(once, [] { mysql_library_init(0, nullptr, nullptr); });

        Connection connection(mysql_init(nullptr), mysql_close);
        if (!connection)
            fail("out of memory");
        MYSQL* raw = connection.get();
        // "localhost" would mean a socket file, whatever the port.
        const unsigned protocol = MYSQL_PROTOCOL_TCP;
        mysql_options(raw, MYSQL_OPT_PROTOCOL, &protocol);
        mysql_options(raw, MYSQL_SET_CHARSET_NAME, "utf8mb4");
        const auto or_null = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
        const unsigned port = url.port != 0 ? url.port : 3306;
        if (mysql_real_connect(raw, url.host.c_str(), or_null(url.user), or_null(url.password), or_null(url.name), port,
                               nullptr, 0)
            == nullptr)
            fail(mysql_error(raw));
        return connection;
    }

    class MariaDbStore final : public Store
    {
    public:
        explicit MariaDbStore(const Url& url)
            : connection_(connect(url))
            , quote_(connection_.get(), "select id, words, author from quotes where id = ?")
            , post_(connection_.get(), "select id, author_id, title, body, published, created_at, updated_at from posts where id = ?")
            , newest_(connection_.get(),
                      "select id, author_id, title, body, published, created_at, updated_at from posts "
                      "where published = 1 order by created_at desc, id desc limit ?")
            , add_(connection_.get(),
                   "insert into posts (id, author_id, title, body, published, created_at, updated_at) "
                   "values (?, ?, ?, ?, ?, ?, ?)")
        { }

        std::optional<Quote> quote(int id) override
        {
            std::optional<Quote> quote;
            quote_.run(id);
            quote_.each(quotes_, [&] { quote = Quote { id, quotes_[1].text(), quotes_[2].text() }; });
            return quote;
        }

        std::optional<Post> post(const std::string& id) override
        {
            std::optional<Post> post;
            post_.run(id);
            post_.each(posts_, [&] { post = read(); });
            return post;
        }

        std::vector<Post> newest(int limit) override
        {
            std::vector<Post> posts;
            newest_.run(limit);
            newest_.each(posts_, [&] { posts.push_back(read()); });
            return posts;
        }

        void add(const Post& post) override
        {
            const signed char published = post.published ? 1 : 0;
            add_.run(post.id, post.author_id, post.title, post.body, published, post.created_at, post.updated_at);
        }

    private:
        Post read() const
        {
            const auto& row = posts_;
            return { row[0].text(), row[1].text(), row[2].text(), row[3].text(), row[4].text() == "1", row[5].text(),
                     row[6].text() };
        }

        static constexpr std::size_t Text = 65'535;
        static constexpr std::size_t Utf8 = 4;

        // Before its statements: they go first.
        Connection connection_;
        Statement quote_;
        Statement post_;
        Statement newest_;
        Statement add_;
        // In the order of the columns that are selected.
        std::vector<Column> quotes_ { Column(16), Column(Text), Column(Text) };
        std::vector<Column> posts_ { Column(64 * Utf8), Column(64 * Utf8), Column(200 * Utf8), Column(Text),
                                     Column(16), Column(32 * Utf8), Column(32 * Utf8) };
    };
} // namespace

std::unique_ptr<Store> open_mariadb(const std::string& url)
{
    return std::make_unique<MariaDbStore>(Url::parse(url));
}
