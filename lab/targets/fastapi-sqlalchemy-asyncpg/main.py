"""Posts over PostgreSQL with FastAPI, SQLAlchemy's async ORM and asyncpg: a session per request, a model for the answer."""

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

url = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://", 1)
engine = create_async_engine(url, pool_size=16, max_overflow=0)
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[str] = mapped_column(primary_key=True)
    author_id: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    published: Mapped[bool]
    created_at: Mapped[str]
    updated_at: Mapped[str]


class PostView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    author_id: str
    title: str
    body: str
    published: bool
    created_at: str
    updated_at: str


async def session() -> AsyncIterator[AsyncSession]:
    async with Session() as session:
        yield session


app = FastAPI()


@app.get("/api/v1/posts/{id}")
async def get_post(id: str, session: Annotated[AsyncSession, Depends(session)]) -> PostView:
    post = await session.scalar(select(Post).where(Post.id == id, Post.published))
    if post is None:
        raise HTTPException(status_code=404, detail="Not found")
    return PostView.model_validate(post)
