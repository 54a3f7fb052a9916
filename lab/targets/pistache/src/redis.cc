#include "redis.h"

#include <stdexcept>

namespace
{
    constexpr timeval Patience { 2, 0 };
}

Redis::Redis(const Url& url)
    : context_(redisConnectWithTimeout(url.host.c_str(), url.port != 0 ? url.port : 6379, Patience))
{
    if (!context_)
        throw std::runtime_error("Redis: out of memory");
    if (context_->err != 0)
        throw std::runtime_error(std::string("Redis: ") + context_->errstr);
    redisSetTimeout(context_.get(), Patience);
    redisEnableKeepAlive(context_.get());
    if (!url.user.empty())
        command("AUTH %s %s", url.user.c_str(), url.password.c_str());
    else if (!url.password.empty())
        command("AUTH %s", url.password.c_str());
    if (!url.name.empty())
        command("SELECT %s", url.name.c_str());
}

std::optional<std::string> Redis::get(const std::string& key)
{
    const Reply reply = command("GET %s", key.c_str());
    if (reply->type != REDIS_REPLY_STRING)
        return std::nullopt;
    return std::string(reply->str, reply->len);
}

void Redis::set(const std::string& key, const std::string& value, int seconds)
{
    command("SET %s %b EX %d", key.c_str(), value.data(), value.size(), seconds);
}

template <typename... Args>
Redis::Reply Redis::command(const char* format, Args... args)
{
    Reply reply(static_cast<redisReply*>(redisCommand(context_.get(), format, args...)));
    if (!reply)
        throw std::runtime_error(std::string("Redis: ") + context_->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        throw std::runtime_error(std::string("Redis: ") + reply->str);
    return reply;
}
