#include "metrics.h"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <prometheus/collectable.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

namespace
{
    const double StartedAt = static_cast<double>(std::time(nullptr));

    prometheus::MetricFamily family(const char* name, const char* help, prometheus::MetricType type, double value)
    {
        prometheus::ClientMetric metric;
        if (type == prometheus::MetricType::Counter)
            metric.counter.value = value;
        else
            metric.gauge.value = value;
        return { name, help, type, { metric } };
    }

    /// The library measures what it is told of; this tells it of the process, under the names that all its clients use.
    class Process final : public prometheus::Collectable
    {
    public:
        std::vector<prometheus::MetricFamily> Collect() const override
        {
            using prometheus::MetricType;

            timespec cpu {};
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
            rlimit files {};
            getrlimit(RLIMIT_NOFILE, &files);
            double virtual_pages = 0, resident_pages = 0;
            std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages;
            const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));

            return {
                family("process_cpu_seconds_total", "User and system time of the process", MetricType::Counter,
                       static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9),
                family("process_resident_memory_bytes", "Memory that is resident", MetricType::Gauge, resident_pages * page),
                family("process_virtual_memory_bytes", "Memory that is mapped", MetricType::Gauge, virtual_pages * page),
                family("process_open_fds", "Open file descriptors", MetricType::Gauge, open_files()),
                family("process_max_fds", "Most file descriptors it may open", MetricType::Gauge,
                       static_cast<double>(files.rlim_cur)),
                family("process_start_time_seconds", "When it started, in seconds since 1970", MetricType::Gauge, StartedAt),
            };
        }

    private:
        static double open_files()
        {
            std::error_code error;
            double count = 0;
            for (std::filesystem::directory_iterator file("/proc/self/fd", error), end; !error && file != end; file.increment(error))
                ++count;
            return count;
        }
    };
} // namespace

std::string metrics_text()
{
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, Process().Collect());
    return text.str();
}
