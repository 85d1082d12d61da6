"""`/v1/keys`: the service's own API keys. A key itself is shown once, in the reply to its creation."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import paging, value
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import TheDoors
from notifier.api.request import authenticated, id_of
from notifier.api.request_body import read_model, read_model_if_any
from notifier.api.request_model import RequestModel
from notifier.auth import care
from notifier.auth.care import KeyView
from notifier.auth.keys import Wish
from notifier.auth.scope import DEFAULT_SCOPES, SERVICE_SCOPES, Scope
from notifier.errors import InvalidRequestError
from notifier.states import KeyKind

router = APIRouter(prefix="/v1/keys", tags=["keys"])
_Scope = Annotated[Scope, Field(strict=False, json_schema_extra={"enum": [scope.value for scope in SERVICE_SCOPES]})]


class KeyIn(RequestModel):
    """A new key of this service."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=care.LONGEST_NAME, description="A name by which you recognise it.")
    kind: KeyKind = Field(
        KeyKind.LIVE, strict=False, description="`live`; `team`: mails your team only; `test`: mails nobody."
    )
    scopes: list[_Scope] = Field(
        default_factory=lambda: list(DEFAULT_SCOPES),
        min_length=1,
        max_length=len(Scope),
        description="What it may do; only scopes that your own key has.",
    )
    expires_at: value.Time | None = Field(
        None,
        description="The end of its validity, within a hundred years and no later than your own key's end. "
        "Default: that of your own key.",
        examples=["2099-12-31T23:59:59Z"],
    )
    rate_per_minute: value.PositiveWhole | None = Field(
        None, description="Notifications a minute, at most the rate of your own key; default: that rate."
    )


class RotateIn(RequestModel):
    """How a key is rotated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: value.Whole = Field(
        int(care.OVERLAP.total_seconds()),
        ge=0,
        le=int(care.LONGEST_OVERLAP.total_seconds()),
        description="How long the old key still works.",
    )


class Wanted(paging.PageQuery):
    """Which keys are listed."""

    include_ended: Annotated[bool, Query(description="List revoked and expired keys too.")] = False


class KeyOut(BaseModel):
    """A key without its secret."""

    id: UUID
    name: str
    prefix: str = Field(description="The beginning of the key.")
    kind: KeyKind
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Exact to a minute.")
    replaced_by: UUID | None = Field(description="The key that replaced it in a rotation.")
    rate_per_minute: int | None


class CreatedKeyOut(KeyOut):
    """A key that was just created."""

    key: str = Field(description="The key itself, which is shown only here.")


class RotatedOut(CreatedKeyOut):
    """The new key, and the old one with its end."""

    replaces: KeyOut


class KeyPageOut(BaseModel):
    """A page of keys, newest first."""

    keys: list[KeyOut]
    next: UUID | None


@router.get("", response_model=KeyPageOut, operation_id="list_keys", summary="List API keys")
async def get_page(
    request: Request, response: Response, doors: TheDoors, query: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """List the service's valid keys, or all."""
    caller = await authenticated(request, doors, Scope.KEYS)
    async with doors.database.read() as connection:
        keys = await care.list_keys(
            connection,
            caller.service_id,
            lasting_after=None if query.include_ended else doors.clock.now(),
            before=query.before,
            limit=query.limit + 1,
        )
    page, cursor = paging.cut(request, response, keys, query.limit)
    return {"keys": [vars(view) for view in page], "next": cursor}


@router.get("/{key_id}", response_model=KeyOut, operation_id="get_key", summary="Get an API key")
async def get_one(request: Request, key_id: str, doors: TheDoors) -> dict[str, Any]:
    """Get a key of the service."""
    caller = await authenticated(request, doors, Scope.KEYS)
    async with doors.database.read() as connection:
        return vars(await care.get_key(connection, caller.service_id, id_of(key_id, "key")))


@router.post(
    "",
    status_code=201,
    response_model=CreatedKeyOut,
    operation_id="create_key",
    summary="Create an API key",
    openapi_extra=with_body(KeyIn, required=True),
)
async def create(request: Request, response: Response, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Create a key that is not stronger than yours: in scopes, kind (test, team, live), rate and end."""
    caller = await authenticated(request, doors, Scope.KEYS)
    wish = _wish(await read_model(request, KeyIn), doors.clock.now())
    async with changing(doors) as connection:
        view, key = await care.create_key(
            connection, caller.service_id, wish, actor=audited.doer(caller), limited_by=caller
        )
    _told_once(response, view)
    return vars(view) | {"key": key}


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    response_model=RotatedOut,
    operation_id="rotate_key",
    summary="Rotate an API key",
    openapi_extra=with_body(RotateIn, required=False),
)
async def rotate(
    request: Request, response: Response, key_id: str, doors: TheDoors, audited: Audited
) -> dict[str, Any]:
    """Create a key like this one, which ends after the overlap. 409 if it has ended, or was rotated before.

    The new key ends no later than yours, and its rate is no higher.
    """
    caller = await authenticated(request, doors, Scope.KEYS)
    body = await read_model_if_any(request, RotateIn)
    id_, overlap = id_of(key_id, "key"), timedelta(seconds=body.overlap_seconds)
    async with changing(doors) as connection:
        old, new, key = await care.rotate_key(
            connection, id_, actor=audited.doer(caller), overlap=overlap, limited_by=caller
        )
    _told_once(response, new)
    return vars(new) | {"key": key, "replaces": vars(old)}


@router.delete("/{key_id}", response_model=KeyOut, operation_id="revoke_key", summary="Revoke an API key")
async def revoke(request: Request, key_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Revoke a key of your own kind or a weaker one. Every process refuses it within a second; twice is no error."""
    caller = await authenticated(request, doors, Scope.KEYS)
    id_ = id_of(key_id, "key")
    async with changing(doors) as connection:
        return vars(await care.revoke_key(connection, id_, actor=audited.doer(caller), limited_by=caller))


def _told_once(response: Response, view: KeyView) -> None:
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    response.headers["Cache-Control"] = "no-store"


def _wish(body: KeyIn, now: datetime) -> Wish:
    """Parse the properties of a new key. Raises `InvalidRequestError`."""
    if faults := value.check_expiry(body.expires_at, now):
        raise InvalidRequestError(faults)
    return Wish(
        name=body.name,
        kind=body.kind,
        scopes=tuple(body.scopes),
        expires_at=body.expires_at,
        rate_per_minute=body.rate_per_minute,
    )
