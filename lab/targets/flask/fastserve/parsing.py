"""webargs, which reads what comes in."""

from typing import Any

from flask import Request, abort
from marshmallow import Schema
from webargs.flaskparser import FlaskParser


class Parser(FlaskParser):
    def load_json(self, req: Request, schema: Schema) -> Any:
        try:
            return super().load_json(req, schema)
        except (RecursionError, ValueError):
            # Brackets by the thousand, a number of more digits than Python reads: neither is a fault of the server.
            abort(400)


parser = Parser()
use_args = parser.use_args
use_kwargs = parser.use_kwargs
