"""Flask's extensions, before they know of an application."""

import sqlite3
from typing import Any

from flask import Response, jsonify
from flask_caching import Cache
from flask_compress import Compress
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, event
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


# What was committed is not read again only to be answered.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
cache = Cache()
compress = Compress()
jwt = JWTManager()


@event.listens_for(Engine, "connect")
def keep_what_was_acknowledged(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = FULL").close()


# Flask-JWT-Extended answers 422 to a token that cannot be read or is forged, and takes one without an end.
@jwt.invalid_token_loader
def refuse(_: str) -> tuple[Response, int]:
    return jsonify(msg="Not signed in"), 401


@jwt.token_verification_loader
def has_an_end(_: dict[str, Any], claims: dict[str, Any]) -> bool:
    return "exp" in claims


@jwt.token_verification_failed_loader
def refuse_endless(_: dict[str, Any], __: dict[str, Any]) -> tuple[Response, int]:
    return jsonify(msg="Not signed in"), 401
