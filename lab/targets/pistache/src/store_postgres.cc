#include "store.h"

#include <array>
#include <stdexcept>

#include <libpq-fe.h>

#include "text.h"

namespace
{
    using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
    using Result     = std::unique_ptr<PGresult, decltype(&PQclear)>;

    [[noreturn]] void fail(PGconn* connection)
    {
        throw std::runtime_error(std::string("PostgreSQL: ") + PQerrorMessage(connection));
    }

    std::string text(const Result& result, int row, int column)
    {
        return std::string(PQgetvalue(result.get(), row, column), PQgetlength(result.get(), row, column));
    }

    Post post_of(const Result& result, int row)
    {
        return { text(result, row, 0), text(result, row, 1), text(result, row, 2), text(result, row, 3),
                 *PQgetvalue(result.get(), row, 4) == 't', text(result, row, 5), text(result, row, 6) };
    }

    class PostgresStore final : public Store
    {
    public:
        explicit PostgresStore(const std::string& url)
            : connection_(PQconnectdb(url.c_str()), PQfinish)
        {
            if (PQstatus(connection_.get()) != CONNECTION_OK || PQsetClientEncoding(connection_.get(), "UTF8") != 0)
                fail(connection_.get());
            prepare("quote", "select id, words, author from quotes where id = $1");
            prepare("post", "select id, author_id, title, body, published, created_at, updated_at from posts where id = $1");
            prepare("newest",
                    "select id, author_id, title, body, published, created_at, updated_at from posts "
                    "where published order by created_at desc, id desc limit $1");
            prepare("add",
                    "insert into posts (id, author_id, title, body, published, created_at, updated_at) "
                    "values ($1, $2, $3, $4, $5, $6, $7)");
        }

        std::optional<Quote> quote(int id) override
        {
            const std::string number = std::to_string(id);
            const Result result      = run<1>("quote", { number.c_str() });
            if (PQntuples(result.get()) == 0)
                return std::nullopt;
            return Quote { static_cast<int>(whole_number(text(result, 0, 0)).value()), text(result, 0, 1), text(result, 0, 2) };
        }

        std::optional<Post> post(const std::string& id) override
        {
            const Result result = run<1>("post", { id.c_str() });
            if (PQntuples(result.get()) == 0)
                return std::nullopt;
            return post_of(result, 0);
        }

        std::vector<Post> newest(int limit) override
        {
            const std::string number = std::to_string(limit);
            const Result result      = run<1>("newest", { number.c_str() });
            std::vector<Post> posts;
            posts.reserve(PQntuples(result.get()));
            for (int row = 0; row < PQntuples(result.get()); ++row)
                posts.push_back(post_of(result, row));
            return posts;
        }

        void add(const Post& post) override
        {
            run<7>("add",
                   { post.id.c_str(), post.author_id.c_str(), post.title.c_str(), post.body.c_str(),
                     post.published ? "t" : "f", post.created_at.c_str(), post.updated_at.c_str() });
        }

    private:
        void prepare(const char* name, const char* sql)
        {
            check(Result(PQprepare(connection_.get(), name, sql, 0, nullptr), PQclear));
        }

        template <std::size_t N>
        Result run(const char* name, const std::array<const char*, N>& values)
        {
            return check(Result(PQexecPrepared(connection_.get(), name, N, values.data(), nullptr, nullptr, 0), PQclear));
        }

        Result check(Result result)
        {
            const auto status = PQresultStatus(result.get());
            if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
                fail(connection_.get());
            return result;
        }

        Connection connection_;
    };
} // namespace

std::unique_ptr<Store> open_postgres(const std::string& url)
{
    return std::make_unique<PostgresStore>(url);
}
