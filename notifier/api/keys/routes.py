"""`/v1/keys`: the service's own API keys; `/v1/team-recipients`: whom its team keys may mail; `/v1/whoami`.

A key itself is shown once, in the reply to its creation.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier.api import fields, pagination
from notifier.api.dependencies import (
    AuditDependency,
    authenticate_key,
    authenticate_service,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.fields import parse_id
from notifier.api.keys import models
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import Caller, KeyScope
from notifier.auth.key_admin import KeyView, NewKey
from notifier.auth.service_admin import ServiceChanges
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault, InvalidRequestError
from notifier.states import KeyKind

router = APIRouter(prefix="/v1", tags=["keys"])


@router.get("/keys", response_model=models.KeyPageOut, summary="List API keys")
async def list_keys(request: Request, response: Response, query: Annotated[models.KeyQuery, Query()]) -> dict[str, Any]:
    """List the service's valid keys, or all."""
    dependencies = get_dependencies(request)
    caller = await authenticate_service(request, KeyScope.KEYS)
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


@router.get("/keys/{key_id}", response_model=models.KeyOut, summary="Get an API key")
async def get_key(request: Request, key_id: str) -> dict[str, Any]:
    """Get a key of the service."""
    caller = await authenticate_service(request, KeyScope.KEYS)
    async with get_dependencies(request).database.read() as connection:
        return vars(await key_admin.get_key(connection, caller.service_id, parse_id(key_id, "key")))


@router.post(
    "/keys",
    status_code=201,
    response_model=models.CreatedKeyOut,
    summary="Create an API key",
    openapi_extra=document_body(models.KeyIn),
)
async def create_key(request: Request, response: Response, audit: AuditDependency) -> dict[str, Any]:
    """Create a key that is not stronger than yours: in scopes, kind (test, team, live), rate and end."""
    caller = await authenticate_service(request, KeyScope.KEYS)
    new_key = _parse_new_key(await read_model(request, models.KeyIn), get_dependencies(request).clock.now())
    async with open_change_transaction(request) as connection:
        view, key = await key_admin.create_key(
            connection, caller.service_id, new_key, actor=audit.get_actor(caller), limited_by=caller
        )
    _set_new_key_headers(response, view)
    return vars(view) | {"key": key}


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    response_model=models.RotatedOut,
    summary="Rotate an API key",
    openapi_extra=document_body(models.RotateIn, required=False),
)
async def rotate_key(request: Request, response: Response, key_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Create a key like this one, which ends after the overlap. 409 if it has ended, or was rotated before.

    The new key ends no later than yours, and its rate is no higher.
    """
    caller = await authenticate_service(request, KeyScope.KEYS)
    body = await read_optional_model(request, models.RotateIn)
    id_, overlap = parse_id(key_id, "key"), timedelta(seconds=body.overlap_seconds)
    async with open_change_transaction(request) as connection:
        old, new, key = await key_admin.rotate_key(
            connection, id_, actor=audit.get_actor(caller), overlap=overlap, limited_by=caller
        )
    _set_new_key_headers(response, new)
    return vars(new) | {"key": key, "replaces": vars(old)}


@router.delete("/keys/{key_id}", response_model=models.KeyOut, summary="Revoke an API key")
async def revoke_key(request: Request, key_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Revoke a key of your own kind or a weaker one. Every process refuses it within a second; twice is no error."""
    caller = await authenticate_service(request, KeyScope.KEYS)
    id_ = parse_id(key_id, "key")
    async with open_change_transaction(request) as connection:
        return vars(await key_admin.revoke_key(connection, id_, actor=audit.get_actor(caller), limited_by=caller))


@router.put(
    "/team-recipients",
    response_model=models.TeamOut,
    summary="Set the recipients of team keys",
    openapi_extra=document_body(models.TeamIn),
)
async def set_team_recipients(request: Request, audit: AuditDependency) -> dict[str, Any]:
    """Replace the recipients that all team keys of this service may mail. Only a live key may do this."""
    caller = await authenticate_service(request, KeyScope.KEYS)
    caller.require_live("says whom team keys may mail")
    team = _normalise_recipients((await read_model(request, models.TeamIn)).recipients)
    async with open_change_transaction(request) as connection:
        service = await service_admin.update_service(
            connection, caller.service_id, ServiceChanges(team_recipients=team), actor=audit.get_actor(caller)
        )
    return {"recipients": service.team_recipients or []}


@router.get(
    "/whoami",
    response_model=models.WhoamiOut,
    response_model_exclude_unset=True,
    operation_id="whoami",
    summary="Get the API key of this request",
)
async def get_whoami(request: Request) -> dict[str, Any]:
    """Get the key of this request, and what it may do. Every valid key may use this."""
    dependencies = get_dependencies(request)
    key = await authenticate_key(request, None)
    caller = key if isinstance(key, Caller) else None
    async with dependencies.database.read() as connection:
        view = await key_admin.get_key(connection, caller.service_id if caller else None, key.key_id)
    reply = {
        "service": caller.service_name if caller else None,
        "key": vars(view),
        "scopes": view.scopes,
        "limits": {
            "key_per_minute": dependencies.rate_limits.get_key_quota(key) or None,
            "service_per_minute": (dependencies.rate_limits.get_service_quota(caller) or None) if caller else None,
        },
        "from_domains": caller.from_domains if caller else [],
    }
    return reply | (
        {"team_recipients": sorted(caller.team_recipients)} if caller and caller.kind is KeyKind.TEAM else {}
    )


def _set_new_key_headers(response: Response, view: KeyView) -> None:
    response.headers["Location"] = f"{router.prefix}/keys/{view.id}"
    response.headers["Cache-Control"] = "no-store"


def _parse_new_key(body: models.KeyIn, now: datetime) -> NewKey:
    if faults := fields.check_expiry(body.expires_at, now):
        raise InvalidRequestError(faults)
    return NewKey(**body.model_dump() | {"scopes": tuple(body.scopes)})


def _normalise_recipients(texts: list[str]) -> list[str]:
    recipients, faults = [], []
    for index, text in enumerate(texts):
        try:
            recipients.append(service_admin.normalise_team_recipient(text))
        except InvalidAddressError as error:
            faults.append(Fault(f"/recipients/{index}", "invalid_address", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return recipients
