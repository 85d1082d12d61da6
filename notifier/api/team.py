"""`PUT /v1/team-recipients`: whom the service's team keys may mail; `GET /v1/whoami` tells it to them."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from notifier.address import InvalidAddressError
from notifier.api import body_limits, value
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import TheDoors
from notifier.api.request import authenticated
from notifier.api.request_body import read_model
from notifier.api.request_model import RequestModel
from notifier.auth import owner
from notifier.auth.owner import Changes
from notifier.auth.scope import Scope
from notifier.errors import Fault, InvalidRequestError

router = APIRouter(prefix="/v1/team-recipients", tags=["keys"])


class TeamIn(RequestModel):
    """Everybody whom team keys may mail."""

    limits = body_limits.VARIABLES
    model_config = ConfigDict(extra="forbid", strict=True)

    recipients: list[value.Text] = Field(
        max_length=owner.MOST_MEMBERS,
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
    openapi_extra=with_body(TeamIn, required=True),
)
async def put(request: Request, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Say whom all team keys of this service may mail, instead of whoever it was. Only a live key may."""
    caller = await authenticated(request, doors, Scope.KEYS)
    caller.require_live("says whom team keys may mail")
    wanted = await read_model(request, TeamIn)
    team = _members(wanted.recipients)
    async with changing(doors) as connection:
        service = await owner.update_service(
            connection, caller.service_id, Changes(team_recipients=team), actor=audited.doer(caller)
        )
    return {"recipients": service.team_recipients or []}


def _members(texts: list[str]) -> list[str]:
    """In the form in which recipients are compared. Raises `InvalidRequestError` with every fault."""
    found, faults = [], []
    for index, text in enumerate(texts):
        try:
            found.append(owner.member(text))
        except InvalidAddressError as error:
            faults.append(Fault(f"/recipients/{index}", "invalid_address", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return found
