#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "pool.h"
#include "redis.h"
#include "settings.h"

/// What /api/cache answers, and where it is kept for a minute.
class Report
{
public:
    explicit Report(const Settings& settings);

    std::string json();

private:
    std::string from_memory();
    std::string from_redis();

    Cache cache_;
    Pool<Redis> redis_;

    std::mutex mutex_;
    std::string kept_;
    std::chrono::steady_clock::time_point kept_until_ {};
};
