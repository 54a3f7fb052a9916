"""The engine, and a session for each request."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, HTTPException, status
from sqlalchemy import URL, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from settings import settings

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+asyncpg", "mysql": "mysql+aiomysql"}


def driven(text: str) -> URL:
    """The URL as SQLAlchemy takes it."""
    url = make_url(text)
    name = url.drivername
    url = url.set(drivername=DRIVERS[name])
    match name:
        case "sqlite":
            # Ours is `sqlite:///absolute/file.db`; with three slashes SQLAlchemy takes it for a relative one.
            return url.set(database=f"/{url.database}")
        case "mysql":
            return url.update_query_dict({"charset": "utf8mb4"})
    return url


def connect(text: str, connections: int) -> AsyncEngine:
    url = driven(text)
    options: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        # Seconds to wait for the lock.
        options["connect_args"] = {"timeout": 5}
    engine = create_async_engine(url, pool_size=connections, max_overflow=0, pool_recycle=3600, **options)
    if url.get_backend_name() == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def keep_what_was_acknowledged(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.close()

    return engine


engine = connect(settings.database_url, settings.connections) if settings.database_url else None
Session = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    """Takes a connection with its first statement, and gives it back after the answer."""
    if engine is None:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "There is no database")
    async with Session() as session:
        yield session


Db = Annotated[AsyncSession, Depends(session)]
