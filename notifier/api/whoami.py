"""`GET /v1/whoami`: the API key of the request, and what it may do."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from notifier.api.doors import TheDoors
from notifier.api.request import holder
from notifier.auth import care
from notifier.auth.keys import Caller
from notifier.states import KeyKind

router = APIRouter(prefix="/v1/whoami", tags=["keys"])


class OwnKeyOut(BaseModel):
    """The key of this request."""

    id: UUID
    name: str
    kind: KeyKind
    scopes: list[str]
    expires_at: datetime | None
    created_at: datetime


class LimitsOut(BaseModel):
    """Notifications a minute that the key, and all keys of the service, may submit; null: unlimited."""

    key_per_minute: int | None
    service_per_minute: int | None


class WhoamiOut(BaseModel):
    """The key of this request, and what it may do."""

    service: str | None = Field(description="Null for an admin key, which belongs to no service.")
    key: OwnKeyOut
    scopes: list[str] = Field(description="The scopes of the key.")
    limits: LimitsOut
    from_domains: list[str] = Field(description="Domains of its senders; empty: the instance's address only.")
    team_recipients: list[str] | None = Field(
        None, description="For a team key: the addresses, and domains as `@example.org`, that it may mail."
    )


@router.get(
    "",
    response_model=WhoamiOut,
    response_model_exclude_unset=True,
    operation_id="whoami",
    summary="Get the API key of this request",
)
async def whoami(request: Request, doors: TheDoors) -> dict[str, Any]:
    """Get the key of this request, and what it may do. Every valid key may use this."""
    key = await holder(request, doors, None)
    caller = key if isinstance(key, Caller) else None
    async with doors.database.read() as connection:
        view = await care.get_key(connection, caller.service_id if caller else None, key.key_id)
    reply = {
        "service": caller.service if caller else None,
        "key": vars(view),
        "scopes": view.scopes,
        "limits": {
            "key_per_minute": doors.limits.key_quota(key) or None,
            "service_per_minute": (doors.limits.service_quota(caller) or None) if caller else None,
        },
        "from_domains": caller.from_domains if caller else [],
    }
    return reply | ({"team_recipients": sorted(caller.team)} if caller and caller.kind is KeyKind.TEAM else {})
