from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.user_entry_page import UserEntryPage
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    cursor: str | Unset = UNSET,
    display_name_starts_with: str | Unset = UNSET,
    email: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    role: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["display_name[starts_with]"] = display_name_starts_with

    params["email"] = email

    params["limit"] = limit

    params["role"] = role

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/users",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | Problem | UserEntryPage | None:
    if response.status_code == 200:
        response_200 = UserEntryPage.from_dict(response.json())

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

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

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
) -> Response[Any | Problem | UserEntryPage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    display_name_starts_with: str | Unset = UNSET,
    email: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    role: str | Unset = UNSET,
) -> Response[Any | Problem | UserEntryPage]:
    """List users

     Newest first. Administrators alone may. With a filter a part may be shorter than `limit` though
    another follows.

    Args:
        cursor (str | Unset):
        display_name_starts_with (str | Unset):
        email (str | Unset):
        limit (int | Unset):
        role (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem | UserEntryPage]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        display_name_starts_with=display_name_starts_with,
        email=email,
        limit=limit,
        role=role,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    display_name_starts_with: str | Unset = UNSET,
    email: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    role: str | Unset = UNSET,
) -> Any | Problem | UserEntryPage | None:
    """List users

     Newest first. Administrators alone may. With a filter a part may be shorter than `limit` though
    another follows.

    Args:
        cursor (str | Unset):
        display_name_starts_with (str | Unset):
        email (str | Unset):
        limit (int | Unset):
        role (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem | UserEntryPage
    """

    return sync_detailed(
        client=client,
        cursor=cursor,
        display_name_starts_with=display_name_starts_with,
        email=email,
        limit=limit,
        role=role,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    display_name_starts_with: str | Unset = UNSET,
    email: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    role: str | Unset = UNSET,
) -> Response[Any | Problem | UserEntryPage]:
    """List users

     Newest first. Administrators alone may. With a filter a part may be shorter than `limit` though
    another follows.

    Args:
        cursor (str | Unset):
        display_name_starts_with (str | Unset):
        email (str | Unset):
        limit (int | Unset):
        role (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem | UserEntryPage]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        display_name_starts_with=display_name_starts_with,
        email=email,
        limit=limit,
        role=role,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    display_name_starts_with: str | Unset = UNSET,
    email: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    role: str | Unset = UNSET,
) -> Any | Problem | UserEntryPage | None:
    """List users

     Newest first. Administrators alone may. With a filter a part may be shorter than `limit` though
    another follows.

    Args:
        cursor (str | Unset):
        display_name_starts_with (str | Unset):
        email (str | Unset):
        limit (int | Unset):
        role (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem | UserEntryPage
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            display_name_starts_with=display_name_starts_with,
            email=email,
            limit=limit,
            role=role,
        )
    ).parsed
