"""What comes in and what goes out."""

from typing import Any

from rest_framework import serializers

from .models import Post, Quote


class StrictCharField(serializers.CharField):
    """A number is a mistake, not a text, and what was sent is kept with its spaces."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """`"published": "yes"` is a mistake, not a yes."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class PostSerializer(serializers.ModelSerializer):
    title = StrictCharField(max_length=200)
    body = StrictCharField(max_length=10_000, allow_blank=True)
    published = StrictBooleanField(default=False)

    class Meta:
        model = Post
        fields = ["id", "author_id", "title", "body", "published", "created_at", "updated_at"]
        read_only_fields = ["id", "author_id", "created_at", "updated_at"]


class QuoteSerializer(serializers.ModelSerializer):
    class Meta:
        model = Quote
        fields = ["id", "words", "author"]


class ListQuery(serializers.Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)


class ComputeQuery(serializers.Serializer):
    n = serializers.IntegerField(min_value=0, max_value=40)
