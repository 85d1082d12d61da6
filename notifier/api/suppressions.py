"""`/v1/suppressions`: list and add addresses that the service must not mail; lift its own."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from notifier import address, suppression
from notifier.api import paging, schema, value
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import TheDoors
from notifier.api.request import authenticated, id_of
from notifier.api.request_body import read_model, read_model_if_any
from notifier.api.request_model import RequestModel
from notifier.auth.keys import Caller
from notifier.auth.scope import Scope
from notifier.errors import Fault, InvalidRequestError
from notifier.notification.check import parse_address
from notifier.states import SuppressionReason, SuppressionScope
from notifier.suppression import Fate, SuppressionView, Wish

_SAYABLE = tuple(reason for reason in SuppressionReason if reason is not SuppressionReason.RECIPIENT_REFUSED)
LONGEST_LIFE = timedelta(days=36_500)
"""A longer suppression has no end."""

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])


class SuppressionIn(RequestModel):
    """An address that this service must not mail."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: value.Address = Field(description="Exactly one bare address.")
    scope: SuppressionScope = Field(
        strict=False, description="`all`, or `marketing`: an opt-out, which never stops a password reset."
    )
    reason: SuppressionReason = Field(
        SuppressionReason.REQUESTED,
        strict=False,
        description="Why; only a relay can say that there is no such mailbox.",
        json_schema_extra={"enum": [reason.value for reason in _SAYABLE]},
    )
    detail: str = Field("", max_length=suppression.LONGEST_DETAIL, description="A comment on the reason.")
    expires_at: value.Time | None = Field(
        None,
        description="When it ends, within the next hundred years. Default: never.",
        examples=["2099-12-31T23:59:59Z"],
    )


class Wanted(BaseModel):
    """Which page of which suppressions."""

    model_config = ConfigDict(extra="forbid")

    limit: paging.Limit = 50
    before: paging.Before = None
    address: Annotated[
        str | None, Query(max_length=320, pattern=paging.NO_NUL, description="This address, in any spelling.")
    ] = None
    scope: SuppressionScope | None = None
    reason: SuppressionReason | None = None
    include_expired: Annotated[bool, Query(description="Also list those that have expired.")] = False


class SuppressionOut(BaseModel):
    """A suppression."""

    id: UUID
    address: str
    owner: str = Field(
        description="`service`: yours. `instance`: it stops every service's mail, and only the operator can lift it.",
        json_schema_extra={"enum": ["service", "instance"]},
    )
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None


class SuppressionPageOut(BaseModel):
    """A page of suppressions, newest first."""

    suppressions: list[SuppressionOut]
    next: UUID | None


@router.get("", response_model=SuppressionPageOut, operation_id="list_suppressions", summary="List suppressions")
async def get_page(
    request: Request, response: Response, doors: TheDoors, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """What stops this service's mail: its own, and the instance's for addresses that it has mailed or asks for."""
    caller = await authenticated(request, doors, Scope.SUPPRESSIONS)
    which = suppression.Filter(
        address=_key(wanted.address) if wanted.address is not None else None,
        scope=wanted.scope,
        reason=wanted.reason,
        lasting_after=None if wanted.include_expired else doors.clock.now(),
    )
    async with doors.database.read() as connection:
        found = await suppression.page(
            connection, caller.service_id, which, before=wanted.before, limit=wanted.limit + 1
        )
    page, cursor = paging.cut(request, response, found, wanted.limit)
    return {"suppressions": [_shown(view) for view in page], "next": cursor}


@router.post(
    "",
    status_code=201,
    response_model=SuppressionOut,
    operation_id="add_suppression",
    summary="Add a suppression",
    openapi_extra=with_body(SuppressionIn, required=True),
    responses={200: {"model": SuppressionOut, "description": "There was one already; it may end later now."}},
)
async def add(request: Request, response: Response, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Stop mail to an address, for ever or until `expires_at`. An existing one keeps its reason and the later end."""
    caller = await authenticated(request, doors, Scope.SUPPRESSIONS)
    caller.require_live("changes whom live mail may reach")
    actor = audited.doer(caller)
    wish = _wish(await read_model(request, SuppressionIn), caller, actor.at)
    async with changing(doors) as connection:
        fate, view = await suppression.add(connection, wish, actor=actor)
    response.status_code = 201 if fate is Fate.ADDED else 200
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    return _shown(view)


@router.get(
    "/{suppression_id}", response_model=SuppressionOut, operation_id="get_suppression", summary="Get a suppression"
)
async def get_one(request: Request, suppression_id: str, doors: TheDoors) -> dict[str, Any]:
    """A suppression of the service's own, or of the instance."""
    caller = await authenticated(request, doors, Scope.SUPPRESSIONS)
    id_ = id_of(suppression_id)
    async with doors.database.read() as connection:
        return _shown(await suppression.one(connection, caller.service_id, id_))


@router.delete(
    "/{suppression_id}",
    status_code=204,
    operation_id="lift_suppression",
    summary="Lift a suppression",
    openapi_extra=with_body(schema.ChangeIn, required=False),
)
async def lift(request: Request, suppression_id: str, doors: TheDoors, audited: Audited) -> None:
    """Allow mail to the address again, from the next submit on. 403 if it belongs to the instance: ask the operator."""
    caller = await authenticated(request, doors, Scope.SUPPRESSIONS)
    caller.require_live("changes whom live mail may reach")
    wanted = await read_model_if_any(request, schema.ChangeIn)
    id_ = id_of(suppression_id)
    async with changing(doors) as connection:
        await suppression.lift(connection, caller.service_id, id_, actor=audited.doer(caller), comment=wanted.comment)


def _shown(view: SuppressionView) -> dict[str, Any]:
    return vars(view) | {"owner": "instance" if view.is_instances else "service"}


def _key(text: str) -> str:
    """The address as suppressions store it; a text that is not an address stays as it is and finds nothing."""
    try:
        return address.key(address.normalised(text))
    except address.InvalidAddressError:
        return text


def _wish(wanted: SuppressionIn, caller: Caller, now: datetime) -> Wish:
    """Validate the request. Raises `InvalidRequestError` with every fault."""
    normalised = parse_address(wanted.address, "/address")
    faults = [normalised] if isinstance(normalised, Fault) else []
    if wanted.reason not in _SAYABLE:
        faults.append(Fault("/reason", "not_yours_to_say", "only a relay can say that there is no such mailbox"))
    if wanted.expires_at is not None and wanted.expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
    elif wanted.expires_at is not None and not now < wanted.expires_at <= now + LONGEST_LIFE:
        faults.append(Fault("/expires_at", "time_out_of_range", "after now, and at most a hundred years"))
    if faults or isinstance(normalised, Fault):
        raise InvalidRequestError(faults)
    return Wish(
        address=normalised,
        service_id=caller.service_id,
        scope=wanted.scope,
        reason=wanted.reason,
        detail=wanted.detail,
        created_by=caller.actor,
        expires_at=wanted.expires_at,
    )
