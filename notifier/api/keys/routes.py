"""`/v1/keys`: the service's own API keys. A key itself is shown once, in the reply that makes it."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields, pagination
from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.body.model_reader import read_model, read_optional_model
from notifier.api.body.request_model import RequestModel
from notifier.api.dependencies import Dependencies
from notifier.api.notifications.change_routes import document_body, open_change_transaction
from notifier.api.request_audit import AuditDependency
from notifier.auth import key_admin
from notifier.auth.authenticated_key import Caller, NewKey
from notifier.auth.key_admin import KeyView
from notifier.auth.key_scope import DEFAULT_SCOPES, SERVICE_SCOPES, KeyScope
from notifier.errors import Fault, InvalidRequestError
from notifier.states import KeyKind

MAX_LIFETIME = timedelta(days=36_500)
"""Who wants more leaves the end out."""

router = APIRouter(prefix="/v1/keys", tags=["keys"])
_ServiceScope = Annotated[
    KeyScope, Field(strict=False, json_schema_extra={"enum": [one.value for one in SERVICE_SCOPES]})
]


class KeyIn(RequestModel):
    """A new key of this service."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=key_admin.MAX_KEY_NAME_LENGTH, description="By which you know it again.")
    kind: KeyKind = Field(
        KeyKind.LIVE, strict=False, description="`live`; `team`: mails your own people only; `test`: mails nobody."
    )
    scopes: list[_ServiceScope] = Field(
        default_factory=lambda: list(DEFAULT_SCOPES),
        min_length=1,
        max_length=len(KeyScope),
        description="What it may do; none that your own key lacks.",
    )
    expires_at: fields.Time | None = Field(
        None,
        description="From then on it is not valid; in the next hundred years, and no later than your own key. "
        "Default: as long as your own key.",
        examples=["2099-12-31T23:59:59Z"],
    )
    rate_per_minute: fields.PositiveWholeNumber | None = Field(
        None, description="Notifications, at most those of your own key; default: as your own key."
    )


class RotateIn(RequestModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: fields.WholeNumber = Field(
        int(key_admin.DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(key_admin.MAX_OVERLAP.total_seconds()),
        description="For so long the old key still works.",
    )


class KeyQuery(BaseModel):
    """Which page of which keys."""

    model_config = ConfigDict(extra="forbid")

    limit: pagination.PageLimit = 50
    before: pagination.PageCursor = None
    include_ended: Annotated[bool, Query(description="List those too that were revoked or have expired.")] = False


class KeyOut(BaseModel):
    """A key as it stands, without its secret."""

    id: UUID
    name: str
    prefix: str = Field(description="How the key begins.")
    kind: KeyKind
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To within a minute.")
    replaced_by: UUID | None = Field(description="The key that a rotation has put in its place.")
    rate_per_minute: int | None


class CreatedKeyOut(KeyOut):
    """A key that was just made."""

    key: str = Field(description="The key itself, which is shown here and never again.")


class RotatedOut(CreatedKeyOut):
    """The new key, and when the old one ends."""

    replaces: KeyOut


class KeyPageOut(BaseModel):
    """A page of keys, newest first."""

    keys: list[KeyOut]
    next: UUID | None


@router.get("", response_model=KeyPageOut, operation_id="list_keys", summary="List API keys")
async def list_keys(
    request: Request, response: Response, doors: Dependencies, wanted: Annotated[KeyQuery, Query()]
) -> dict[str, Any]:
    """The service's keys that are valid, or all."""
    caller = await authenticate_service(request, doors, KeyScope.KEYS)
    async with doors.database.read() as connection:
        found = await key_admin.list_keys(
            connection,
            caller.service_id,
            lasting_after=None if wanted.include_ended else doors.clock.now(),
            before=wanted.before,
            limit=wanted.limit + 1,
        )
    page, cursor = pagination.cut_page(request, response, found, wanted.limit)
    return {"keys": [vars(view) for view in page], "next": cursor}


@router.get("/{key_id}", response_model=KeyOut, operation_id="get_key", summary="Get an API key")
async def get_key(request: Request, key_id: str, doors: Dependencies) -> dict[str, Any]:
    """One of them."""
    caller = await authenticate_service(request, doors, KeyScope.KEYS)
    async with doors.database.read() as connection:
        return vars(await key_admin.get_key(connection, caller.service_id, parse_id(key_id, "key")))


@router.post(
    "",
    status_code=201,
    response_model=CreatedKeyOut,
    operation_id="create_key",
    summary="Create an API key",
    openapi_extra=document_body(KeyIn, required=True),
)
async def create_key(
    request: Request, response: Response, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Make a key. It gets no scope, no rate and no end that yours lacks; its mail goes no further: test, team, live."""
    caller = await authenticate_service(request, doors, KeyScope.KEYS)
    wish = _parse_new_key(await read_model(request, KeyIn), caller, doors.clock.now())
    async with open_change_transaction(doors) as connection:
        view, key = await key_admin.add_key(connection, caller.service_id, wish, doors.clock.now())
        await audited(connection, caller, key_admin.created(view))
    _set_new_key_headers(response, view)
    return vars(view) | {"key": key}


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    response_model=RotatedOut,
    operation_id="rotate_key",
    summary="Rotate an API key",
    openapi_extra=document_body(RotateIn, required=False),
)
async def rotate_key(
    request: Request, response: Response, key_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Make a key like this one, which ends after the overlap. 409 if it has ended, or was rotated before.

    The new key ends no later than yours, and has no higher rate.
    """
    caller = await authenticate_service(request, doors, KeyScope.KEYS)
    wanted = await read_optional_model(request, RotateIn)
    id_, now = parse_id(key_id, "key"), doors.clock.now()
    async with open_change_transaction(doors) as connection:
        before = await key_admin.lock_key(connection, caller.service_id, id_)
        # Or whoever may look after keys could have a stronger key's successor.
        wish = key_admin.limit_new_key(caller, key_admin.build_successor(before, now))
        key_admin.require_rotatable(before, now)
        old, new, key = await key_admin.rotate(connection, before, wish, timedelta(seconds=wanted.overlap_seconds), now)
        await audited.record_all(connection, caller, [key_admin.rotated(before, old), key_admin.created(new)])
    _set_new_key_headers(response, new)
    return vars(new) | {"key": key, "replaces": vars(old)}


@router.delete("/{key_id}", response_model=KeyOut, operation_id="revoke_key", summary="Revoke an API key")
async def revoke_key(request: Request, key_id: str, doors: Dependencies, audited: AuditDependency) -> dict[str, Any]:
    """End a key of your own kind or a weaker one for good, felt everywhere within a second; twice is no error."""
    caller = await authenticate_service(request, doors, KeyScope.KEYS)
    id_ = parse_id(key_id, "key")
    async with open_change_transaction(doors) as connection:
        before = await key_admin.lock_key(connection, caller.service_id, id_)
        key_admin.require_reach(caller, before.kind)
        after = await key_admin.revoke(connection, before, doors.clock.now())
        await audited.record_all(connection, caller, [] if after is before else [key_admin.revoked(before, after)])
    return vars(after)


def _set_new_key_headers(response: Response, view: KeyView) -> None:
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    response.headers["Cache-Control"] = "no-store"


def _parse_new_key(wanted: KeyIn, caller: Caller, now: datetime) -> NewKey:
    """The request in the domain's words, within what the caller has. Raises as `limit_wish`, or for each fault."""
    ends = wanted.expires_at
    if ends is not None and ends.tzinfo is None:
        raise InvalidRequestError([Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00")])
    if ends is not None and not now < ends <= now + MAX_LIFETIME:
        raise InvalidRequestError([Fault("/expires_at", "time_out_of_range", "after now, and at most a hundred years")])
    wish = NewKey(
        name=wanted.name,
        kind=wanted.kind,
        scopes=tuple(wanted.scopes),
        expires_at=ends,
        rate_per_minute=wanted.rate_per_minute,
    )
    limited = key_admin.limit_new_key(caller, wish)
    if ends is not None and limited.expires_at != ends:
        detail = f"your own key ends at {limited.expires_at}, and a key that it makes ends no later"
        raise InvalidRequestError([Fault("/expires_at", "time_out_of_range", detail)])
    return limited
