"""`/v1/webhooks`: endpoints, their secrets, what they were told, and telling again."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from notifier.api import paging, schema, webhook_schema
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import Doors, TheDoors
from notifier.api.request import authenticated, id_of
from notifier.api.request_body import read_model, read_model_if_any
from notifier.auth.keys import Caller
from notifier.auth.scope import Scope
from notifier.db.tables import DeliveryState
from notifier.errors import Fault, InvalidRequestError
from notifier.webhooks import endpoint, history

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "",
    status_code=201,
    response_model=webhook_schema.EndpointWithSecretOut,
    operation_id="create_webhook",
    summary="Create a webhook endpoint",
    openapi_extra=with_body(webhook_schema.EndpointIn, required=True),
)
async def create(request: Request, response: Response, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Create an endpoint. Its secret is shown now, and never again."""
    caller = await _changing_caller(request, doors)
    values = await _values(request, doors, webhook_schema.EndpointIn)
    async with changing(doors) as connection:
        made = await endpoint.create(
            connection, caller.service_id, values, actor=audited.doer(caller), box=doors.secret_box
        )
    response.headers["location"] = f"{router.prefix}/{made.id}"
    return made.model_dump()


@router.get(
    "", response_model=webhook_schema.EndpointsOut, operation_id="list_webhooks", summary="List webhook endpoints"
)
async def get_all(request: Request, doors: TheDoors) -> dict[str, Any]:
    """The service's endpoints, oldest first."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        return {"webhooks": [one.model_dump() for one in await endpoint.listed(connection, caller.service_id)]}


@router.get(
    "/{webhook_id}",
    response_model=webhook_schema.EndpointOut,
    operation_id="get_webhook",
    summary="Get a webhook endpoint",
)
async def get_one(request: Request, webhook_id: str, doors: TheDoors) -> dict[str, Any]:
    """An endpoint, without its secret."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        return (await endpoint.one(connection, caller.service_id, _id(webhook_id))).model_dump()


@router.patch(
    "/{webhook_id}",
    response_model=webhook_schema.EndpointOut,
    operation_id="update_webhook",
    summary="Change a webhook endpoint",
    openapi_extra=with_body(webhook_schema.EndpointPatchIn, required=True),
)
async def change(request: Request, webhook_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Change what is named; `disabled: false` also takes back what its failures led to."""
    caller = await _changing_caller(request, doors)
    values = await _values(request, doors, webhook_schema.EndpointPatchIn)
    if not values:
        raise InvalidRequestError([Fault("", "missing_field", "name at least one field to change")])
    id_, actor = _id(webhook_id), audited.doer(caller)
    async with changing(doors) as connection:
        return (await endpoint.change(connection, caller.service_id, id_, values, actor=actor)).model_dump()


@router.delete("/{webhook_id}", status_code=204, operation_id="delete_webhook", summary="Delete a webhook endpoint")
async def remove(request: Request, webhook_id: str, doors: TheDoors, audited: Audited) -> None:
    """Delete an endpoint; what it has not been told yet is not told any more."""
    caller = await _changing_caller(request, doors)
    async with changing(doors) as connection:
        await endpoint.remove(connection, caller.service_id, _id(webhook_id), actor=audited.doer(caller))


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=webhook_schema.EndpointWithSecretOut,
    operation_id="rotate_webhook_secret",
    summary="Rotate the secret of a webhook endpoint",
    openapi_extra=with_body(webhook_schema.RotateSecretIn, required=False),
)
async def rotate(request: Request, webhook_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """A new secret, shown now and never again; until the overlap is over the old one signs as well."""
    caller = await _changing_caller(request, doors)
    wanted = await read_model_if_any(request, webhook_schema.RotateSecretIn)
    id_, overlap, actor = _id(webhook_id), timedelta(seconds=wanted.overlap_seconds), audited.doer(caller)
    async with changing(doors) as connection:
        made = await endpoint.rotate(connection, caller.service_id, id_, overlap, actor=actor, box=doors.secret_box)
        return made.model_dump()


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=webhook_schema.DeliveryDetailOut,
    operation_id="test_webhook",
    summary="Send a test event to a webhook endpoint",
)
async def test(
    request: Request, response: Response, webhook_id: str, doors: TheDoors, audited: Audited
) -> dict[str, Any]:
    """Send the event `webhook.test` to this endpoint, by the way that all events go."""
    caller = await _changing_caller(request, doors)
    async with changing(doors) as connection:
        found = await endpoint.one(connection, caller.service_id, _id(webhook_id))
        return _told(response, found.id, await history.test(connection, found, actor=audited.doer(caller)))


@router.get(
    "/{webhook_id}/deliveries",
    response_model=webhook_schema.DeliveriesOut,
    operation_id="list_webhook_deliveries",
    summary="List the deliveries of a webhook endpoint",
)
async def get_deliveries(  # noqa: PLR0913, PLR0917 - one for each parameter of the query
    request: Request,
    response: Response,
    webhook_id: str,
    doors: TheDoors,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    before: paging.Before = None,
    limit: paging.Limit = 50,
) -> dict[str, Any]:
    """What the endpoint was told, or is to be told, newest first."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        found = await endpoint.one(connection, caller.service_id, _id(webhook_id))
        rows = await history.page(connection, found.id, state=state, before=before, limit=limit + 1)
    page, following = paging.cut(request, response, rows, limit)
    return {"deliveries": [vars(view) for view in page], "next": following}


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    response_model=webhook_schema.DeliveryDetailOut,
    operation_id="get_webhook_delivery",
    summary="Get a webhook delivery",
)
async def get_delivery(request: Request, webhook_id: str, delivery_id: str, doors: TheDoors) -> dict[str, Any]:
    """One delivery: what was sent, and every try."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        found = await endpoint.one(connection, caller.service_id, _id(webhook_id))
        return await history.one(connection, found.id, id_of(delivery_id, "delivery"))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=webhook_schema.DeliveryDetailOut,
    operation_id="replay_webhook_delivery",
    summary="Replay a webhook delivery",
)
async def replay(
    request: Request, response: Response, webhook_id: str, delivery_id: str, doors: TheDoors, audited: Audited
) -> dict[str, Any]:
    """Tell the event again: the same octets and the same `webhook-id`, as a delivery of its own."""
    caller = await _changing_caller(request, doors)
    async with changing(doors) as connection:
        found = await endpoint.one(connection, caller.service_id, _id(webhook_id))
        id_ = id_of(delivery_id, "delivery")
        return _told(response, found.id, await history.replay(connection, found, id_, actor=audited.doer(caller)))


@router.post(
    "/{webhook_id}/replay",
    status_code=202,
    response_model=webhook_schema.ReplayedOut,
    operation_id="replay_failed_webhook_deliveries",
    summary="Replay failed webhook deliveries",
    openapi_extra=with_body(webhook_schema.ReplayIn, required=True),
)
async def replay_failed(request: Request, webhook_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Tell again what has failed since then, oldest first, at most a thousand at once: `more` says to ask again."""
    caller = await _changing_caller(request, doors)
    wanted = await read_model(request, webhook_schema.ReplayIn)
    async with changing(doors) as connection:
        found = await endpoint.one(connection, caller.service_id, _id(webhook_id))
        done = await history.replay_failed(connection, found, wanted.since, actor=audited.doer(caller))
    return {"replayed": done.count, "more": done.more}


async def _caller(request: Request, doors: Doors) -> Caller:
    return await authenticated(request, doors, Scope.WEBHOOKS)


async def _changing_caller(request: Request, doors: Doors) -> Caller:
    """Who may change endpoints: they hear of all mail of the service."""
    caller = await _caller(request, doors)
    caller.require_live("changes webhook endpoints, which hear of live mail")
    return caller


def _told(response: Response, endpoint_id: UUID, delivery: dict[str, Any]) -> dict[str, Any]:
    """A delivery that was just put in, and where it is."""
    response.headers["location"] = f"{router.prefix}/{endpoint_id}/deliveries/{delivery['id']}"
    return delivery


async def _values(request: Request, doors: Doors, model: type[schema.Model]) -> dict[str, Any]:
    """The fields that the body names, checked; what it does not name is not among them."""
    fields: Any = await read_model(request, model)
    values: dict[str, Any] = fields.model_dump(exclude_unset=True)
    endpoint.check(values, doors.insecure_hosts)
    return values


def _id(text: str) -> UUID:
    return id_of(text, "endpoint")
