"""`GET /v1/services`: the services of the instance, for admin keys."""

from typing import Any

from fastapi import APIRouter, Request

from notifier.api.dependencies import authenticate_key, get_dependencies
from notifier.api.services import models
from notifier.auth import service_admin
from notifier.auth.authenticated_key import KeyScope

router = APIRouter(prefix="/v1/services", tags=["services"])


@router.get("", response_model=models.ServicesOut, summary="List services")
async def list_services(request: Request) -> dict[str, Any]:
    """List all services by name. Only an admin key may; their names are the `service` of other requests."""
    await authenticate_key(request, KeyScope.ADMIN)
    async with get_dependencies(request).database.read() as connection:
        views = await service_admin.list_services(connection)
    return {"services": [models.build_service_reply(view) for view in views]}
