"""Settings of production; what differs from place to place is in the environment."""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = False
# Nothing is signed with it: there are no sessions, and tokens have their own.
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
# Which host is asked for is the business of the proxy in front.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    # Both for Simple JWT's user, which is made of the token alone; their tables are not needed.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "fastserve",
]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
if os.environ.get("GZIP") == "on":
    MIDDLEWARE.insert(1, "django.middleware.gzip.GZipMiddleware")

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # Every 404 is a warning; who wants those has the proxy's log.
    "loggers": {"django.request": {"level": "ERROR"}},
}


def database(url: str) -> dict[str, Any]:
    """The database as Django takes it. Each process has its share of the connections."""
    connections = max(1, int(os.environ.get("POOL_SIZE", "10")) // int(os.environ.get("WORKERS", "1")))
    # Without a pool each thread keeps a connection of its own; there are as many threads (gunicorn.conf.py).
    parsed: dict[str, Any] = {**dj_database_url.parse(url, conn_max_age=600)}
    match parsed["ENGINE"]:
        case "django.db.backends.postgresql":
            pool = {"min_size": connections, "max_size": connections}
            return {**parsed, "CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}
        case "django.db.backends.mysql":
            return {**parsed, "OPTIONS": {"charset": "utf8mb4"}}
        case "django.db.backends.sqlite3":
            # Ours is `sqlite:///absolute/file.db`, with the slash that others take for a separator.
            options = {"timeout": 5, "init_command": "PRAGMA synchronous = FULL"}
            return {**parsed, "NAME": f"/{parsed['NAME']}", "OPTIONS": options}
    raise ValueError(f"no such database: {parsed['ENGINE']}")


DATABASES = {"default": database(os.environ["DATABASE_URL"])} if os.environ.get("DATABASE_URL") else {}

match os.environ.get("CACHE", "none"):
    case "redis":
        redis_url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}}
    case "memory":
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    case _:
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["fastserve.parsers.BoundedJSONParser"],
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    # Where nobody says what tokens are signed with, none is good.
    "SIGNING_KEY": os.environ.get("TOKEN_SECRET") or get_random_secret_key(),
    "USER_ID_CLAIM": "sub",
    # What Simple JWT's own tokens have beside `sub` and `exp`, and others' have not.
    "TOKEN_TYPE_CLAIM": None,
    "JTI_CLAIM": None,
}
