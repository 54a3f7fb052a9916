#pragma once

#include <memory>
#include <optional>
#include <string>

#include <hiredis.h>

#include "settings.h"

/// One connection to Redis, for one thread at a time.
class Redis
{
public:
    explicit Redis(const Url& url);

    std::optional<std::string> get(const std::string& key);
    void set(const std::string& key, const std::string& value, int seconds);

private:
    struct Free
    {
        void operator()(redisContext* context) const { redisFree(context); }
        void operator()(redisReply* reply) const { freeReplyObject(reply); }
    };
    using Reply = std::unique_ptr<redisReply, Free>;

    template <typename... Args>
    Reply command(const char* format, Args... args);

    std::unique_ptr<redisContext, Free> context_;
};
