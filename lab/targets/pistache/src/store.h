#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "post.h"

/// One connection to a database with its prepared statements, for one thread at a time.
class Store
{
public:
    virtual ~Store() = default;

    virtual std::optional<Quote> quote(int id)              = 0;
    virtual std::optional<Post> post(const std::string& id) = 0;
    /// The newest published ones, newest first.
    virtual std::vector<Post> newest(int limit) = 0;
    virtual void add(const Post& post)          = 0;

    /// Opens one for `sqlite://…`, `postgres://…` or `mysql://…`.
    static std::unique_ptr<Store> open(const std::string& url);
};

std::unique_ptr<Store> open_sqlite(const std::string& path);
std::unique_ptr<Store> open_postgres(const std::string& url);
std::unique_ptr<Store> open_mariadb(const std::string& url);
