"""`PUT /v1/team-recipients`: whom the service's team keys may mail. `GET /v1/whoami` shows it."""

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
    """The recipients that team keys may mail."""

    limits = body_limits.VARIABLES
    model_config = ConfigDict(extra="forbid", strict=True)

    recipients: list[value.Text] = Field(
        max_length=owner.MOST_MEMBERS,
        description="Addresses, and domains as `@example.org`; an empty list: nobody.",
        examples=[["ada@example.com", "@example.org"]],
    )


class TeamOut(BaseModel):
    """The recipients that team keys may mail."""

    recipients: list[str]


@router.put(
    "",
    response_model=TeamOut,
    operation_id="set_team_recipients",
    summary="Set the recipients of team keys",
    openapi_extra=with_body(TeamIn, required=True),
)
async def put(request: Request, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Replace the recipients that all team keys of this service may mail. Only a live key may do this."""
    caller = await authenticated(request, doors, Scope.KEYS)
    caller.require_live("says whom team keys may mail")
    team = _members((await read_model(request, TeamIn)).recipients)
    async with changing(doors) as connection:
        service = await owner.update_service(
            connection, caller.service_id, Changes(team_recipients=team), actor=audited.doer(caller)
        )
    return {"recipients": service.team_recipients or []}


def _members(texts: list[str]) -> list[str]:
    """Normalise recipients for comparison. Raises `InvalidRequestError` with every fault."""
    recipients, faults = [], []
    for index, text in enumerate(texts):
        try:
            recipients.append(owner.member(text))
        except InvalidAddressError as error:
            faults.append(Fault(f"/recipients/{index}", "invalid_address", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return recipients
