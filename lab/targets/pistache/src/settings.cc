#include "settings.h"

#include <charconv>
#include <cstdlib>
#include <stdexcept>

#include "text.h"

namespace
{
    std::string variable(const char* name, const std::string& otherwise)
    {
        const char* value = std::getenv(name);
        return value != nullptr && *value != '\0' ? value : otherwise;
    }

    int number(const char* name, int otherwise, int least, int most)
    {
        const std::string text = variable(name, std::to_string(otherwise));
        const auto value       = whole_number(text);
        if (!value || *value < least || *value > most)
            throw std::runtime_error(std::string(name) + " must be a number from " + std::to_string(least) + " to "
                                     + std::to_string(most));
        return static_cast<int>(*value);
    }

    bool begins_with(const std::string& text, const std::string& start)
    {
        return text.compare(0, start.size(), start) == 0;
    }

    std::string percent_decoded(const std::string& text)
    {
        std::string decoded;
        for (std::size_t at = 0; at < text.size(); ++at)
        {
            unsigned char byte = 0;
            const char* digits = text.data() + at + 1;
            if (text[at] == '%' && at + 2 < text.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2)
            {
                decoded.push_back(static_cast<char>(byte));
                at += 2;
            }
            else
                decoded.push_back(text[at]);
        }
        return decoded;
    }
} // namespace

Settings Settings::from_environment()
{
    Settings settings;
    settings.host         = variable("HOST", settings.host);
    settings.port         = static_cast<std::uint16_t>(number("PORT", settings.port, 1, 65535));
    settings.workers      = number("WORKERS", settings.workers, 1, 1024);
    settings.database_url = variable("DATABASE_URL", "");
    settings.pool_size    = number("POOL_SIZE", settings.pool_size, 1, 1000);
    settings.redis_url    = variable("REDIS_URL", "redis://127.0.0.1:6379");
    settings.gzip         = variable("GZIP", "off") == "on";
    settings.token_secret = variable("TOKEN_SECRET", "");

    if (settings.token_secret.empty())
        throw std::runtime_error("TOKEN_SECRET is not set");
    const auto& url = settings.database_url;
    if (!url.empty() && !begins_with(url, "sqlite://") && !begins_with(url, "postgres://") && !begins_with(url, "mysql://"))
        throw std::runtime_error("DATABASE_URL must begin with sqlite://, postgres:// or mysql://");

    const std::string cache = variable("CACHE", "none");
    if (cache == "memory")
        settings.cache = Cache::Memory;
    else if (cache == "redis")
        settings.cache = Cache::Redis;
    else if (cache != "none")
        throw std::runtime_error("CACHE must be none, memory or redis");
    return settings;
}

Url Url::parse(const std::string& url)
{
    Url parts;
    const auto start = url.find("://");
    std::string rest = start == std::string::npos ? url : url.substr(start + 3);
    rest             = rest.substr(0, rest.find('?'));

    const auto slash = rest.find('/');
    if (slash != std::string::npos)
        parts.name = percent_decoded(rest.substr(slash + 1));
    std::string authority = rest.substr(0, slash);

    const auto at = authority.rfind('@');
    if (at != std::string::npos)
    {
        const std::string who = authority.substr(0, at);
        authority             = authority.substr(at + 1);
        const auto colon      = who.find(':');
        parts.user            = percent_decoded(who.substr(0, colon));
        if (colon != std::string::npos)
            parts.password = percent_decoded(who.substr(colon + 1));
    }

    const auto colon = authority.rfind(':');
    parts.host       = authority.substr(0, colon);
    if (colon != std::string::npos)
    {
        const auto port = whole_number(authority.substr(colon + 1));
        if (!port || *port < 1 || *port > 65535)
            throw std::runtime_error("a URL has a port that is none");
        parts.port = static_cast<std::uint16_t>(*port);
    }
    return parts;
}
