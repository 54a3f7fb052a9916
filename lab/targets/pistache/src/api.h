#pragma once

#include <memory>
#include <string>

#include <pistache/http.h>
#include <pistache/router.h>

#include "pool.h"
#include "report.h"
#include "settings.h"
#include "store.h"

/// The product's routes.
class Api
{
public:
    explicit Api(const Settings& settings);
    Api(const Api&)            = delete;
    Api& operator=(const Api&) = delete;

    /// What an endpoint serves. It refers to this.
    std::shared_ptr<Pistache::Http::Handler> handler();

private:
    struct Answer
    {
        Pistache::Http::Code code;
        std::string body;
        Pistache::Http::Mime::MediaType type;
    };
    using Request = Pistache::Rest::Request;
    using Handle  = Answer (Api::*)(const Request&);

    void get(const std::string& path, Handle handle);
    void post(const std::string& path, Handle handle);
    Pistache::Rest::Route::Handler bound(Handle handle);
    Answer attempt(Handle handle, const Request& request);
    void send(const Request& request, Pistache::Http::ResponseWriter& writer, const Answer& answer);

    /// The token's subject; without a good token it throws.
    std::string signed_in(const Request& request) const;

    Answer health(const Request& request);
    Answer compute(const Request& request);
    Answer cache(const Request& request);
    Answer db(const Request& request);
    Answer create_post(const Request& request);
    Answer read_post(const Request& request);
    Answer list_posts(const Request& request);
    Answer metrics(const Request& request);
    Answer not_found(const Request& request);

    Settings settings_;
    Report report_;
    Pool<Store> stores_;
    Pistache::Rest::Router router_;
};
