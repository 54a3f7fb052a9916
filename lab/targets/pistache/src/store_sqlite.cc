#include "store.h"

#include <mutex>
#include <stdexcept>

#include <sqlite3.h>

namespace
{
    using Connection = std::unique_ptr<sqlite3, decltype(&sqlite3_close_v2)>;

    [[noreturn]] void fail(sqlite3* connection)
    {
        throw std::runtime_error(std::string("SQLite: ") + sqlite3_errmsg(connection));
    }

    class Statement
    {
    public:
        Statement(sqlite3* connection, const char* sql)
        {
            if (sqlite3_prepare_v3(connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) != SQLITE_OK)
                fail(connection);
        }
        ~Statement() { sqlite3_finalize(statement_); }
        Statement(const Statement&)            = delete;
        Statement& operator=(const Statement&) = delete;

        void bind(int at, int value) { check(sqlite3_bind_int(statement_, at, value)); }
        /// The text must live until the statement is done.
        void bind(int at, const std::string& value)
        {
            check(sqlite3_bind_text(statement_, at, value.data(), static_cast<int>(value.size()), SQLITE_STATIC));
        }

        /// Whether there is a row.
        bool step()
        {
            const int result = sqlite3_step(statement_);
            if (result != SQLITE_ROW && result != SQLITE_DONE)
                fail(sqlite3_db_handle(statement_));
            return result == SQLITE_ROW;
        }

        int number(int column) { return sqlite3_column_int(statement_, column); }
        std::string text(int column)
        {
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
            return text == nullptr ? std::string() : std::string(text, sqlite3_column_bytes(statement_, column));
        }

        /// Lets go of its snapshot, so that the log can be checkpointed, and of what was bound.
        void reset()
        {
            sqlite3_reset(statement_);
            sqlite3_clear_bindings(statement_);
        }

    private:
        void check(int result)
        {
            if (result != SQLITE_OK)
                fail(sqlite3_db_handle(statement_));
        }

        sqlite3_stmt* statement_ = nullptr;
    };

    /// Resets a statement when it is done with, whatever happens.
    struct Use
    {
        explicit Use(Statement& one)
            : statement(one)
        { }
        ~Use() { statement.reset(); }
        Statement* operator->() { return &statement; }
        Statement& statement;
    };

    Post post_of(Use& row)
    {
        return { row->text(0), row->text(1), row->text(2), row->text(3), row->number(4) != 0, row->text(5), row->text(6) };
    }

    Connection connect(const std::string& path)
    {
        sqlite3* raw = nullptr;
        // The pool lends a connection to one thread at a time, so it needs no lock of its own.
        const int result = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
        Connection connection(raw, sqlite3_close_v2);
        if (result != SQLITE_OK)
            fail(raw);
        sqlite3_busy_timeout(raw, 5'000);
        return connection;
    }

    class SqliteStore final : public Store
    {
    public:
        explicit SqliteStore(const std::string& path)
            : connection_(connect(path))
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
            Use use(quote_);
            use->bind(1, id);
            if (!use->step())
                return std::nullopt;
            return Quote { use->number(0), use->text(1), use->text(2) };
        }

        std::optional<Post> post(const std::string& id) override
        {
            Use use(post_);
            use->bind(1, id);
            if (!use->step())
                return std::nullopt;
            return post_of(use);
        }

        std::vector<Post> newest(int limit) override
        {
            std::vector<Post> posts;
            Use use(newest_);
            use->bind(1, limit);
            while (use->step())
                posts.push_back(post_of(use));
            return posts;
        }

        void add(const Post& post) override
        {
            // SQLite has one writer at a time. Those of this process wait here in their turn; the busy timeout, which asks
            // again after ever longer sleeps, is for other processes.
            static std::mutex turn;
            const std::lock_guard<std::mutex> guard(turn);
            Use use(add_);
            use->bind(1, post.id);
            use->bind(2, post.author_id);
            use->bind(3, post.title);
            use->bind(4, post.body);
            use->bind(5, post.published ? 1 : 0);
            use->bind(6, post.created_at);
            use->bind(7, post.updated_at);
            use->step();
        }

    private:
        // Before its statements: they go first.
        Connection connection_;
        Statement quote_;
        Statement post_;
        Statement newest_;
        Statement add_;
    };
} // namespace

std::unique_ptr<Store> open_sqlite(const std::string& path)
{
    return std::make_unique<SqliteStore>(path);
}
