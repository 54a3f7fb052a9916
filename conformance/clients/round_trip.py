"""The Python client against the real server: checked by mypy, then run, by `cargo xtask conformance clients`."""

import os
from http import HTTPStatus
from typing import TypeVar

from mainstay_client import AuthenticatedClient, Client
from mainstay_client.api.auth import login, register
from mainstay_client.api.posts import create_post, delete_post, get_post, list_posts, update_post
from mainstay_client.api.users import get_me
from mainstay_client.models import Credentials, NewAccount, NewPost, PostPart, PostPatch, PostView, Problem
from mainstay_client.types import UNSET, Response, Unset

T = TypeVar("T")
URL = os.environ["MAINSTAY_URL"]
EMAIL, PASSWORD = "python@example.org", "eleven paper lighthouses"


def answered(result: T | Problem | None) -> T:
    """What an operation must have answered; the problem says why it did not."""
    assert not isinstance(result, Problem), result
    assert result is not None, "an answer without a body"
    return result


def refused(response: Response[T | Problem], status: HTTPStatus, code: str) -> Problem:
    """The problem an operation must have answered with."""
    assert response.status_code == status, response
    assert isinstance(response.parsed, Problem)
    assert response.parsed.code == code, response.parsed
    return response.parsed


# Register, log in, who am I.
anyone = Client(base_url=URL, raise_on_unexpected_status=True)
account = answered(
    register.sync(client=anyone, body=NewAccount(email=EMAIL, password=PASSWORD, display_name="Python"))
)
assert account.role == "user"
pair = answered(login.sync(client=anyone, body=Credentials(email=EMAIL, password=PASSWORD)))
me = AuthenticatedClient(base_url=URL, token=pair.access_token, raise_on_unexpected_status=True)
assert answered(get_me.sync(client=me)).id == account.id

# Create; `published` has a default and can be left out.
made = create_post.sync_detailed(client=me, body=NewPost(title="Post 0", body="The first."))
first = answered(made.parsed)
assert not first.published
assert made.headers["Location"] == f"/api/v1/posts/{first.id}"

# Read, and read again what has not changed.
read = get_post.sync_detailed(first.id, client=me)
assert answered(read.parsed) == first
tag = read.headers["ETag"]
assert tag == made.headers["ETag"]
again = get_post.sync_detailed(first.id, client=me.with_headers({"If-None-Match": tag}))
assert again.status_code == HTTPStatus.NOT_MODIFIED

# Change it, once: the second change names a state that is gone.
me = AuthenticatedClient(base_url=URL, token=pair.access_token, raise_on_unexpected_status=True)
changed = answered(update_post.sync(first.id, client=me, body=PostPatch(published=True), if_match=tag))
assert changed.published and changed.title == "Post 0"
late = update_post.sync_detailed(first.id, client=me, body=PostPatch(title="Lost"), if_match=tag)
refused(late, HTTPStatus.PRECONDITION_FAILED, "precondition_failed")

# List with a filter in brackets and cursors, to the end.
for number in range(1, 7):
    answered(create_post.sync(client=me, body=NewPost(title=f"Post {number}", body="More.", published=True)))
titles = []
pages = 0
cursor: str | Unset | None = UNSET
while cursor is not None:
    page = answered(
        list_posts.sync(
            client=me,
            author_id=account.id,
            created_at_gte=first.created_at,
            title_in="Post 1,Post 2,Post 3,Post 4,Post 5",
            sort="-title,created_at",
            limit=2,
            total=True,
            cursor=cursor,
        )
    )
    assert page.total == 5
    titles += [item.title for item in page.items]
    cursor = page.next_cursor
    pages += 1
assert titles == ["Post 5", "Post 4", "Post 3", "Post 2", "Post 1"], titles
assert pages == 3

# Some fields: a part, not a whole post.
part = answered(get_post.sync(first.id, client=me, fields="id,title"))
assert isinstance(part, PostPart) and not isinstance(part, PostView)
assert part.title == "Post 0" and part.body is UNSET

# Every fault of a bad body, with its types.
bad = create_post.sync_detailed(client=me, body=NewPost(title="", body="x" * 100_001))
problem = refused(bad, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request")
assert not isinstance(problem.errors, Unset)
faults = [(fault.in_, fault.pointer, fault.code) for fault in problem.errors]
assert faults == [("body", "/body", "length"), ("body", "/title", "length")], faults

# Delete; then it is not there.
assert delete_post.sync_detailed(first.id, client=me).status_code == HTTPStatus.NO_CONTENT
refused(get_post.sync_detailed(first.id, client=me), HTTPStatus.NOT_FOUND, "post_not_found")

print("the Python client: a round trip passed")
