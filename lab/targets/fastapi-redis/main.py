"""Notes over PostgreSQL with Redis in front (cache-aside), tokens verified with a cache, limits counted in Redis: FastAPI,
SQLAlchemy's async ORM, redis-py, PyJWT and slowapi."""

import hashlib
import os
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Generic, Literal, TypeVar

import jwt
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address
from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

ROW_S = 60
LIST_S = 10
TOKEN_S = 15 * 60

url = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://", 1)
engine = create_async_engine(url, pool_size=16, max_overflow=0)
Session = async_sessionmaker(engine, expire_on_commit=False)
redis = Redis.from_url(os.environ["REDIS_URL"])

# The same key in every process.
signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(os.environ["SECRET"]))
verifying = signing.public_key()
verified: TTLCache[str, dict[str, Any]] = TTLCache(maxsize=10_000, ttl=600)

T = TypeVar("T")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    display_name: Mapped[str]
    created_at: Mapped[str]


class Note(Base):
    __tablename__ = "posts"

    id: Mapped[str] = mapped_column(primary_key=True)
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str]
    body: Mapped[str]
    published: Mapped[bool]
    created_at: Mapped[str]
    updated_at: Mapped[str]
    author: Mapped[User] = relationship()


class UserView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    display_name: str
    created_at: str


class NoteView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    author_id: str
    title: str
    body: str
    published: bool
    created_at: str
    updated_at: str


class NoteWithAuthorView(NoteView):
    author: UserView


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None


class LogIn(BaseModel):
    email: str
    password: str


class ListQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    published: Literal["true"]
    sort: Literal["-created_at"]
    limit: int = 20
    include: Literal["author"] | None = None


async def session() -> AsyncIterator[AsyncSession]:
    # Takes a connection with its first statement, so none where Redis had the answer.
    async with Session() as session:
        yield session


bearer = HTTPBearer()


async def caller(request: Request, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    token = credentials.credentials
    claims = verified.get(token)
    if claims is None or claims["exp"] <= time.time():
        try:
            claims = jwt.decode(token, verifying, algorithms=["EdDSA"])
        except jwt.InvalidTokenError:
            raise HTTPException(status_code=401, detail="Not signed in") from None
        verified[token] = claims
    request.state.user = claims["sub"]
    return claims["sub"]


def tagged(request: Request, body: bytes) -> Response:
    tag = f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return Response(body, media_type="application/json", headers={"etag": tag})


app = FastAPI()
limiter = Limiter(key_func=get_remote_address, storage_uri=os.environ["REDIS_URL"], strategy="fixed-window")
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)

Caller = Annotated[str, Depends(caller)]
Db = Annotated[AsyncSession, Depends(session)]


@app.get("/api/health")
async def health() -> PlainTextResponse:
    return PlainTextResponse("ok")


@app.post("/api/v1/auth/login")
async def log_in(body: LogIn) -> dict[str, str]:
    """A token for whoever asks: what a log-in costs is another row's matter."""
    claims = {"sub": body.email, "exp": int(time.time()) + TOKEN_S}
    return {"access_token": jwt.encode(claims, signing, algorithm="EdDSA")}


@app.get("/api/v1/notes/{id}")
async def get_note(id: str, request: Request, _: Caller, session: Db) -> Response:
    name = f"note:{id}"
    body = await redis.get(name)
    if body is None:
        note = await session.scalar(select(Note).where(Note.id == id, Note.published))
        if note is None:
            raise HTTPException(status_code=404, detail="Not found")
        body = NoteView.model_validate(note).model_dump_json().encode()
        await redis.set(name, body, ex=ROW_S)
    return tagged(request, body)


@app.get("/api/v1/notes")
async def list_notes(request: Request, query: Annotated[ListQuery, Query()], _: Caller, session: Db) -> Response:
    name = f"notes:{query.limit}:{query.include}"
    body = await redis.get(name)
    if body is None:
        notes = select(Note).where(Note.published).order_by(Note.created_at.desc()).limit(query.limit + 1)
        if query.include:
            notes = notes.options(joinedload(Note.author, innerjoin=True))
        rows = list(await session.scalars(notes))
        items = rows[: query.limit]
        cursor = items[-1].id if len(rows) > query.limit else None
        if query.include:
            with_authors = [NoteWithAuthorView.model_validate(note) for note in items]
            page = Page[NoteWithAuthorView](items=with_authors, next_cursor=cursor)
        else:
            page = Page[NoteView](items=[NoteView.model_validate(note) for note in items], next_cursor=cursor)
        body = page.model_dump_json().encode()
        await redis.set(name, body, ex=LIST_S)
    return tagged(request, body)


@app.get("/api/caller")
@limiter.limit("36000000/hour", key_func=get_remote_address)
@limiter.limit(f"{os.environ['USER_BUDGET']}/hour", key_func=lambda request: request.state.user)
async def check_caller(request: Request, _: Caller) -> PlainTextResponse:
    return PlainTextResponse("ok")
