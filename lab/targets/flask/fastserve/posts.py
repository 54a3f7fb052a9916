"""Posts, for whoever has a token."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from flask import Blueprint
from flask_jwt_extended import get_jwt_identity, jwt_required
from marshmallow import fields
from marshmallow.validate import Range

from .extensions import db
from .models import Post
from .parsing import use_args, use_kwargs
from .schemas import PostSchema

blueprint = Blueprint("posts", __name__, url_prefix="/api/v1/posts")
post_schema = PostSchema()
posts_schema = PostSchema(many=True)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@blueprint.post("")
@jwt_required()
@use_args(post_schema)
def create_post(new: dict[str, Any]) -> tuple[dict[str, Any], int]:
    moment = now()
    post = Post(id=str(uuid4()), author_id=get_jwt_identity(), created_at=moment, updated_at=moment, **new)
    db.session.add(post)
    db.session.commit()
    return post_schema.dump(post), 201


@blueprint.get("/<slug:post_id>")
@jwt_required()
def get_post(post_id: str) -> dict[str, Any]:
    return post_schema.dump(db.get_or_404(Post, post_id))


@blueprint.get("")
@jwt_required()
@use_kwargs({"limit": fields.Integer(load_default=20, validate=Range(min=1, max=100))}, location="query")
def list_posts(limit: int) -> dict[str, Any]:
    newest = db.select(Post).where(Post.published).order_by(Post.created_at.desc(), Post.id.desc()).limit(limit)
    return {"items": posts_schema.dump(db.session.scalars(newest))}
