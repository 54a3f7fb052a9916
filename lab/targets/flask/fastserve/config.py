"""What the environment says, as Flask and its extensions take it."""

import os
import secrets
from typing import Any

from sqlalchemy import URL, make_url

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
CACHES = {"none": "NullCache", "memory": "SimpleCache", "redis": "RedisCache"}


def driven(text: str) -> URL:
    """The URL as SQLAlchemy takes it."""
    url = make_url(text)
    name = url.drivername
    url = url.set(drivername=DRIVERS[name])
    if name == "sqlite":
        # Ours is `sqlite:///absolute/file.db`; with three slashes SQLAlchemy takes it for a relative one.
        url = url.set(database=f"/{url.database}")
    return url


def connections() -> int:
    """Connections to the database that one process may hold: its share of all of them."""
    return max(1, int(os.environ.get("POOL_SIZE", "10")) // int(os.environ.get("WORKERS", "1")))


def from_environment() -> dict[str, Any]:
    config: dict[str, Any] = {
        # Where nobody says what tokens are signed with, none is good.
        "JWT_SECRET_KEY": os.environ.get("TOKEN_SECRET") or secrets.token_hex(32),
        "CACHE_TYPE": CACHES[os.environ.get("CACHE", "none")],
        "CACHE_DEFAULT_TIMEOUT": 60,
        "CACHE_REDIS_URL": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
        "CACHE_NO_NULL_WARNING": True,
        "GZIP": os.environ.get("GZIP") == "on",
        "COMPRESS_ALGORITHM": ["gzip"],
        "COMPRESS_LEVEL": 6,
        "COMPRESS_MIN_SIZE": 1024,
    }
    if text := os.environ.get("DATABASE_URL"):
        url = driven(text)
        options: dict[str, Any] = {"pool_size": connections(), "max_overflow": 0, "pool_recycle": 3600}
        if url.get_backend_name() == "sqlite":
            # Seconds to wait for the lock.
            options["connect_args"] = {"timeout": 5}
        config["SQLALCHEMY_DATABASE_URI"] = url
        config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    return config
