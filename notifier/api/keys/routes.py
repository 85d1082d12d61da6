"""`/v1/keys`: the service's API keys, or all; `/v1/team-recipients`: whom its team keys may mail; `/v1/whoami`.

A key itself is shown once, in the reply to its creation.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

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
from notifier.api.service_choice import ServiceName, authenticate_chooser
from notifier.api.services.recipients import normalise_recipients
from notifier.auth import key_admin, key_lookup, service_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES, SERVICE_SCOPES, Caller, KeyScope
from notifier.auth.authenticator import get_key_prefix
from notifier.auth.key_admin import NewKey
from notifier.auth.key_lookup import KeyView
from notifier.auth.service_admin import ServiceChanges
from notifier.errors import Fault, InvalidRequestError
from notifier.states import KeyKind

router = APIRouter(prefix="/v1", tags=["keys"])


@router.get("/keys", response_model=models.KeyPageOut, summary="List API keys")
async def list_keys(request: Request, response: Response, query: Annotated[models.KeyQuery, Query()]) -> dict[str, Any]:
    """List the service's valid keys, or all. With an admin key: those of the service that it names, or of everybody."""
    dependencies = get_dependencies(request)
    _, service_id = await authenticate_chooser(request, KeyScope.KEYS, query.service)
    async with dependencies.database.read() as connection:
        keys = await key_lookup.list_keys(
            connection,
            service_id,
            lasting_after=None if query.include_ended else dependencies.clock.now(),
            before=query.before,
            limit=query.limit + 1,
        )
    page, cursor = pagination.cut_page(request, response, keys, query.limit)
    return {"keys": [vars(view) for view in page], "next": cursor}


@router.get("/keys/{key_id}", response_model=models.KeyOut, summary="Get an API key")
async def get_key(request: Request, key_id: str) -> dict[str, Any]:
    """Get a key of the service, or with an admin key any, by its id or its prefix."""
    _, service_id = await authenticate_chooser(request, KeyScope.KEYS, None)
    async with get_dependencies(request).database.read() as connection:
        return vars(await key_lookup.find_key(connection, service_id, _parse_key_name(key_id)))


@router.post(
    "/keys",
    status_code=201,
    response_model=models.CreatedKeyOut,
    summary="Create an API key",
    openapi_extra=document_body(models.KeyIn),
)
async def create_key(
    request: Request, response: Response, audit: AuditDependency, service: ServiceName = None
) -> dict[str, Any]:
    """Create a key that is not stronger than yours: in scopes, kind (test, team, live), rate and end.

    With an admin key: a key of the service that it names, else an admin key.
    """
    caller, service_id = await authenticate_chooser(request, KeyScope.KEYS, service)
    body = await read_model(request, models.KeyIn)
    new_key = _parse_new_key(body, get_dependencies(request).clock.now(), is_admin=service_id is None)
    async with open_change_transaction(request) as connection:
        view, key = await key_admin.create_key(
            connection, service_id, new_key, actor=audit.get_actor(caller), limited_by=caller
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

    The new key ends no later than yours, and its rate is no higher. The path has the id or the prefix of the key.
    """
    caller, _ = await authenticate_chooser(request, KeyScope.KEYS, None)
    body = await read_optional_model(request, models.RotateIn)
    which, overlap = _parse_key_name(key_id), timedelta(seconds=body.overlap_seconds)
    async with open_change_transaction(request) as connection:
        old, new, key = await key_admin.rotate_key(
            connection, which, actor=audit.get_actor(caller), overlap=overlap, limited_by=caller
        )
    _set_new_key_headers(response, new)
    return vars(new) | {"key": key, "replaces": vars(old)}


@router.delete("/keys/{key_id}", response_model=models.KeyOut, summary="Revoke an API key")
async def revoke_key(request: Request, key_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Revoke a key of your own kind or a weaker one, by its id or prefix.

    Every process refuses it within a second; twice is no error.
    """
    caller, _ = await authenticate_chooser(request, KeyScope.KEYS, None)
    which = _parse_key_name(key_id)
    async with open_change_transaction(request) as connection:
        return vars(await key_admin.revoke_key(connection, which, actor=audit.get_actor(caller), limited_by=caller))


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
    team = normalise_recipients((await read_model(request, models.TeamIn)).recipients, "/recipients")
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
        view = await key_lookup.get_key(connection, caller.service_id if caller else None, key.key_id)
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


def _parse_key_name(text: str) -> UUID | str:
    """Parse the id or the prefix of a key. Raises `NotFoundError` for anything else."""
    return get_key_prefix(text) or parse_id(text, "key")


def _parse_new_key(body: models.KeyIn, now: datetime, *, is_admin: bool) -> NewKey:
    faults = fields.check_expiry(body.expires_at, now)
    allowed = tuple(KeyScope) if is_admin else SERVICE_SCOPES
    faults += [
        Fault(f"/scopes/{index}", "invalid_value", f"only an admin key can have {scope.value}")
        for index, scope in enumerate(body.scopes)
        if scope not in allowed
    ]
    if is_admin and body.kind is not KeyKind.LIVE:
        faults.append(Fault("/kind", "invalid_value", "an admin key sends no mail: it is always live"))
    if faults:
        raise InvalidRequestError(faults)
    scopes = ADMIN_SCOPES if is_admin and "scopes" not in body.model_fields_set else tuple(body.scopes)
    return NewKey(**body.model_dump() | {"scopes": scopes})
