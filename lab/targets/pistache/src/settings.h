#pragma once

#include <cstdint>
#include <string>

enum class Cache { None,
                   Memory,
                   Redis };

/// What the environment says.
struct Settings
{
    std::string host = "127.0.0.1";
    std::uint16_t port = 8080;
    /// Cores it may use.
    int workers = 1;
    /// Empty: there is none, and what needs it fails.
    std::string database_url;
    /// Connections to the database, in all.
    int pool_size = 10;
    Cache cache = Cache::None;
    std::string redis_url;
    bool gzip = false;
    std::string token_secret;

    /// Throws std::runtime_error, which says what is wrong with which variable.
    static Settings from_environment();
};

/// The parts of `scheme://user:password@host:port/name`, percent-decoded. What is not there is empty, the port zero.
struct Url
{
    std::string user;
    std::string password;
    std::string host;
    std::uint16_t port = 0;
    std::string name;

    static Url parse(const std::string& url);
};
