"""What comes in and what goes out."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


def without_nul(text: str) -> str:
    # PostgreSQL has no place for it.
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


class NewPost(BaseModel):
    # `"published": "yes"` is a mistake, not a yes.
    model_config = ConfigDict(strict=True)

    title: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(without_nul)]
    body: Annotated[str, StringConstraints(max_length=10_000), AfterValidator(without_nul)]
    published: bool = False


class PostView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    author_id: str
    title: str
    body: str
    published: bool
    created_at: str
    updated_at: str


class PostList(BaseModel):
    items: list[PostView]


class QuoteView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    words: str
    author: str


class Computed(BaseModel):
    n: int
    fibonacci: int


class Report(BaseModel):
    answer: int
    made_at: datetime
