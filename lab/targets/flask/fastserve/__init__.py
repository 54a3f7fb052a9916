"""FastServe with Flask: the application's factory."""

from flask import Flask, Response, json
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from . import posts, quotes, reports, system
from .config import from_environment
from .extensions import cache, compress, db, jwt


class SlugConverter(BaseConverter):
    """Ids are made elsewhere too, so they need not be UUIDs."""

    regex = r"[\w-]{1,64}"


def create_app() -> Flask:
    app = Flask(__name__)
    app.url_map.converters["slug"] = SlugConverter
    app.config.from_mapping(from_environment())

    jwt.init_app(app)
    cache.init_app(app)
    if app.config["GZIP"]:
        compress.init_app(app)

    app.register_blueprint(system.blueprint)
    app.register_blueprint(reports.blueprint)
    # Without a database there is nothing below their paths.
    if "SQLALCHEMY_DATABASE_URI" in app.config:
        db.init_app(app)
        app.register_blueprint(quotes.blueprint)
        app.register_blueprint(posts.blueprint)

    app.register_error_handler(HTTPException, as_json)
    return app


def as_json(error: HTTPException) -> Response:
    """Errors in JSON instead of HTML, as Flask's documentation shows it."""
    response = error.get_response()
    if response.content_type is None or not response.content_type.startswith("application/json"):
        said = {"code": error.code, "name": error.name, "description": error.description}
        # Where webargs found them: what is wrong with which field.
        if messages := getattr(error, "data", {}).get("messages"):
            said["errors"] = messages
        response.data = json.dumps(said)
        response.content_type = "application/json"
    return response
