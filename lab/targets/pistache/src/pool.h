#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

/// Lends connections, each to one thread at a time. They are opened when they are first needed.
template <typename Connection>
class Pool
{
public:
    using Open = std::function<std::unique_ptr<Connection>()>;

    Pool(int size, Open open)
        : open_(std::move(open))
        , free_(size)
    { }

    /// Runs `use` with a connection; waits for one if all are lent. One with which something failed is closed: whether it
    /// is still good is not worth finding out.
    template <typename Use>
    auto with(Use&& use)
    {
        Lent lent(*this);
        try
        {
            if (!lent.connection)
                lent.connection = open_();
            return use(*lent.connection);
        }
        catch (...)
        {
            lent.connection.reset();
            throw;
        }
    }

private:
    /// A place in the pool; the connection is null where none is open.
    struct Lent
    {
        explicit Lent(Pool& from)
            : pool(from)
        {
            std::unique_lock<std::mutex> lock(pool.mutex_);
            pool.returned_.wait(lock, [&] { return !pool.free_.empty(); });
            connection = std::move(pool.free_.back());
            pool.free_.pop_back();
        }

        ~Lent()
        {
            {
                const std::lock_guard<std::mutex> guard(pool.mutex_);
                // There is room: it had this place before.
                pool.free_.push_back(std::move(connection));
            }
            pool.returned_.notify_one();
        }

        Pool& pool;
        std::unique_ptr<Connection> connection;
    };

    Open open_;
    std::mutex mutex_;
    std::condition_variable returned_;
    // The last one in is the first one out: it is open, and warm.
    std::vector<std::unique_ptr<Connection>> free_;
};
