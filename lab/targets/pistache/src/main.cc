#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <pistache/endpoint.h>
#include <sys/resource.h>

#include "api.h"
#include "settings.h"

using namespace Pistache;

namespace
{
    /// Larger than any post can be: 10,000 characters, each written as two escapes of six bytes, and the title.
    constexpr std::size_t MaxRequest = 256 * 1024;

    /// As many connections as the system lets us have.
    void raise_file_limit()
    {
        rlimit files {};
        if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        {
            files.rlim_cur = files.rlim_max;
            setrlimit(RLIMIT_NOFILE, &files);
        }
    }

    void serve(const Settings& settings)
    {
        // Before there are threads, which inherit it: the signals are for sigwait below.
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        std::signal(SIGPIPE, SIG_IGN);
        raise_file_limit();

        Api api(settings);
        Http::Endpoint endpoint(Address(settings.host, Port(settings.port)));
        endpoint.init(Http::Endpoint::options()
                          // A request keeps its thread while it waits for the database: one for each connection there.
                          .threads(std::max(settings.workers, settings.database_url.empty() ? 0 : settings.pool_size))
                          .flags(Tcp::Options::ReuseAddr | Tcp::Options::NoDelay | Tcp::Options::CloseOnExec)
                          .backlog(4096)
                          .maxRequestSize(MaxRequest));
        endpoint.setHandler(api.handler());
        endpoint.serveThreaded();

        int signal = 0;
        sigwait(&signals, &signal);
        endpoint.shutdown();
    }
} // namespace

int main()
{
    try
    {
        serve(Settings::from_environment());
        return EXIT_SUCCESS;
    }
    catch (const std::exception& error)
    {
        std::cerr << "fastserve: " << error.what() << std::endl;
        return EXIT_FAILURE;
    }
}
