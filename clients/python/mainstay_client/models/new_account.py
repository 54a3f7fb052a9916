from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="NewAccount")


@_attrs_define
class NewAccount:
    """Who wants an account."""

    display_name: str
    """ What others see. """
    email: str
    """ The address to sign in with. """
    password: str
    """ 8 characters or more (15 are better), none of the commonest. Spaces count; nothing is cut off. """

    def to_dict(self) -> dict[str, Any]:
        display_name = self.display_name

        email = self.email

        password = self.password

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "display_name": display_name,
                "email": email,
                "password": password,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        display_name = d.pop("display_name")

        email = d.pop("email")

        password = d.pop("password")

        new_account = cls(
            display_name=display_name,
            email=email,
            password=password,
        )

        return new_account
