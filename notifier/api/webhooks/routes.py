"""`/v1/webhooks`: webhook endpoints, their secrets, their deliveries and replays."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from notifier.api import pagination
from notifier.api.dependencies import (
    AuditDependency,
    authenticate_service,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.fields import parse_id
from notifier.api.request_model import RequestModel
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.api.webhooks import models
from notifier.auth.authenticated_key import Caller, KeyScope
from notifier.db.tables import DeliveryState
from notifier.errors import Fault, InvalidRequestError
from notifier.webhooks import delivery_history, endpoints

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "",
    status_code=201,
    response_model=models.EndpointWithSecretOut,
    summary="Create a webhook endpoint",
    openapi_extra=document_body(models.EndpointIn),
)
async def create_webhook(request: Request, response: Response, audit: AuditDependency) -> dict[str, Any]:
    """Create an endpoint. The reply has its secret, which cannot be read again."""
    caller = await _authenticate_live(request)
    values = await _read_values(request, models.EndpointIn)
    actor, box = audit.get_actor(caller), get_dependencies(request).secret_box
    async with open_change_transaction(request) as connection:
        endpoint = await endpoints.create_endpoint(connection, caller.service_id, values, actor=actor, box=box)
    response.headers["location"] = f"{router.prefix}/{endpoint.id}"
    return endpoint.model_dump()


@router.get("", response_model=models.EndpointsOut, summary="List webhook endpoints")
async def list_webhooks(request: Request) -> dict[str, Any]:
    """List the endpoints of your service, oldest first."""
    caller = await authenticate_service(request, KeyScope.WEBHOOKS)
    async with get_dependencies(request).database.read() as connection:
        rows = await endpoints.list_endpoints(connection, caller.service_id)
    return {"webhooks": [endpoint.model_dump() for endpoint in rows]}


@router.get("/{webhook_id}", response_model=models.EndpointOut, summary="Get a webhook endpoint")
async def get_webhook(request: Request, webhook_id: str) -> dict[str, Any]:
    """Get an endpoint, without its secret."""
    caller = await authenticate_service(request, KeyScope.WEBHOOKS)
    async with get_dependencies(request).database.read() as connection:
        return (await endpoints.get_endpoint(connection, caller.service_id, _parse_id(webhook_id))).model_dump()


@router.patch(
    "/{webhook_id}",
    response_model=models.EndpointOut,
    summary="Change a webhook endpoint",
    openapi_extra=document_body(models.EndpointPatchIn),
)
async def update_webhook(request: Request, webhook_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Change the named fields. `disabled: false` enables the endpoint and clears its failures."""
    caller = await _authenticate_live(request)
    values = await _read_values(request, models.EndpointPatchIn)
    if not values:
        raise InvalidRequestError([Fault("", "missing_field", "name at least one field to change")])
    id_, actor = _parse_id(webhook_id), audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        endpoint = await endpoints.update_endpoint(connection, caller.service_id, id_, values, actor=actor)
    return endpoint.model_dump()


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook endpoint")
async def delete_webhook(request: Request, webhook_id: str, audit: AuditDependency) -> None:
    """Delete an endpoint. Deliveries that wait for it are not sent any more."""
    caller = await _authenticate_live(request)
    id_, actor = _parse_id(webhook_id), audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        await endpoints.delete_endpoint(connection, caller.service_id, id_, actor=actor)


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=models.EndpointWithSecretOut,
    summary="Rotate the secret of a webhook endpoint",
    openapi_extra=document_body(models.RotateSecretIn, required=False),
)
async def rotate_webhook_secret(request: Request, webhook_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Create a new secret, which cannot be read again. The old one signs as well until the overlap ends."""
    caller = await _authenticate_live(request)
    overlap = timedelta(seconds=(await read_optional_model(request, models.RotateSecretIn)).overlap_seconds)
    id_, actor, box = _parse_id(webhook_id), audit.get_actor(caller), get_dependencies(request).secret_box
    async with open_change_transaction(request) as connection:
        rotated = await endpoints.rotate_endpoint_secret(
            connection, caller.service_id, id_, overlap, actor=actor, box=box
        )
    return rotated.model_dump()


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=models.DeliveryDetailOut,
    summary="Send a test event to a webhook endpoint",
)
async def test_webhook(request: Request, response: Response, webhook_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Send the event `webhook.test` to this endpoint, through the queue that all events use."""
    caller = await _authenticate_live(request)
    id_, actor = _parse_id(webhook_id), audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        delivery = await delivery_history.send_test_event(connection, caller.service_id, id_, actor=actor)
    return _show_new_delivery(response, delivery)


@router.get(
    "/{webhook_id}/deliveries", response_model=models.DeliveriesOut, summary="List the deliveries of a webhook endpoint"
)
async def list_webhook_deliveries(
    request: Request,
    response: Response,
    webhook_id: str,
    state: Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")] = None,
    before: pagination.PageCursor = None,
    limit: pagination.PageLimit = 50,
) -> dict[str, Any]:
    """List the deliveries of an endpoint, newest first."""
    caller = await authenticate_service(request, KeyScope.WEBHOOKS)
    async with get_dependencies(request).database.read() as connection:
        rows = await delivery_history.list_deliveries(
            connection, caller.service_id, _parse_id(webhook_id), state=state, before=before, limit=limit + 1
        )
    page, following = pagination.cut_page(request, response, rows, limit)
    return {"deliveries": [vars(view) for view in page], "next": following}


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}", response_model=models.DeliveryDetailOut, summary="Get a webhook delivery"
)
async def get_webhook_delivery(request: Request, webhook_id: str, delivery_id: str) -> dict[str, Any]:
    """Get a delivery: the body that was sent, and every attempt."""
    caller = await authenticate_service(request, KeyScope.WEBHOOKS)
    id_, endpoint_id = parse_id(delivery_id, "delivery"), _parse_id(webhook_id)
    async with get_dependencies(request).database.read() as connection:
        return await delivery_history.get_delivery(connection, caller.service_id, endpoint_id, id_)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=models.DeliveryDetailOut,
    summary="Replay a webhook delivery",
)
async def replay_webhook_delivery(
    request: Request, response: Response, webhook_id: str, delivery_id: str, audit: AuditDependency
) -> dict[str, Any]:
    """Send the event again as a new delivery, with the same bytes and the same `webhook-id`."""
    caller = await _authenticate_live(request)
    id_, endpoint_id, actor = parse_id(delivery_id, "delivery"), _parse_id(webhook_id), audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        delivery = await delivery_history.replay_delivery(connection, caller.service_id, endpoint_id, id_, actor=actor)
    return _show_new_delivery(response, delivery)


@router.post(
    "/{webhook_id}/replay",
    status_code=202,
    response_model=models.ReplayedOut,
    summary="Replay failed webhook deliveries",
    openapi_extra=document_body(models.ReplayIn),
)
async def replay_failed_webhook_deliveries(request: Request, webhook_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Replay what has failed since then, oldest first, at most a thousand deliveries. Repeat while `more` is true."""
    caller = await _authenticate_live(request)
    since = (await read_model(request, models.ReplayIn)).since
    id_, actor = _parse_id(webhook_id), audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        result = await delivery_history.replay_failed_deliveries(connection, caller.service_id, id_, since, actor=actor)
    return {"replayed": result.count, "more": result.more}


async def _authenticate_live(request: Request) -> Caller:
    """Authenticate a caller who changes endpoints, which receive events of live mail."""
    caller = await authenticate_service(request, KeyScope.WEBHOOKS)
    caller.require_live("changes webhook endpoints, which receive events of live mail")
    return caller


async def _read_values(request: Request, model: type[RequestModel]) -> dict[str, Any]:
    values = (await read_model(request, model)).model_dump(exclude_unset=True)
    endpoints.validate_endpoint(values, get_dependencies(request).insecure_hosts)
    return values


def _parse_id(text: str) -> UUID:
    return parse_id(text, "endpoint")


def _show_new_delivery(response: Response, delivery: dict[str, Any]) -> dict[str, Any]:
    response.headers["location"] = f"{router.prefix}/{delivery['endpoint_id']}/deliveries/{delivery['id']}"
    return delivery
