from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="MeView")


@_attrs_define
class MeView:
    """Yourself."""

    created_at: datetime.datetime
    """ Since when you are here. """
    display_name: str
    """ What others see. """
    email: str
    """ The address you sign in with. Nobody else sees it but administrators. """
    id: str
    role: Literal["admin"] | Literal["user"]
    """ What an account may do beyond its own things. """
    updated_at: datetime.datetime
    """ When the profile was last changed. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at.isoformat()

        display_name = self.display_name

        email = self.email

        id = self.id

        role: Literal["admin"] | Literal["user"]
        role = self.role

        updated_at = self.updated_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "created_at": created_at,
                "display_name": display_name,
                "email": email,
                "id": id,
                "role": role,
                "updated_at": updated_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        display_name = d.pop("display_name")

        email = d.pop("email")

        id = d.pop("id")

        def _parse_role(data: object) -> Literal["admin"] | Literal["user"]:
            componentsschemas_role_type_0 = cast(Literal["user"], data)
            if componentsschemas_role_type_0 != "user":
                raise ValueError(
                    f"/components/schemas/Role_type_0 must match const 'user', got '{componentsschemas_role_type_0}'"
                )
            return componentsschemas_role_type_0
            componentsschemas_role_type_1 = cast(Literal["admin"], data)
            if componentsschemas_role_type_1 != "admin":
                raise ValueError(
                    f"/components/schemas/Role_type_1 must match const 'admin', got '{componentsschemas_role_type_1}'"
                )
            return componentsschemas_role_type_1

        role = _parse_role(d.pop("role"))

        updated_at = datetime.datetime.fromisoformat(d.pop("updated_at"))

        me_view = cls(
            created_at=created_at,
            display_name=display_name,
            email=email,
            id=id,
            role=role,
            updated_at=updated_at,
        )

        me_view.additional_properties = d
        return me_view

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
