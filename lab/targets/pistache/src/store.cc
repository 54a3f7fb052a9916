#include "store.h"

#include <stdexcept>

std::unique_ptr<Store> Store::open(const std::string& url)
{
    static const std::string sqlite = "sqlite://";
    if (url.compare(0, sqlite.size(), sqlite) == 0)
        return open_sqlite(url.substr(sqlite.size()));
    if (url.compare(0, 8, "mysql://") == 0)
        return open_mariadb(url);
    if (!url.empty())
        return open_postgres(url);
    throw std::runtime_error("DATABASE_URL is not set");
}
