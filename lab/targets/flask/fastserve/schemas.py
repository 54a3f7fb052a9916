"""What comes in and what goes out."""

from typing import Any

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length


class StrictBoolean(fields.Boolean):
    """`"published": "yes"` is a mistake, not a yes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def storable(text: str) -> None:
    # PostgreSQL has no place for NUL, and half a surrogate pair is no text.
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise ValidationError("Not a valid string.")


class PostSchema(Schema):
    id = fields.String(dump_only=True)
    author_id = fields.String(dump_only=True)
    title = fields.String(required=True, validate=[Length(min=1, max=200), storable])
    body = fields.String(required=True, validate=[Length(max=10_000), storable])
    published = StrictBoolean(load_default=False)
    created_at = fields.String(dump_only=True)
    updated_at = fields.String(dump_only=True)


class QuoteSchema(Schema):
    id = fields.Integer()
    words = fields.String()
    author = fields.String()
