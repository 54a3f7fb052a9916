"""A quote by chance."""

import random
from typing import Any

from flask import Blueprint

from .extensions import db
from .models import Quote
from .schemas import QuoteSchema

QUOTES = 1000

blueprint = Blueprint("quotes", __name__, url_prefix="/api")
quote_schema = QuoteSchema()


@blueprint.get("/db")
def quote() -> dict[str, Any]:
    return quote_schema.dump(db.get_or_404(Quote, random.randint(1, QUOTES)))
