"""`PUT /v1/team-recipients`: whom the service's team keys may mail; `GET /v1/whoami` tells it to them."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields
from notifier.api.authentication import authenticate_service
from notifier.api.body import body_limits
from notifier.api.body.model_reader import read_model
from notifier.api.body.request_model import RequestModel
from notifier.api.dependencies import Dependencies
from notifier.api.notifications.change_routes import document_body, open_change_transaction
from notifier.api.request_audit import AuditDependency
from notifier.auth import service_admin
from notifier.auth.key_scope import KeyScope
from notifier.auth.service_admin import ServiceChanges
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault, InvalidRequestError

router = APIRouter(prefix="/v1/team-recipients", tags=["keys"])


class TeamIn(RequestModel):
    """Everybody whom team keys may mail."""

    limits = body_limits.VARIABLES_LIMITS
    model_config = ConfigDict(extra="forbid", strict=True)

    recipients: list[fields.Text] = Field(
        max_length=service_admin.MAX_TEAM_RECIPIENTS,
        description="Addresses, and domains as `@example.org`; none: nobody.",
        examples=[["ada@example.com", "@example.org"]],
    )


class TeamOut(BaseModel):
    """Everybody whom team keys may mail."""

    recipients: list[str]


@router.put(
    "",
    response_model=TeamOut,
    operation_id="set_team_recipients",
    summary="Set the recipients of team keys",
    openapi_extra=document_body(TeamIn, required=True),
)
async def set_team_recipients(request: Request, doors: Dependencies, audited: AuditDependency) -> dict[str, Any]:
    """Say whom all team keys of this service may mail, instead of whoever it was. Only a live key may."""
    caller = await authenticate_service(request, doors, KeyScope.KEYS)
    caller.require_live("says whom team keys may mail")
    wanted = await read_model(request, TeamIn)
    team = _normalise_recipients(wanted.recipients)
    async with open_change_transaction(doors) as connection:
        before = await service_admin.lock_service(connection, caller.service_id)
        after = await service_admin.change_service(connection, before, ServiceChanges(team_recipients=team))
        await audited.record_all(
            connection, caller, [] if after is before else [service_admin.build_service_record(before, after)]
        )
    return {"recipients": after.team_recipients or []}


def _normalise_recipients(texts: list[str]) -> list[str]:
    """In the form in which recipients are compared. Raises `InvalidRequestError` with every fault."""
    found, faults = [], []
    for index, text in enumerate(texts):
        try:
            found.append(service_admin.normalise_team_recipient(text))
        except InvalidAddressError as error:
            faults.append(Fault(f"/recipients/{index}", "invalid_address", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return found
