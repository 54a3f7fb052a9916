from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewPost")


@_attrs_define
class NewPost:
    """What creates a post."""

    body: str
    """ Its text, at most 100,000 characters. """
    title: str
    """ Its title, 1–200 characters. """
    published: bool | Unset = False
    """ Whether anyone may read it. """

    def to_dict(self) -> dict[str, Any]:
        body = self.body

        title = self.title

        published = self.published

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "body": body,
                "title": title,
            }
        )
        if published is not UNSET:
            field_dict["published"] = published

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        body = d.pop("body")

        title = d.pop("title")

        published = d.pop("published", UNSET)

        new_post = cls(
            body=body,
            title=title,
            published=published,
        )

        return new_post
