"""How it is, and what its process uses."""

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

blueprint = Blueprint("system", __name__)


@blueprint.get("/api/health")
def health() -> Response:
    return Response("ok", mimetype="text/plain")


@blueprint.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
