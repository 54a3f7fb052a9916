"""FastServe with FastAPI."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import cache
import posts
from computing import fibonacci
from database import Db, engine
from models import Quote
from schemas import Computed, QuoteView, Report
from settings import settings

QUOTES = 1000


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    if cache.store is not None:
        await cache.store.close()
    if engine is not None:
        await engine.dispose()


app = FastAPI(title="FastServe", lifespan=lifespan)
if settings.gzip:
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=6)


@app.exception_handler(RequestValidationError)
async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    # FastAPI's own handler repeats what was sent, and fails where that is no JSON: NaN, half a surrogate pair.
    problems = [{name: problem[name] for name in ("type", "loc", "msg")} for problem in error.errors()]
    return JSONResponse({"detail": problems}, status.HTTP_422_UNPROCESSABLE_CONTENT)


@app.get("/api/health", response_class=PlainTextResponse)
async def health() -> str:
    return "ok"


# Not `async`: FastAPI runs it in its thread pool, so that the event loop goes on.
@app.get("/api/compute")
def compute(n: Annotated[int, Query(ge=0, le=40)]) -> Computed:
    return Computed(n=n, fibonacci=fibonacci(n))


@app.get("/api/cache")
async def report() -> Report:
    return await cache.report()


@app.get("/api/db", response_model=QuoteView)
async def quote(db: Db) -> Quote:
    found = await db.get(Quote, random.randint(1, QUOTES))
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such quote")
    return found


@app.get("/metrics", include_in_schema=False)
def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


app.include_router(posts.router)
