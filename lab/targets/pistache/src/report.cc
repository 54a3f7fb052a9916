#include "report.h"

#include "compute.h"
#include "text.h"

namespace
{
    constexpr int Seconds    = 60;
    constexpr int Number     = 32;
    constexpr const char* Key = "fastserve:report";

    std::string make()
    {
        const auto answer = std::to_string(fibonacci(Number));
        return "{\"answer\":" + answer + ",\"made_at\":\"" + now_text() + "\"}";
    }
} // namespace

Report::Report(const Settings& settings)
    : cache_(settings.cache)
    , redis_(settings.pool_size, [url = Url::parse(settings.redis_url)] { return std::make_unique<Redis>(url); })
{ }

std::string Report::json()
{
    switch (cache_)
    {
    case Cache::Memory:
        return from_memory();
    case Cache::Redis:
        return from_redis();
    case Cache::None:
        break;
    }
    return make();
}

std::string Report::from_memory()
{
    // Whoever comes while it is made waits for it, and does not make it again.
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now >= kept_until_)
    {
        kept_       = make();
        kept_until_ = now + std::chrono::seconds(Seconds);
    }
    return kept_;
}

std::string Report::from_redis()
{
    return redis_.with([](Redis& redis) {
        if (auto kept = redis.get(Key))
            return *kept;
        auto made = make();
        redis.set(Key, made, Seconds);
        return made;
    });
}
