"""`GET /v1/whoami`: the API key of the request, and what it may do."""

from typing import Any

from fastapi import APIRouter, Request

from notifier.api.dependencies import Dependencies, authenticate_key
from notifier.api.whoami.models import WhoamiOut
from notifier.auth import key_admin
from notifier.auth.authenticated_key import Caller
from notifier.states import KeyKind

router = APIRouter(prefix="/v1/whoami", tags=["keys"])


@router.get(
    "",
    response_model=WhoamiOut,
    response_model_exclude_unset=True,
    operation_id="whoami",
    summary="Get the API key of this request",
)
async def get_whoami(request: Request, dependencies: Dependencies) -> dict[str, Any]:
    """Get the key of this request, and what it may do. Every valid key may use this."""
    key = await authenticate_key(request, dependencies, None)
    caller = key if isinstance(key, Caller) else None
    async with dependencies.database.read() as connection:
        view = await key_admin.get_key(connection, caller.service_id if caller else None, key.key_id)
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
