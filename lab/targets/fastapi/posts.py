"""Posts, for whoever has a token."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, HTTPException, Path, Query, status
from sqlalchemy import select

from database import Db
from models import Post
from schemas import NewPost, PostList, PostView
from security import Caller

router = APIRouter(prefix="/api/v1/posts", tags=["posts"])


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@router.post("", status_code=status.HTTP_201_CREATED, response_model=PostView)
async def create_post(new: NewPost, author_id: Caller, db: Db) -> Post:
    moment = now()
    post = Post(id=str(uuid4()), author_id=author_id, created_at=moment, updated_at=moment, **new.model_dump())
    db.add(post)
    await db.commit()
    return post


@router.get("/{id}", response_model=PostView)
async def get_post(id: Annotated[str, Path(pattern=r"^[\w-]{1,64}$")], _: Caller, db: Db) -> Post:
    post = await db.get(Post, id)
    if post is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such post")
    return post


@router.get("", response_model=PostList)
async def list_posts(_: Caller, db: Db, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, list[Post]]:
    newest = select(Post).where(Post.published).order_by(Post.created_at.desc(), Post.id.desc()).limit(limit)
    return {"items": list(await db.scalars(newest))}
