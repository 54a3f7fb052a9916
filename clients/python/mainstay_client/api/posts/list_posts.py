import datetime
from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.post_page import PostPage
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    fields: str | Unset = UNSET,
    include: str | Unset = UNSET,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
    total: bool | Unset = False,
    sort: str | Unset = UNSET,
    id: str | Unset = UNSET,
    id_ne: str | Unset = UNSET,
    id_gt: str | Unset = UNSET,
    id_gte: str | Unset = UNSET,
    id_lt: str | Unset = UNSET,
    id_lte: str | Unset = UNSET,
    id_in: str | Unset = UNSET,
    author_id: str | Unset = UNSET,
    author_id_ne: str | Unset = UNSET,
    author_id_gt: str | Unset = UNSET,
    author_id_gte: str | Unset = UNSET,
    author_id_lt: str | Unset = UNSET,
    author_id_lte: str | Unset = UNSET,
    author_id_in: str | Unset = UNSET,
    title: str | Unset = UNSET,
    title_ne: str | Unset = UNSET,
    title_gt: str | Unset = UNSET,
    title_gte: str | Unset = UNSET,
    title_lt: str | Unset = UNSET,
    title_lte: str | Unset = UNSET,
    title_in: str | Unset = UNSET,
    title_starts_with: str | Unset = UNSET,
    published: bool | Unset = UNSET,
    published_ne: bool | Unset = UNSET,
    created_at: datetime.datetime | Unset = UNSET,
    created_at_ne: datetime.datetime | Unset = UNSET,
    created_at_gt: datetime.datetime | Unset = UNSET,
    created_at_gte: datetime.datetime | Unset = UNSET,
    created_at_lt: datetime.datetime | Unset = UNSET,
    created_at_lte: datetime.datetime | Unset = UNSET,
    created_at_in: str | Unset = UNSET,
    updated_at: datetime.datetime | Unset = UNSET,
    updated_at_ne: datetime.datetime | Unset = UNSET,
    updated_at_gt: datetime.datetime | Unset = UNSET,
    updated_at_gte: datetime.datetime | Unset = UNSET,
    updated_at_lt: datetime.datetime | Unset = UNSET,
    updated_at_lte: datetime.datetime | Unset = UNSET,
    updated_at_in: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["fields"] = fields

    params["include"] = include

    params["limit"] = limit

    params["cursor"] = cursor

    params["total"] = total

    params["sort"] = sort

    params["id"] = id

    params["id[ne]"] = id_ne

    params["id[gt]"] = id_gt

    params["id[gte]"] = id_gte

    params["id[lt]"] = id_lt

    params["id[lte]"] = id_lte

    params["id[in]"] = id_in

    params["author_id"] = author_id

    params["author_id[ne]"] = author_id_ne

    params["author_id[gt]"] = author_id_gt

    params["author_id[gte]"] = author_id_gte

    params["author_id[lt]"] = author_id_lt

    params["author_id[lte]"] = author_id_lte

    params["author_id[in]"] = author_id_in

    params["title"] = title

    params["title[ne]"] = title_ne

    params["title[gt]"] = title_gt

    params["title[gte]"] = title_gte

    params["title[lt]"] = title_lt

    params["title[lte]"] = title_lte

    params["title[in]"] = title_in

    params["title[starts_with]"] = title_starts_with

    params["published"] = published

    params["published[ne]"] = published_ne

    json_created_at: str | Unset = UNSET
    if not isinstance(created_at, Unset):
        json_created_at = created_at.isoformat()
    params["created_at"] = json_created_at

    json_created_at_ne: str | Unset = UNSET
    if not isinstance(created_at_ne, Unset):
        json_created_at_ne = created_at_ne.isoformat()
    params["created_at[ne]"] = json_created_at_ne

    json_created_at_gt: str | Unset = UNSET
    if not isinstance(created_at_gt, Unset):
        json_created_at_gt = created_at_gt.isoformat()
    params["created_at[gt]"] = json_created_at_gt

    json_created_at_gte: str | Unset = UNSET
    if not isinstance(created_at_gte, Unset):
        json_created_at_gte = created_at_gte.isoformat()
    params["created_at[gte]"] = json_created_at_gte

    json_created_at_lt: str | Unset = UNSET
    if not isinstance(created_at_lt, Unset):
        json_created_at_lt = created_at_lt.isoformat()
    params["created_at[lt]"] = json_created_at_lt

    json_created_at_lte: str | Unset = UNSET
    if not isinstance(created_at_lte, Unset):
        json_created_at_lte = created_at_lte.isoformat()
    params["created_at[lte]"] = json_created_at_lte

    params["created_at[in]"] = created_at_in

    json_updated_at: str | Unset = UNSET
    if not isinstance(updated_at, Unset):
        json_updated_at = updated_at.isoformat()
    params["updated_at"] = json_updated_at

    json_updated_at_ne: str | Unset = UNSET
    if not isinstance(updated_at_ne, Unset):
        json_updated_at_ne = updated_at_ne.isoformat()
    params["updated_at[ne]"] = json_updated_at_ne

    json_updated_at_gt: str | Unset = UNSET
    if not isinstance(updated_at_gt, Unset):
        json_updated_at_gt = updated_at_gt.isoformat()
    params["updated_at[gt]"] = json_updated_at_gt

    json_updated_at_gte: str | Unset = UNSET
    if not isinstance(updated_at_gte, Unset):
        json_updated_at_gte = updated_at_gte.isoformat()
    params["updated_at[gte]"] = json_updated_at_gte

    json_updated_at_lt: str | Unset = UNSET
    if not isinstance(updated_at_lt, Unset):
        json_updated_at_lt = updated_at_lt.isoformat()
    params["updated_at[lt]"] = json_updated_at_lt

    json_updated_at_lte: str | Unset = UNSET
    if not isinstance(updated_at_lte, Unset):
        json_updated_at_lte = updated_at_lte.isoformat()
    params["updated_at[lte]"] = json_updated_at_lte

    params["updated_at[in]"] = updated_at_in

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/posts",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | PostPage | Problem | None:
    if response.status_code == 200:
        response_200 = PostPage.from_dict(response.json())

        return response_200

    if response.status_code == 304:
        response_304 = cast(Any, None)
        return response_304

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 431:
        response_431 = Problem.from_dict(response.json())

        return response_431

    if response.status_code == 500:
        response_500 = Problem.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if response.status_code == 507:
        response_507 = Problem.from_dict(response.json())

        return response_507

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Any | PostPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    fields: str | Unset = UNSET,
    include: str | Unset = UNSET,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
    total: bool | Unset = False,
    sort: str | Unset = UNSET,
    id: str | Unset = UNSET,
    id_ne: str | Unset = UNSET,
    id_gt: str | Unset = UNSET,
    id_gte: str | Unset = UNSET,
    id_lt: str | Unset = UNSET,
    id_lte: str | Unset = UNSET,
    id_in: str | Unset = UNSET,
    author_id: str | Unset = UNSET,
    author_id_ne: str | Unset = UNSET,
    author_id_gt: str | Unset = UNSET,
    author_id_gte: str | Unset = UNSET,
    author_id_lt: str | Unset = UNSET,
    author_id_lte: str | Unset = UNSET,
    author_id_in: str | Unset = UNSET,
    title: str | Unset = UNSET,
    title_ne: str | Unset = UNSET,
    title_gt: str | Unset = UNSET,
    title_gte: str | Unset = UNSET,
    title_lt: str | Unset = UNSET,
    title_lte: str | Unset = UNSET,
    title_in: str | Unset = UNSET,
    title_starts_with: str | Unset = UNSET,
    published: bool | Unset = UNSET,
    published_ne: bool | Unset = UNSET,
    created_at: datetime.datetime | Unset = UNSET,
    created_at_ne: datetime.datetime | Unset = UNSET,
    created_at_gt: datetime.datetime | Unset = UNSET,
    created_at_gte: datetime.datetime | Unset = UNSET,
    created_at_lt: datetime.datetime | Unset = UNSET,
    created_at_lte: datetime.datetime | Unset = UNSET,
    created_at_in: str | Unset = UNSET,
    updated_at: datetime.datetime | Unset = UNSET,
    updated_at_ne: datetime.datetime | Unset = UNSET,
    updated_at_gt: datetime.datetime | Unset = UNSET,
    updated_at_gte: datetime.datetime | Unset = UNSET,
    updated_at_lt: datetime.datetime | Unset = UNSET,
    updated_at_lte: datetime.datetime | Unset = UNSET,
    updated_at_in: str | Unset = UNSET,
) -> Response[Any | PostPage | Problem]:
    """List posts

     Anyone sees those with `published`; their owner sees the others too, and administrators any by its
    id.

    Args:
        fields (str | Unset):
        include (str | Unset):
        limit (int | Unset):  Default: 20.
        cursor (str | Unset):
        total (bool | Unset):  Default: False.
        sort (str | Unset):
        id (str | Unset):
        id_ne (str | Unset):
        id_gt (str | Unset):
        id_gte (str | Unset):
        id_lt (str | Unset):
        id_lte (str | Unset):
        id_in (str | Unset):
        author_id (str | Unset):
        author_id_ne (str | Unset):
        author_id_gt (str | Unset):
        author_id_gte (str | Unset):
        author_id_lt (str | Unset):
        author_id_lte (str | Unset):
        author_id_in (str | Unset):
        title (str | Unset):
        title_ne (str | Unset):
        title_gt (str | Unset):
        title_gte (str | Unset):
        title_lt (str | Unset):
        title_lte (str | Unset):
        title_in (str | Unset):
        title_starts_with (str | Unset):
        published (bool | Unset):
        published_ne (bool | Unset):
        created_at (datetime.datetime | Unset):
        created_at_ne (datetime.datetime | Unset):
        created_at_gt (datetime.datetime | Unset):
        created_at_gte (datetime.datetime | Unset):
        created_at_lt (datetime.datetime | Unset):
        created_at_lte (datetime.datetime | Unset):
        created_at_in (str | Unset):
        updated_at (datetime.datetime | Unset):
        updated_at_ne (datetime.datetime | Unset):
        updated_at_gt (datetime.datetime | Unset):
        updated_at_gte (datetime.datetime | Unset):
        updated_at_lt (datetime.datetime | Unset):
        updated_at_lte (datetime.datetime | Unset):
        updated_at_in (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | PostPage | Problem]
    """

    kwargs = _get_kwargs(
        fields=fields,
        include=include,
        limit=limit,
        cursor=cursor,
        total=total,
        sort=sort,
        id=id,
        id_ne=id_ne,
        id_gt=id_gt,
        id_gte=id_gte,
        id_lt=id_lt,
        id_lte=id_lte,
        id_in=id_in,
        author_id=author_id,
        author_id_ne=author_id_ne,
        author_id_gt=author_id_gt,
        author_id_gte=author_id_gte,
        author_id_lt=author_id_lt,
        author_id_lte=author_id_lte,
        author_id_in=author_id_in,
        title=title,
        title_ne=title_ne,
        title_gt=title_gt,
        title_gte=title_gte,
        title_lt=title_lt,
        title_lte=title_lte,
        title_in=title_in,
        title_starts_with=title_starts_with,
        published=published,
        published_ne=published_ne,
        created_at=created_at,
        created_at_ne=created_at_ne,
        created_at_gt=created_at_gt,
        created_at_gte=created_at_gte,
        created_at_lt=created_at_lt,
        created_at_lte=created_at_lte,
        created_at_in=created_at_in,
        updated_at=updated_at,
        updated_at_ne=updated_at_ne,
        updated_at_gt=updated_at_gt,
        updated_at_gte=updated_at_gte,
        updated_at_lt=updated_at_lt,
        updated_at_lte=updated_at_lte,
        updated_at_in=updated_at_in,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    fields: str | Unset = UNSET,
    include: str | Unset = UNSET,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
    total: bool | Unset = False,
    sort: str | Unset = UNSET,
    id: str | Unset = UNSET,
    id_ne: str | Unset = UNSET,
    id_gt: str | Unset = UNSET,
    id_gte: str | Unset = UNSET,
    id_lt: str | Unset = UNSET,
    id_lte: str | Unset = UNSET,
    id_in: str | Unset = UNSET,
    author_id: str | Unset = UNSET,
    author_id_ne: str | Unset = UNSET,
    author_id_gt: str | Unset = UNSET,
    author_id_gte: str | Unset = UNSET,
    author_id_lt: str | Unset = UNSET,
    author_id_lte: str | Unset = UNSET,
    author_id_in: str | Unset = UNSET,
    title: str | Unset = UNSET,
    title_ne: str | Unset = UNSET,
    title_gt: str | Unset = UNSET,
    title_gte: str | Unset = UNSET,
    title_lt: str | Unset = UNSET,
    title_lte: str | Unset = UNSET,
    title_in: str | Unset = UNSET,
    title_starts_with: str | Unset = UNSET,
    published: bool | Unset = UNSET,
    published_ne: bool | Unset = UNSET,
    created_at: datetime.datetime | Unset = UNSET,
    created_at_ne: datetime.datetime | Unset = UNSET,
    created_at_gt: datetime.datetime | Unset = UNSET,
    created_at_gte: datetime.datetime | Unset = UNSET,
    created_at_lt: datetime.datetime | Unset = UNSET,
    created_at_lte: datetime.datetime | Unset = UNSET,
    created_at_in: str | Unset = UNSET,
    updated_at: datetime.datetime | Unset = UNSET,
    updated_at_ne: datetime.datetime | Unset = UNSET,
    updated_at_gt: datetime.datetime | Unset = UNSET,
    updated_at_gte: datetime.datetime | Unset = UNSET,
    updated_at_lt: datetime.datetime | Unset = UNSET,
    updated_at_lte: datetime.datetime | Unset = UNSET,
    updated_at_in: str | Unset = UNSET,
) -> Any | PostPage | Problem | None:
    """List posts

     Anyone sees those with `published`; their owner sees the others too, and administrators any by its
    id.

    Args:
        fields (str | Unset):
        include (str | Unset):
        limit (int | Unset):  Default: 20.
        cursor (str | Unset):
        total (bool | Unset):  Default: False.
        sort (str | Unset):
        id (str | Unset):
        id_ne (str | Unset):
        id_gt (str | Unset):
        id_gte (str | Unset):
        id_lt (str | Unset):
        id_lte (str | Unset):
        id_in (str | Unset):
        author_id (str | Unset):
        author_id_ne (str | Unset):
        author_id_gt (str | Unset):
        author_id_gte (str | Unset):
        author_id_lt (str | Unset):
        author_id_lte (str | Unset):
        author_id_in (str | Unset):
        title (str | Unset):
        title_ne (str | Unset):
        title_gt (str | Unset):
        title_gte (str | Unset):
        title_lt (str | Unset):
        title_lte (str | Unset):
        title_in (str | Unset):
        title_starts_with (str | Unset):
        published (bool | Unset):
        published_ne (bool | Unset):
        created_at (datetime.datetime | Unset):
        created_at_ne (datetime.datetime | Unset):
        created_at_gt (datetime.datetime | Unset):
        created_at_gte (datetime.datetime | Unset):
        created_at_lt (datetime.datetime | Unset):
        created_at_lte (datetime.datetime | Unset):
        created_at_in (str | Unset):
        updated_at (datetime.datetime | Unset):
        updated_at_ne (datetime.datetime | Unset):
        updated_at_gt (datetime.datetime | Unset):
        updated_at_gte (datetime.datetime | Unset):
        updated_at_lt (datetime.datetime | Unset):
        updated_at_lte (datetime.datetime | Unset):
        updated_at_in (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | PostPage | Problem
    """

    return sync_detailed(
        client=client,
        fields=fields,
        include=include,
        limit=limit,
        cursor=cursor,
        total=total,
        sort=sort,
        id=id,
        id_ne=id_ne,
        id_gt=id_gt,
        id_gte=id_gte,
        id_lt=id_lt,
        id_lte=id_lte,
        id_in=id_in,
        author_id=author_id,
        author_id_ne=author_id_ne,
        author_id_gt=author_id_gt,
        author_id_gte=author_id_gte,
        author_id_lt=author_id_lt,
        author_id_lte=author_id_lte,
        author_id_in=author_id_in,
        title=title,
        title_ne=title_ne,
        title_gt=title_gt,
        title_gte=title_gte,
        title_lt=title_lt,
        title_lte=title_lte,
        title_in=title_in,
        title_starts_with=title_starts_with,
        published=published,
        published_ne=published_ne,
        created_at=created_at,
        created_at_ne=created_at_ne,
        created_at_gt=created_at_gt,
        created_at_gte=created_at_gte,
        created_at_lt=created_at_lt,
        created_at_lte=created_at_lte,
        created_at_in=created_at_in,
        updated_at=updated_at,
        updated_at_ne=updated_at_ne,
        updated_at_gt=updated_at_gt,
        updated_at_gte=updated_at_gte,
        updated_at_lt=updated_at_lt,
        updated_at_lte=updated_at_lte,
        updated_at_in=updated_at_in,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    fields: str | Unset = UNSET,
    include: str | Unset = UNSET,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
    total: bool | Unset = False,
    sort: str | Unset = UNSET,
    id: str | Unset = UNSET,
    id_ne: str | Unset = UNSET,
    id_gt: str | Unset = UNSET,
    id_gte: str | Unset = UNSET,
    id_lt: str | Unset = UNSET,
    id_lte: str | Unset = UNSET,
    id_in: str | Unset = UNSET,
    author_id: str | Unset = UNSET,
    author_id_ne: str | Unset = UNSET,
    author_id_gt: str | Unset = UNSET,
    author_id_gte: str | Unset = UNSET,
    author_id_lt: str | Unset = UNSET,
    author_id_lte: str | Unset = UNSET,
    author_id_in: str | Unset = UNSET,
    title: str | Unset = UNSET,
    title_ne: str | Unset = UNSET,
    title_gt: str | Unset = UNSET,
    title_gte: str | Unset = UNSET,
    title_lt: str | Unset = UNSET,
    title_lte: str | Unset = UNSET,
    title_in: str | Unset = UNSET,
    title_starts_with: str | Unset = UNSET,
    published: bool | Unset = UNSET,
    published_ne: bool | Unset = UNSET,
    created_at: datetime.datetime | Unset = UNSET,
    created_at_ne: datetime.datetime | Unset = UNSET,
    created_at_gt: datetime.datetime | Unset = UNSET,
    created_at_gte: datetime.datetime | Unset = UNSET,
    created_at_lt: datetime.datetime | Unset = UNSET,
    created_at_lte: datetime.datetime | Unset = UNSET,
    created_at_in: str | Unset = UNSET,
    updated_at: datetime.datetime | Unset = UNSET,
    updated_at_ne: datetime.datetime | Unset = UNSET,
    updated_at_gt: datetime.datetime | Unset = UNSET,
    updated_at_gte: datetime.datetime | Unset = UNSET,
    updated_at_lt: datetime.datetime | Unset = UNSET,
    updated_at_lte: datetime.datetime | Unset = UNSET,
    updated_at_in: str | Unset = UNSET,
) -> Response[Any | PostPage | Problem]:
    """List posts

     Anyone sees those with `published`; their owner sees the others too, and administrators any by its
    id.

    Args:
        fields (str | Unset):
        include (str | Unset):
        limit (int | Unset):  Default: 20.
        cursor (str | Unset):
        total (bool | Unset):  Default: False.
        sort (str | Unset):
        id (str | Unset):
        id_ne (str | Unset):
        id_gt (str | Unset):
        id_gte (str | Unset):
        id_lt (str | Unset):
        id_lte (str | Unset):
        id_in (str | Unset):
        author_id (str | Unset):
        author_id_ne (str | Unset):
        author_id_gt (str | Unset):
        author_id_gte (str | Unset):
        author_id_lt (str | Unset):
        author_id_lte (str | Unset):
        author_id_in (str | Unset):
        title (str | Unset):
        title_ne (str | Unset):
        title_gt (str | Unset):
        title_gte (str | Unset):
        title_lt (str | Unset):
        title_lte (str | Unset):
        title_in (str | Unset):
        title_starts_with (str | Unset):
        published (bool | Unset):
        published_ne (bool | Unset):
        created_at (datetime.datetime | Unset):
        created_at_ne (datetime.datetime | Unset):
        created_at_gt (datetime.datetime | Unset):
        created_at_gte (datetime.datetime | Unset):
        created_at_lt (datetime.datetime | Unset):
        created_at_lte (datetime.datetime | Unset):
        created_at_in (str | Unset):
        updated_at (datetime.datetime | Unset):
        updated_at_ne (datetime.datetime | Unset):
        updated_at_gt (datetime.datetime | Unset):
        updated_at_gte (datetime.datetime | Unset):
        updated_at_lt (datetime.datetime | Unset):
        updated_at_lte (datetime.datetime | Unset):
        updated_at_in (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | PostPage | Problem]
    """

    kwargs = _get_kwargs(
        fields=fields,
        include=include,
        limit=limit,
        cursor=cursor,
        total=total,
        sort=sort,
        id=id,
        id_ne=id_ne,
        id_gt=id_gt,
        id_gte=id_gte,
        id_lt=id_lt,
        id_lte=id_lte,
        id_in=id_in,
        author_id=author_id,
        author_id_ne=author_id_ne,
        author_id_gt=author_id_gt,
        author_id_gte=author_id_gte,
        author_id_lt=author_id_lt,
        author_id_lte=author_id_lte,
        author_id_in=author_id_in,
        title=title,
        title_ne=title_ne,
        title_gt=title_gt,
        title_gte=title_gte,
        title_lt=title_lt,
        title_lte=title_lte,
        title_in=title_in,
        title_starts_with=title_starts_with,
        published=published,
        published_ne=published_ne,
        created_at=created_at,
        created_at_ne=created_at_ne,
        created_at_gt=created_at_gt,
        created_at_gte=created_at_gte,
        created_at_lt=created_at_lt,
        created_at_lte=created_at_lte,
        created_at_in=created_at_in,
        updated_at=updated_at,
        updated_at_ne=updated_at_ne,
        updated_at_gt=updated_at_gt,
        updated_at_gte=updated_at_gte,
        updated_at_lt=updated_at_lt,
        updated_at_lte=updated_at_lte,
        updated_at_in=updated_at_in,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    fields: str | Unset = UNSET,
    include: str | Unset = UNSET,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
    total: bool | Unset = False,
    sort: str | Unset = UNSET,
    id: str | Unset = UNSET,
    id_ne: str | Unset = UNSET,
    id_gt: str | Unset = UNSET,
    id_gte: str | Unset = UNSET,
    id_lt: str | Unset = UNSET,
    id_lte: str | Unset = UNSET,
    id_in: str | Unset = UNSET,
    author_id: str | Unset = UNSET,
    author_id_ne: str | Unset = UNSET,
    author_id_gt: str | Unset = UNSET,
    author_id_gte: str | Unset = UNSET,
    author_id_lt: str | Unset = UNSET,
    author_id_lte: str | Unset = UNSET,
    author_id_in: str | Unset = UNSET,
    title: str | Unset = UNSET,
    title_ne: str | Unset = UNSET,
    title_gt: str | Unset = UNSET,
    title_gte: str | Unset = UNSET,
    title_lt: str | Unset = UNSET,
    title_lte: str | Unset = UNSET,
    title_in: str | Unset = UNSET,
    title_starts_with: str | Unset = UNSET,
    published: bool | Unset = UNSET,
    published_ne: bool | Unset = UNSET,
    created_at: datetime.datetime | Unset = UNSET,
    created_at_ne: datetime.datetime | Unset = UNSET,
    created_at_gt: datetime.datetime | Unset = UNSET,
    created_at_gte: datetime.datetime | Unset = UNSET,
    created_at_lt: datetime.datetime | Unset = UNSET,
    created_at_lte: datetime.datetime | Unset = UNSET,
    created_at_in: str | Unset = UNSET,
    updated_at: datetime.datetime | Unset = UNSET,
    updated_at_ne: datetime.datetime | Unset = UNSET,
    updated_at_gt: datetime.datetime | Unset = UNSET,
    updated_at_gte: datetime.datetime | Unset = UNSET,
    updated_at_lt: datetime.datetime | Unset = UNSET,
    updated_at_lte: datetime.datetime | Unset = UNSET,
    updated_at_in: str | Unset = UNSET,
) -> Any | PostPage | Problem | None:
    """List posts

     Anyone sees those with `published`; their owner sees the others too, and administrators any by its
    id.

    Args:
        fields (str | Unset):
        include (str | Unset):
        limit (int | Unset):  Default: 20.
        cursor (str | Unset):
        total (bool | Unset):  Default: False.
        sort (str | Unset):
        id (str | Unset):
        id_ne (str | Unset):
        id_gt (str | Unset):
        id_gte (str | Unset):
        id_lt (str | Unset):
        id_lte (str | Unset):
        id_in (str | Unset):
        author_id (str | Unset):
        author_id_ne (str | Unset):
        author_id_gt (str | Unset):
        author_id_gte (str | Unset):
        author_id_lt (str | Unset):
        author_id_lte (str | Unset):
        author_id_in (str | Unset):
        title (str | Unset):
        title_ne (str | Unset):
        title_gt (str | Unset):
        title_gte (str | Unset):
        title_lt (str | Unset):
        title_lte (str | Unset):
        title_in (str | Unset):
        title_starts_with (str | Unset):
        published (bool | Unset):
        published_ne (bool | Unset):
        created_at (datetime.datetime | Unset):
        created_at_ne (datetime.datetime | Unset):
        created_at_gt (datetime.datetime | Unset):
        created_at_gte (datetime.datetime | Unset):
        created_at_lt (datetime.datetime | Unset):
        created_at_lte (datetime.datetime | Unset):
        created_at_in (str | Unset):
        updated_at (datetime.datetime | Unset):
        updated_at_ne (datetime.datetime | Unset):
        updated_at_gt (datetime.datetime | Unset):
        updated_at_gte (datetime.datetime | Unset):
        updated_at_lt (datetime.datetime | Unset):
        updated_at_lte (datetime.datetime | Unset):
        updated_at_in (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | PostPage | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            fields=fields,
            include=include,
            limit=limit,
            cursor=cursor,
            total=total,
            sort=sort,
            id=id,
            id_ne=id_ne,
            id_gt=id_gt,
            id_gte=id_gte,
            id_lt=id_lt,
            id_lte=id_lte,
            id_in=id_in,
            author_id=author_id,
            author_id_ne=author_id_ne,
            author_id_gt=author_id_gt,
            author_id_gte=author_id_gte,
            author_id_lt=author_id_lt,
            author_id_lte=author_id_lte,
            author_id_in=author_id_in,
            title=title,
            title_ne=title_ne,
            title_gt=title_gt,
            title_gte=title_gte,
            title_lt=title_lt,
            title_lte=title_lte,
            title_in=title_in,
            title_starts_with=title_starts_with,
            published=published,
            published_ne=published_ne,
            created_at=created_at,
            created_at_ne=created_at_ne,
            created_at_gt=created_at_gt,
            created_at_gte=created_at_gte,
            created_at_lt=created_at_lt,
            created_at_lte=created_at_lte,
            created_at_in=created_at_in,
            updated_at=updated_at,
            updated_at_ne=updated_at_ne,
            updated_at_gt=updated_at_gt,
            updated_at_gte=updated_at_gte,
            updated_at_lt=updated_at_lt,
            updated_at_lte=updated_at_lte,
            updated_at_in=updated_at_in,
        )
    ).parsed
