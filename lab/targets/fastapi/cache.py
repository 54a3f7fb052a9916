"""Where the report is kept for a minute."""

import asyncio
from typing import Protocol

from cachetools import TTLCache
from fastapi.concurrency import run_in_threadpool
from redis.asyncio import BlockingConnectionPool, Redis

from computing import make_report
from schemas import Report
from settings import settings

KEY = "report"
KEPT_S = 60


class Store(Protocol):
    async def read(self) -> Report | None: ...
    async def write(self, report: Report) -> None: ...
    async def close(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._kept: TTLCache[str, Report] = TTLCache(maxsize=1, ttl=KEPT_S)

    async def read(self) -> Report | None:
        return self._kept.get(KEY)

    async def write(self, report: Report) -> None:
        self._kept[KEY] = report

    async def close(self) -> None:
        self._kept.clear()


class InRedis:
    def __init__(self, url: str) -> None:
        # Who finds all of them taken waits, instead of being refused.
        self._redis = Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=50))

    async def read(self) -> Report | None:
        kept = await self._redis.get(KEY)
        return None if kept is None else Report.model_validate_json(kept)

    async def write(self, report: Report) -> None:
        await self._redis.set(KEY, report.model_dump_json(), ex=KEPT_S)

    async def close(self) -> None:
        await self._redis.aclose()


def open_store() -> Store | None:
    match settings.cache:
        case "memory":
            return InMemory()
        case "redis":
            return InRedis(settings.redis_url)
        case "none":
            return None


store = open_store()
making = asyncio.Lock()


async def report() -> Report:
    """The kept one, or a new one."""
    if store is None:
        return await run_in_threadpool(make_report)
    if kept := await store.read():
        return kept
    # One of those who found nothing makes it, the others wait for that one.
    async with making:
        if kept := await store.read():
            return kept
        made = await run_in_threadpool(make_report)
        await store.write(made)
        return made
