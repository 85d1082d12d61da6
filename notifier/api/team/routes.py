"""`PUT /v1/team-recipients`: whom the service's team keys may mail. `GET /v1/whoami` shows it."""

from typing import Any

from fastapi import APIRouter, Request

from notifier.api.dependencies import AuditDependency, Dependencies, authenticate_service, open_change_transaction
from notifier.api.request_reader import document_body, read_model
from notifier.api.team.models import TeamIn, TeamOut
from notifier.auth import service_admin
from notifier.auth.key_scope import KeyScope
from notifier.auth.service_admin import ServiceChanges
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault, InvalidRequestError

router = APIRouter(prefix="/v1/team-recipients", tags=["keys"])


@router.put(
    "",
    response_model=TeamOut,
    summary="Set the recipients of team keys",
    openapi_extra=document_body(TeamIn, required=True),
)
async def set_team_recipients(request: Request, dependencies: Dependencies, audit: AuditDependency) -> dict[str, Any]:
    """Replace the recipients that all team keys of this service may mail. Only a live key may do this."""
    caller = await authenticate_service(request, dependencies, KeyScope.KEYS)
    caller.require_live("says whom team keys may mail")
    team = _normalise_recipients((await read_model(request, TeamIn)).recipients)
    async with open_change_transaction(dependencies) as connection:
        service = await service_admin.update_service(
            connection, caller.service_id, ServiceChanges(team_recipients=team), actor=audit.get_actor(caller)
        )
    return {"recipients": service.team_recipients or []}


def _normalise_recipients(texts: list[str]) -> list[str]:
    """Normalise recipients for comparison. Raises `InvalidRequestError` with every fault."""
    recipients, faults = [], []
    for index, text in enumerate(texts):
        try:
            recipients.append(service_admin.normalise_team_recipient(text))
        except InvalidAddressError as error:
            faults.append(Fault(f"/recipients/{index}", "invalid_address", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return recipients
