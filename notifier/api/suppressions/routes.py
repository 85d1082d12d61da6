"""`/v1/suppressions`: list and add addresses that the service must not mail; lift its own."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from notifier import email_address, suppression
from notifier.api import fields, pagination
from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.body.model_reader import read_model, read_optional_model
from notifier.api.body.request_model import RequestModel
from notifier.api.dependencies import Dependencies
from notifier.api.notifications import submission_models
from notifier.api.notifications.change_routes import document_body, open_change_transaction
from notifier.api.request_audit import AuditDependency
from notifier.auth.authenticated_key import Caller
from notifier.auth.key_scope import KeyScope
from notifier.errors import Fault, InvalidRequestError
from notifier.states import SuppressionReason, SuppressionScope
from notifier.submission.request_validation import parse_address
from notifier.suppression import NewSuppression, SuppressionFate, SuppressionView

_CALLER_REASONS = tuple(reason for reason in SuppressionReason if reason is not SuppressionReason.RECIPIENT_REFUSED)
MAX_LIFETIME = timedelta(days=36_500)
"""A longer suppression has no end."""

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])


class SuppressionIn(RequestModel):
    """An address that this service must not mail."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: fields.Address = Field(description="Exactly one bare address.")
    scope: SuppressionScope = Field(
        strict=False, description="`all`, or `marketing`: an opt-out, which never stops a password reset."
    )
    reason: SuppressionReason = Field(
        SuppressionReason.REQUESTED,
        strict=False,
        description="Why; only a relay can say that there is no such mailbox.",
        json_schema_extra={"enum": [reason.value for reason in _CALLER_REASONS]},
    )
    detail: str = Field("", max_length=suppression.MAX_DETAIL_LENGTH, description="A comment on the reason.")
    expires_at: fields.Time | None = Field(
        None,
        description="When it ends, within the next hundred years. Default: never.",
        examples=["2099-12-31T23:59:59Z"],
    )


class SuppressionQuery(BaseModel):
    """Which page of which suppressions."""

    model_config = ConfigDict(extra="forbid")

    limit: pagination.PageLimit = 50
    before: pagination.PageCursor = None
    address: Annotated[
        str | None, Query(max_length=320, pattern=pagination.NO_NUL, description="This address, in any spelling.")
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
async def list_suppressions(
    request: Request, response: Response, doors: Dependencies, query: Annotated[SuppressionQuery, Query()]
) -> dict[str, Any]:
    """What stops this service's mail: its own, and the instance's for addresses that it has mailed or asks for."""
    caller = await authenticate_service(request, doors, KeyScope.SUPPRESSIONS)
    filters = suppression.SuppressionFilter(
        address=_normalise_searched_address(query.address) if query.address is not None else None,
        scope=query.scope,
        reason=query.reason,
        lasting_after=None if query.include_expired else doors.clock.now(),
    )
    async with doors.database.read() as connection:
        views = await suppression.list_effective_suppressions(
            connection, caller.service_id, filters, before=query.before, limit=query.limit + 1
        )
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"suppressions": [_build_suppression_reply(view) for view in page], "next": cursor}


@router.post(
    "",
    status_code=201,
    response_model=SuppressionOut,
    operation_id="add_suppression",
    summary="Add a suppression",
    openapi_extra=document_body(SuppressionIn, required=True),
    responses={200: {"model": SuppressionOut, "description": "There was one already; it may end later now."}},
)
async def add_suppression(
    request: Request, response: Response, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Stop mail to an address, for ever or until `expires_at`. An existing one keeps its reason and the later end."""
    caller = await authenticate_service(request, doors, KeyScope.SUPPRESSIONS)
    caller.require_live("changes whom live mail may reach")
    actor = audited.get_actor(caller)
    wish = _parse_new_suppression(await read_model(request, SuppressionIn), caller, actor.at)
    async with open_change_transaction(doors) as connection:
        fate, view = await suppression.add_suppression(connection, wish, actor=actor)
    response.status_code = 201 if fate is SuppressionFate.ADDED else 200
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    return _build_suppression_reply(view)


@router.get(
    "/{suppression_id}", response_model=SuppressionOut, operation_id="get_suppression", summary="Get a suppression"
)
async def get_suppression(request: Request, suppression_id: str, doors: Dependencies) -> dict[str, Any]:
    """A suppression of the service's own, or of the instance."""
    caller = await authenticate_service(request, doors, KeyScope.SUPPRESSIONS)
    id_ = parse_id(suppression_id)
    async with doors.database.read() as connection:
        return _build_suppression_reply(await suppression.get_suppression(connection, caller.service_id, id_))


@router.delete(
    "/{suppression_id}",
    status_code=204,
    operation_id="lift_suppression",
    summary="Lift a suppression",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def lift_suppression(
    request: Request, suppression_id: str, doors: Dependencies, audited: AuditDependency
) -> None:
    """Allow mail to the address again, from the next submit on. 403 if it belongs to the instance: ask the operator."""
    caller = await authenticate_service(request, doors, KeyScope.SUPPRESSIONS)
    caller.require_live("changes whom live mail may reach")
    body = await read_optional_model(request, submission_models.ChangeIn)
    id_ = parse_id(suppression_id)
    async with open_change_transaction(doors) as connection:
        await suppression.lift_suppression(
            connection, caller.service_id, id_, actor=audited.get_actor(caller), comment=body.comment
        )


def _build_suppression_reply(view: SuppressionView) -> dict[str, Any]:
    return vars(view) | {"owner": "instance" if view.is_instance_wide else "service"}


def _normalise_searched_address(text: str) -> str:
    """The address as suppressions store it; a text that is not an address stays as it is and finds nothing."""
    try:
        return email_address.get_address_key(email_address.normalise_address(text))
    except email_address.InvalidAddressError:
        return text


def _parse_new_suppression(body: SuppressionIn, caller: Caller, now: datetime) -> NewSuppression:
    """Validate the request. Raises `InvalidRequestError` with every fault."""
    normalised = parse_address(body.address, "/address")
    faults = [normalised] if isinstance(normalised, Fault) else []
    if body.reason not in _CALLER_REASONS:
        faults.append(Fault("/reason", "not_yours_to_say", "only a relay can say that there is no such mailbox"))
    if body.expires_at is not None and body.expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
    elif body.expires_at is not None and not now < body.expires_at <= now + MAX_LIFETIME:
        faults.append(Fault("/expires_at", "time_out_of_range", "after now, and at most a hundred years"))
    if faults or isinstance(normalised, Fault):
        raise InvalidRequestError(faults)
    return NewSuppression(
        address=normalised,
        service_id=caller.service_id,
        scope=body.scope,
        reason=body.reason,
        detail=body.detail,
        created_by=caller.actor_name,
        expires_at=body.expires_at,
    )
