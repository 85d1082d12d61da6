"""`/v1/keys`: the service's own API keys. A key itself is shown once, in the reply to its creation."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier.api import fields, pagination
from notifier.api.dependencies import (
    AuditDependency,
    Dependencies,
    authenticate_service,
    open_change_transaction,
    parse_id,
)
from notifier.api.keys.models import CreatedKeyOut, KeyIn, KeyOut, KeyPageOut, KeyQuery, RotatedOut, RotateIn
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.auth import key_admin
from notifier.auth.key_admin import KeyView
from notifier.auth.key_scope import KeyScope
from notifier.auth.new_key import NewKey
from notifier.errors import InvalidRequestError

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", response_model=KeyPageOut, summary="List API keys")
async def list_keys(
    request: Request, response: Response, dependencies: Dependencies, query: Annotated[KeyQuery, Query()]
) -> dict[str, Any]:
    """List the service's valid keys, or all."""
    caller = await authenticate_service(request, dependencies, KeyScope.KEYS)
    async with dependencies.database.read() as connection:
        keys = await key_admin.list_keys(
            connection,
            caller.service_id,
            lasting_after=None if query.include_ended else dependencies.clock.now(),
            before=query.before,
            limit=query.limit + 1,
        )
    page, cursor = pagination.cut_page(request, response, keys, query.limit)
    return {"keys": [vars(view) for view in page], "next": cursor}


@router.get("/{key_id}", response_model=KeyOut, summary="Get an API key")
async def get_key(request: Request, key_id: str, dependencies: Dependencies) -> dict[str, Any]:
    """Get a key of the service."""
    caller = await authenticate_service(request, dependencies, KeyScope.KEYS)
    async with dependencies.database.read() as connection:
        return vars(await key_admin.get_key(connection, caller.service_id, parse_id(key_id, "key")))


@router.post(
    "",
    status_code=201,
    response_model=CreatedKeyOut,
    summary="Create an API key",
    openapi_extra=document_body(KeyIn, required=True),
)
async def create_key(
    request: Request, response: Response, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Create a key that is not stronger than yours: in scopes, kind (test, team, live), rate and end."""
    caller = await authenticate_service(request, dependencies, KeyScope.KEYS)
    wish = _parse_new_key(await read_model(request, KeyIn), dependencies.clock.now())
    async with open_change_transaction(dependencies) as connection:
        view, key = await key_admin.create_key(
            connection, caller.service_id, wish, actor=audit.get_actor(caller), limited_by=caller
        )
    _set_new_key_headers(response, view)
    return vars(view) | {"key": key}


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    response_model=RotatedOut,
    summary="Rotate an API key",
    openapi_extra=document_body(RotateIn, required=False),
)
async def rotate_key(
    request: Request, response: Response, key_id: str, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Create a key like this one, which ends after the overlap. 409 if it has ended, or was rotated before.

    The new key ends no later than yours, and its rate is no higher.
    """
    caller = await authenticate_service(request, dependencies, KeyScope.KEYS)
    body = await read_optional_model(request, RotateIn)
    id_, overlap = parse_id(key_id, "key"), timedelta(seconds=body.overlap_seconds)
    async with open_change_transaction(dependencies) as connection:
        old, new, key = await key_admin.rotate_key(
            connection, id_, actor=audit.get_actor(caller), overlap=overlap, limited_by=caller
        )
    _set_new_key_headers(response, new)
    return vars(new) | {"key": key, "replaces": vars(old)}


@router.delete("/{key_id}", response_model=KeyOut, summary="Revoke an API key")
async def revoke_key(
    request: Request, key_id: str, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Revoke a key of your own kind or a weaker one. Every process refuses it within a second; twice is no error."""
    caller = await authenticate_service(request, dependencies, KeyScope.KEYS)
    id_ = parse_id(key_id, "key")
    async with open_change_transaction(dependencies) as connection:
        return vars(await key_admin.revoke_key(connection, id_, actor=audit.get_actor(caller), limited_by=caller))


def _set_new_key_headers(response: Response, view: KeyView) -> None:
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    response.headers["Cache-Control"] = "no-store"


def _parse_new_key(body: KeyIn, now: datetime) -> NewKey:
    """Parse the properties of a new key. Raises `InvalidRequestError`."""
    if faults := fields.check_expiry(body.expires_at, now):
        raise InvalidRequestError(faults)
    return NewKey(
        name=body.name,
        kind=body.kind,
        scopes=tuple(body.scopes),
        expires_at=body.expires_at,
        rate_per_minute=body.rate_per_minute,
    )
