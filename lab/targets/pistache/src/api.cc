#include "api.h"

#include <iostream>
#include <random>
#include <stdexcept>

#include "compute.h"
#include "gzip.h"
#include "metrics.h"
#include "post.h"
#include "text.h"
#include "token.h"

using namespace Pistache;

namespace
{
    constexpr int Quotes = 1'000;

    /// What a caller did wrong.
    struct Refused : std::runtime_error
    {
        Refused(Http::Code of, const std::string& message)
            : std::runtime_error(message)
            , code(of)
        { }
        Http::Code code;
    };

    CUSTOM_HEADER(Vary)

    /// The name has a hyphen, which the macro cannot write.
    class WwwAuthenticate final : public Http::Header::Header
    {
    public:
        NAME("WWW-Authenticate")
        void parseRaw(const char*, std::size_t) override { }
        void write(std::ostream& stream) const override { stream << "Bearer"; }
    };

    /// Pistache keeps an answer in a queue under the number of its socket until the thread has nothing else to do. If a
    /// caller goes away before that, and the next one gets the number, it gets the answer, too. So this handler of a router
    /// empties the queue before a socket is closed.
    class CarefulHandler final : public Http::Handler
    {
    public:
        HTTP_PROTOTYPE(CarefulHandler)

        explicit CarefulHandler(Rest::Router& router)
            : router_(&router)
        { }

        void onRequest(const Http::Request& request, Http::ResponseWriter writer) override
        {
            router_->route(request, std::move(writer));
        }

        void onDisconnection(const std::shared_ptr<Tcp::Peer>&) override { transport()->flush(); }

    private:
        // Each of Pistache's threads has a copy of this.
        Rest::Router* router_;
    };

    /// A parameter of the query as a number.
    int number(const Rest::Request& request, const std::string& name, int least, int most)
    {
        const auto value = whole_number(request.query().get(name).value_or(""));
        if (!value || *value < least || *value > most)
            throw Refused(Http::Code::Bad_Request,
                          name + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
        return static_cast<int>(*value);
    }

    std::string error_json(const std::string& message)
    {
        // Messages are our own, and have nothing in them to escape.
        return "{\"error\":\"" + message + "\"}";
    }
} // namespace

Api::Api(const Settings& settings)
    : settings_(settings)
    , report_(settings)
    , stores_(settings.pool_size, [url = settings.database_url] { return Store::open(url); })
{
    get("/api/health", &Api::health);
    get("/api/compute", &Api::compute);
    get("/api/cache", &Api::cache);
    get("/api/db", &Api::db);
    post("/api/v1/posts", &Api::create_post);
    get("/api/v1/posts", &Api::list_posts);
    get("/api/v1/posts/:id", &Api::read_post);
    get("/metrics", &Api::metrics);
    Rest::Routes::NotFound(router_, bound(&Api::not_found));
}

std::shared_ptr<Http::Handler> Api::handler()
{
    return Http::make_handler<CarefulHandler>(router_);
}

void Api::get(const std::string& path, Handle handle)
{
    Rest::Routes::Get(router_, path, bound(handle));
}

void Api::post(const std::string& path, Handle handle)
{
    Rest::Routes::Post(router_, path, bound(handle));
}

Rest::Route::Handler Api::bound(Handle handle)
{
    return [this, handle](const Rest::Request& request, Http::ResponseWriter writer) {
        send(request, writer, attempt(handle, request));
        return Rest::Route::Result::Ok;
    };
}

Api::Answer Api::attempt(Handle handle, const Request& request)
{
    try
    {
        return (this->*handle)(request);
    }
    catch (const Refused& refused)
    {
        return { refused.code, error_json(refused.what()), MIME(Application, Json) };
    }
    catch (const Invalid& invalid)
    {
        return { Http::Code::Unprocessable_Entity, error_json(invalid.what()), MIME(Application, Json) };
    }
    catch (const std::exception& error)
    {
        std::cerr << request.resource() << ": " << error.what() << std::endl;
        return { Http::Code::Internal_Server_Error, error_json("something went wrong"), MIME(Application, Json) };
    }
}

void Api::send(const Request& request, Http::ResponseWriter& writer, const Answer& answer)
{
    constexpr std::size_t worth_it = 1'024;

    auto& headers = writer.headers();
    if (request.version() == Http::Version::Http11 && !request.headers().has<Http::Header::Connection>())
    {
        // Pistache says "Close" to whoever does not ask for "Keep-Alive". In HTTP/1.1 nobody needs to ask.
        headers.remove<Http::Header::Connection>();
        headers.add<Http::Header::Connection>(Http::ConnectionControl::KeepAlive);
    }
    if (answer.code == Http::Code::Unauthorized)
        headers.add<WwwAuthenticate>();
    if (settings_.gzip && answer.body.size() >= worth_it)
    {
        headers.add<Vary>("Accept-Encoding");
        const auto accepted = request.headers().tryGetRaw("Accept-Encoding");
        if (accepted && takes_gzip(accepted->value()))
        {
            headers.add<Http::Header::ContentEncoding>(Http::Header::Encoding::Gzip);
            writer.send(answer.code, gzipped(answer.body), answer.type);
            return;
        }
    }
    writer.send(answer.code, answer.body, answer.type);
}

std::string Api::signed_in(const Request& request) const
{
    const auto header = request.headers().tryGet<Http::Header::Authorization>();
    auto subject      = header ? subject_of(header->value(), settings_.token_secret) : std::nullopt;
    if (!subject)
        throw Refused(Http::Code::Unauthorized, "a good token is needed");
    return *std::move(subject);
}

Api::Answer Api::health(const Request&)
{
    return { Http::Code::Ok, "ok", MIME(Text, Plain) };
}

Api::Answer Api::compute(const Request& request)
{
    const int n = number(request, "n", 0, 40);
    return { Http::Code::Ok, "{\"n\":" + std::to_string(n) + ",\"fibonacci\":" + std::to_string(fibonacci(n)) + "}",
             MIME(Application, Json) };
}

Api::Answer Api::cache(const Request&)
{
    return { Http::Code::Ok, report_.json(), MIME(Application, Json) };
}

Api::Answer Api::db(const Request&)
{
    thread_local std::mt19937 random { std::random_device {}() };
    const int id     = std::uniform_int_distribution<int>(1, Quotes)(random);
    const auto quote = stores_.with([id](Store& store) { return store.quote(id); });
    if (!quote)
        throw Refused(Http::Code::Not_Found, "there is no such quote");
    return { Http::Code::Ok, to_json(*quote), MIME(Application, Json) };
}

Api::Answer Api::create_post(const Request& request)
{
    const auto author = signed_in(request);
    const auto made   = ::read_post(request.body(), author);
    stores_.with([&made](Store& store) { store.add(made); });
    return { Http::Code::Created, to_json(made), MIME(Application, Json) };
}

Api::Answer Api::read_post(const Request& request)
{
    signed_in(request);
    const auto id = request.param(":id").as<std::string>();
    // What is not UTF-8 is no id, and PostgreSQL would say so as an error.
    const auto found = characters(id) ? stores_.with([&id](Store& store) { return store.post(id); }) : std::nullopt;
    if (!found)
        throw Refused(Http::Code::Not_Found, "there is no such post");
    return { Http::Code::Ok, to_json(*found), MIME(Application, Json) };
}

Api::Answer Api::list_posts(const Request& request)
{
    signed_in(request);
    const int limit  = request.query().has("limit") ? number(request, "limit", 1, 100) : 20;
    const auto found = stores_.with([limit](Store& store) { return store.newest(limit); });
    return { Http::Code::Ok, to_json(found), MIME(Application, Json) };
}

Api::Answer Api::metrics(const Request&)
{
    return { Http::Code::Ok, metrics_text(), MIME(Text, Plain) };
}

Api::Answer Api::not_found(const Request&)
{
    return { Http::Code::Not_Found, error_json("there is nothing here"), MIME(Application, Json) };
}
