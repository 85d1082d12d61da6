"""`/v1/services`: the services of the instance, for admin keys."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from notifier.api.dependencies import AuditDependency, authenticate_key, get_dependencies, open_change_transaction
from notifier.api.request_reader import document_body, read_model
from notifier.api.services import models
from notifier.api.services.recipients import normalise_recipients
from notifier.auth import service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.service_admin import NewService, ServiceChanges
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.retention_settings import RetentionSettings

router = APIRouter(prefix="/v1/services", tags=["services"])


@router.get("", response_model=models.ServicesOut, summary="List services")
async def list_services(request: Request) -> dict[str, Any]:
    """List all services by name. Only an admin key may; their names are the `service` of other requests."""
    await authenticate_key(request, KeyScope.ADMIN)
    async with get_dependencies(request).database.read() as connection:
        views = await service_admin.list_services(connection)
    return {"services": [models.build_service_reply(view) for view in views]}


@router.get("/{service}", response_model=models.ServiceOut, summary="Get a service")
async def get_service(request: Request, service: str) -> dict[str, Any]:
    """Get a service by its id or name. Only an admin key may."""
    await authenticate_key(request, KeyScope.ADMIN)
    async with get_dependencies(request).database.read() as connection:
        return models.build_service_reply(await service_admin.get_service(connection, _parse_name(service)))


@router.post(
    "",
    status_code=201,
    response_model=models.ServiceOut,
    summary="Create a service",
    openapi_extra=document_body(models.ServiceIn),
)
async def create_service(request: Request, response: Response, audit: AuditDependency) -> dict[str, Any]:
    """Create a service, which has no keys yet. Only an admin key may; 409 if there is one with this name."""
    key = await authenticate_key(request, KeyScope.ADMIN)
    body = await read_model(request, models.ServiceIn)
    values = _check_values(request, body.model_dump())
    async with open_change_transaction(request) as connection:
        view = await service_admin.register_service(connection, NewService(**values), actor=audit.get_actor(key))
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    return models.build_service_reply(view)


@router.patch(
    "/{service}",
    response_model=models.ServiceOut,
    summary="Change a service",
    openapi_extra=document_body(models.ServicePatchIn),
)
async def update_service(request: Request, service: str, audit: AuditDependency) -> dict[str, Any]:
    """Change a service, given by its id or name. Every process uses the change within a second."""
    key = await authenticate_key(request, KeyScope.ADMIN)
    body = await read_model(request, models.ServicePatchIn)
    values = _check_values(request, body.model_dump(exclude_unset=True))
    changes = ServiceChanges(**values)
    async with open_change_transaction(request) as connection:
        view = await service_admin.update_service(connection, _parse_name(service), changes, actor=audit.get_actor(key))
    return models.build_service_reply(view)


def _parse_name(text: str) -> UUID | str:
    """Parse an id or a name in a path. Raises `NotFoundError` for text that no database stores."""
    if "\0" in text:
        raise NotFoundError("there is no such service")
    try:
        return UUID(text)
    except ValueError:
        return text


def _check_values(request: Request, values: dict[str, Any]) -> dict[str, Any]:
    """Normalise the recipients, and check the days against the settings. Raises `InvalidRequestError`."""
    faults = _list_days_faults(values, get_dependencies(request).retention.settings)
    if values.get("team_recipients"):
        try:
            values["team_recipients"] = normalise_recipients(values["team_recipients"], "/team_recipients")
        except InvalidRequestError as error:
            faults += error.faults
    if faults:
        raise InvalidRequestError(faults)
    return values


def _list_days_faults(values: dict[str, Any], settings: RetentionSettings) -> list[Fault]:
    """List the days that are above the operator's settings."""
    limits = {"content": settings.max_content_days, "notification": settings.max_notification_days}
    return [
        Fault(
            f"/keep_{name}_days",
            "out_of_range",
            f"at most {limit:g}, as the operator's setting NOTIFIER_RETENTION__MAX_{name.upper()}_DAYS says",
        )
        for name, limit in limits.items()
        if (values.get(f"keep_{name}_days") or 0) > limit
    ]
