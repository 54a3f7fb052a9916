"""What schemathesis cannot know by itself: who calls, and which ids, tags, cursors and passwords are real.

Generated data alone is refused at the door: an id that nobody has is 404, a password that nobody has is 401, and what
stands behind is never reached. So where a value was meant to be right, it is replaced by a real one most of the time.
What was made wrong on purpose (`is_negative_at`) stays as it is.

Each case calls with a token made for it alone, so that a case that logs out, refreshes or deletes the account spoils no
other. The counts of answers are written to `MAINSTAY_CONFORMANCE_COUNTS` at the end, for `cargo xtask conformance` to judge.
"""

from __future__ import annotations

import atexit
import collections
import itertools
import json
import os
import secrets
import threading
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from schemathesis.core.parameters import ParameterLocation as Location

URL = os.environ["MAINSTAY_URL"]
API = f"{URL}/api/v1"
ADMIN = {"email": os.environ["MAINSTAY_ADMIN_EMAIL"], "password": os.environ["MAINSTAY_ADMIN_PASSWORD"]}
PASSWORD = "nineteen quiet harbours"

# Letters, digits and signs: a `format` says of a text what no pattern can, such as which characters are assigned.
LINES = strategies.text(
    strategies.characters(
        categories=["L", "N", "P", "Sm", "Sc"], exclude_characters="\u115f\u1160\u3164\uffa0"
    ),
    min_size=1,
    max_size=60,
)
schemathesis.openapi.format("name", LINES)
schemathesis.openapi.format("line", LINES)

# Stands in a generated case until it is sent: a case may be generated and thrown away, and a token costs requests.
PLACEHOLDER = "Bearer a-token-made-for-this-case"

# After these, the account or its session is not what it was: they get an account of their own.
SPOILING = {"logout", "delete_me", "refresh"}
# Only an administrator gets further than 403.
FOR_ADMINISTRATORS = {"list_users"}

# A server that was judged before has the people of that run.
RUN = secrets.token_hex(4)
names = itertools.count()
local = threading.local()
lock = threading.Lock()
counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
turns: collections.Counter[tuple[str, str]] = collections.Counter()
known_posts: set[str] = set()
known_people: set[str] = set()


def mostly(operation: str, what: str, of_ten: int) -> bool:
    """True in `of_ten` of ten turns. Counted, not drawn: with a seed, a run can be repeated."""
    with lock:
        turns[operation, what] += 1
        return turns[operation, what] % 10 < of_ten


def send(method: str, path: str, wanted: int, body: Any = None, token: str | None = None) -> requests.Response | None:
    """A request that prepares a case. `None` unless it is answered as wanted."""
    session = getattr(local, "session", None)
    if session is None:
        session = local.session = requests.Session()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for _ in range(100):
        answer = session.request(method, f"{API}{path}", json=body, headers=headers, timeout=30)
        if answer.status_code != 503:
            break
        # As many hashes as there are cores are already under way; the answer says how long to stay away.
        threading.Event().wait(float(answer.headers.get("Retry-After", "1")))
    return answer if answer.status_code == wanted else None


class Person:
    """An account with a session."""

    def __init__(self, credentials: dict[str, str] | None = None) -> None:
        self.id = ""
        if credentials is None:
            with lock:
                number = next(names)
            credentials = {"email": f"person-{RUN}-{number}@example.org", "password": PASSWORD}
            made = send("POST", "/auth/register", 201, {**credentials, "display_name": f"Person {number}"})
            assert made is not None, "nobody can register"
            self.id = made.json()["id"]
            known_people.add(self.id)
        self.credentials = credentials
        self.post: tuple[str, str] | None = None
        self.log_in()

    def log_in(self) -> None:
        answer = send("POST", "/auth/login", 200, self.credentials)
        assert answer is not None, f"{self.credentials['email']} cannot log in"
        self.take(answer.json())

    def take(self, pair: dict[str, str]) -> None:
        self.access, self.refresh = pair["access_token"], pair["refresh_token"]

    def renew(self) -> None:
        """A fresh token: by refreshing, which costs no password hash, or by logging in where that fails."""
        answer = send("POST", "/auth/refresh", 200, {"refresh_token": self.refresh})
        if answer is None:
            self.log_in()
        else:
            self.take(answer.json())

    def a_post(self, fresh: bool) -> tuple[str, str]:
        """The id and the tag of a post of theirs."""
        if self.post is None or fresh:
            body = {"title": "A post", "body": "To be changed.", "published": True}
            made = send("POST", "/posts", 201, body, self.access)
            assert made is not None, "nobody can post"
            self.post = made.json()["id"], made.headers["ETag"]
            known_posts.add(self.post[0])
        return self.post


def person_for(operation: str) -> Person:
    """Who calls: with a token that no case had before."""
    if operation in SPOILING:
        return Person()
    kind = "admin" if operation in FOR_ADMINISTRATORS and mostly(operation, "admin", 9) else "person"
    person: Person | None = getattr(local, kind, None)
    if person is None:
        person = Person(ADMIN if kind == "admin" else None)
        setattr(local, kind, person)
    else:
        person.renew()
    return person


@schemathesis.auth(refresh_interval=None)
class FreshToken:
    """Marks a case as one that calls with a token; `before_call` puts it in."""

    def get(self, case: schemathesis.Case, context: Any) -> str:
        return PLACEHOLDER

    def set(self, case: schemathesis.Case, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": data}


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    operation = case.operation.definition.raw["operationId"]
    person: Person | None = None

    def who() -> Person:
        nonlocal person
        person = person or person_for(operation)
        return person

    def is_meant_well(location: Location) -> bool:
        return case.meta is None or not case.meta.is_negative_at(location)

    headers = case.headers
    if headers is not None and headers.get("Authorization") == PLACEHOLDER:
        if case.operation.definition.raw.get("security"):
            headers["Authorization"] = f"Bearer {who().access}"
        else:
            del headers["Authorization"]

    path = case.path_parameters
    tag = ""
    if path and "id" in path and is_meant_well(Location.PATH):
        if operation == "get_user":
            if path["id"] not in known_people and mostly(operation, "id", 8):
                path["id"] = who().id
        elif path["id"] not in known_posts and mostly(operation, "id", 9):
            path["id"], tag = who().a_post(fresh=operation != "get_post")

    if headers is not None and "If-Match" in headers and is_meant_well(Location.HEADER):
        if not mostly(operation, "If-Match", 3):
            # The rest of the time: the tag of this very state, or none.
            if operation in ("update_me", "get_me", "delete_me"):
                tag = current_tag(who())
            if tag and mostly(operation, "tag", 5):
                headers["If-Match"] = tag
            else:
                del headers["If-Match"]

    # Short keys are drawn again and again, and one that was used with another body is refused. A few stay, to find that out.
    if headers is not None and "Idempotency-Key" in headers and is_meant_well(Location.HEADER):
        if mostly(operation, "key", 8):
            headers["Idempotency-Key"] = secrets.token_hex(16)

    query = case.query
    if query and "cursor" in query and is_meant_well(Location.QUERY) and mostly(operation, "cursor", 9):
        del query["cursor"]

    body = case.body
    if isinstance(body, dict) and is_meant_well(Location.BODY):
        if operation == "login" and mostly(operation, "body", 8):
            body.update(who().credentials)
        elif operation == "refresh" and mostly(operation, "body", 8):
            body["refresh_token"] = who().refresh
        elif operation == "logout" and "refresh_token" in body and mostly(operation, "body", 8):
            body["refresh_token"] = who().refresh
        elif operation == "register" and mostly(operation, "body", 8):
            with lock:
                body["email"] = f"someone-{RUN}-{next(names)}@example.org"


def current_tag(person: Person) -> str:
    answer = send("GET", "/users/me", 200, token=person.access)
    return answer.headers["ETag"] if answer is not None else ""


@schemathesis.hook
def after_call(context: Any, case: schemathesis.Case, response: Any) -> None:
    operation = case.operation.definition.raw["operationId"]
    if operation == "create_post" and response.status_code == 201:
        known_posts.add(response.json()["id"])
    with lock:
        counts[operation][str(response.status_code)] += 1


@atexit.register
def write_counts() -> None:
    file = os.environ.get("MAINSTAY_CONFORMANCE_COUNTS")
    if file:
        with open(file, "w", encoding="utf-8") as out:
            json.dump({name: dict(sorted(of.items())) for name, of in sorted(counts.items())}, out, indent=2)
