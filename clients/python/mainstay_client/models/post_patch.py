from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="PostPatch")


@_attrs_define
class PostPatch:
    """What changes a post; what is not sent stays."""

    body: str | Unset = UNSET
    """ Its text, at most 100,000 characters. """
    published: bool | Unset = UNSET
    """ Whether anyone may read it. """
    title: str | Unset = UNSET
    """ Its title, 1–200 characters. """

    def to_dict(self) -> dict[str, Any]:
        body = self.body

        published = self.published

        title = self.title

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if body is not UNSET:
            field_dict["body"] = body
        if published is not UNSET:
            field_dict["published"] = published
        if title is not UNSET:
            field_dict["title"] = title

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        body = d.pop("body", UNSET)

        published = d.pop("published", UNSET)

        title = d.pop("title", UNSET)

        post_patch = cls(
            body=body,
            published=published,
            title=title,
        )

        return post_patch
