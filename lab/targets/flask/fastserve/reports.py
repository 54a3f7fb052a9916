"""Work for the processor, and what is kept of it."""

import threading
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, current_app
from marshmallow import fields
from marshmallow.validate import Range

from .extensions import cache
from .parsing import use_kwargs

KEY = "report"

blueprint = Blueprint("reports", __name__, url_prefix="/api")
making = threading.Lock()


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def make_report() -> dict[str, Any]:
    return {"answer": fibonacci(32), "made_at": datetime.now(UTC).isoformat().replace("+00:00", "Z")}


@blueprint.get("/compute")
@use_kwargs({"n": fields.Integer(required=True, validate=Range(min=0, max=40))}, location="query")
def compute(n: int) -> dict[str, int]:
    return {"n": n, "fibonacci": fibonacci(n)}


@blueprint.get("/cache")
def report() -> dict[str, Any]:
    if current_app.config["CACHE_TYPE"] == "NullCache":
        return make_report()
    if kept := cache.get(KEY):
        return kept
    # One of the threads that found nothing makes it, the others wait for that one.
    with making:
        if kept := cache.get(KEY):
            return kept
        made = make_report()
        cache.set(KEY, made)
        return made
