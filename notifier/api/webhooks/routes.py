"""`/v1/webhooks`: endpoints, their secrets, what they were told, and telling again."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from notifier.api import pagination
from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.body.model_reader import read_model, read_optional_model
from notifier.api.dependencies import ApiDependencies, Dependencies
from notifier.api.notifications import submission_models
from notifier.api.notifications.change_routes import document_body, open_change_transaction
from notifier.api.request_audit import AuditDependency
from notifier.api.webhooks import models
from notifier.audit import AuditAction, AuditRecord, ObjectKind
from notifier.auth.authenticated_key import Caller
from notifier.auth.key_scope import KeyScope
from notifier.db.tables import DeliveryState
from notifier.errors import Fault, InvalidRequestError
from notifier.webhooks import delivery_history, endpoints

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
OneEndpoint = models.EndpointOut
WithSecret = models.EndpointWithSecretOut


@router.post(
    "",
    status_code=201,
    response_model=WithSecret,
    operation_id="create_webhook",
    summary="Create a webhook endpoint",
    openapi_extra=document_body(models.EndpointIn, required=True),
)
async def create_webhook(
    request: Request, response: Response, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """A new endpoint. Its secret is shown now, and never again."""
    caller = await _changing_caller(request, doors)
    values = _checked(doors, await _values(request, models.EndpointIn))
    async with open_change_transaction(doors) as connection:
        made = await endpoints.create_endpoint(
            connection, caller.service_id, values, doors.clock.now(), doors.secret_box
        )
        await audited(connection, caller, _deed(AuditAction.WEBHOOK_CREATED, caller, made.id, after=_kept(made)))
    response.headers["location"] = f"/v1/webhooks/{made.id}"
    return made.model_dump()


@router.get("", response_model=models.EndpointsOut, operation_id="list_webhooks", summary="List webhook endpoints")
async def list_webhooks(request: Request, doors: Dependencies) -> dict[str, Any]:
    """The service's endpoints, oldest first."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        return {"webhooks": [one.model_dump() for one in await endpoints.list_endpoints(connection, caller.service_id)]}


@router.get("/{webhook_id}", response_model=OneEndpoint, operation_id="get_webhook", summary="Get a webhook endpoint")
async def get_webhook(request: Request, webhook_id: str, doors: Dependencies) -> dict[str, Any]:
    """An endpoint, without its secret."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        return (await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))).model_dump()


@router.patch(
    "/{webhook_id}",
    response_model=OneEndpoint,
    operation_id="update_webhook",
    summary="Change a webhook endpoint",
    openapi_extra=document_body(models.EndpointPatchIn, required=True),
)
async def update_webhook(
    request: Request, webhook_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Change what is named; `disabled: false` also takes back what its failures led to."""
    caller = await _changing_caller(request, doors)
    values = _checked(doors, await _values(request, models.EndpointPatchIn))
    if not values:
        raise InvalidRequestError([Fault("", "missing_field", "name at least one field to change")])
    async with open_change_transaction(doors) as connection:
        before = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        after = await endpoints.update_endpoint(connection, caller.service_id, before.id, values, doors.clock.now())
        deed = _deed(AuditAction.WEBHOOK_CHANGED, caller, after.id, before=_kept(before), after=_kept(after))
        await audited(connection, caller, deed)
        return after.model_dump()


@router.delete("/{webhook_id}", status_code=204, operation_id="delete_webhook", summary="Delete a webhook endpoint")
async def delete_webhook(request: Request, webhook_id: str, doors: Dependencies, audited: AuditDependency) -> None:
    """Delete an endpoint; what it has not been told yet is not told any more."""
    caller = await _changing_caller(request, doors)
    async with open_change_transaction(doors) as connection:
        before = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        await endpoints.delete_endpoint(connection, caller.service_id, before.id)
        await audited(connection, caller, _deed(AuditAction.WEBHOOK_DELETED, caller, before.id, before=_kept(before)))


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=WithSecret,
    operation_id="rotate_webhook_secret",
    summary="Rotate the secret of a webhook endpoint",
    openapi_extra=document_body(models.RotateSecretIn, required=False),
)
async def rotate_webhook_secret(
    request: Request, webhook_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """A new secret, shown now and never again; until the overlap is over the old one signs as well."""
    caller = await _changing_caller(request, doors)
    wanted = await read_optional_model(request, models.RotateSecretIn)
    overlap = timedelta(seconds=wanted.overlap_seconds)
    async with open_change_transaction(doors) as connection:
        id_, now = _id(webhook_id), doors.clock.now()
        made = await endpoints.rotate_endpoint_secret(
            connection, caller.service_id, id_, overlap, now, doors.secret_box
        )
        after = {"overlap_seconds": wanted.overlap_seconds}
        await audited(connection, caller, _deed(AuditAction.WEBHOOK_SIGNING_ROTATED, caller, made.id, after=after))
        return made.model_dump()


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=models.DeliveryDetailOut,
    operation_id="test_webhook",
    summary="Send a test event to a webhook endpoint",
)
async def test_webhook(
    request: Request, response: Response, webhook_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Send the event `webhook.test` to this endpoint, by the way that all events go."""
    caller = await _changing_caller(request, doors)
    async with open_change_transaction(doors) as connection:
        found = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        await audited(connection, caller, _deed(AuditAction.WEBHOOK_TESTED, caller, found.id))
        return _told(response, found.id, await delivery_history.send_test_event(connection, found, doors.clock.now()))


@router.get(
    "/{webhook_id}/deliveries",
    response_model=models.DeliveriesOut,
    operation_id="list_webhook_deliveries",
    summary="List the deliveries of a webhook endpoint",
)
async def list_webhook_deliveries(  # noqa: PLR0913, PLR0917 - one for each parameter of the query
    request: Request,
    response: Response,
    webhook_id: str,
    doors: Dependencies,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    before: pagination.PageCursor = None,
    limit: pagination.PageLimit = 50,
) -> dict[str, Any]:
    """What the endpoint was told, or is to be told, newest first."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        found = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        rows = await delivery_history.list_deliveries(connection, found.id, state=state, before=before, limit=limit + 1)
    page, following = pagination.cut_page(request, response, rows, limit)
    return {"deliveries": [vars(view) for view in page], "next": following}


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    response_model=models.DeliveryDetailOut,
    operation_id="get_webhook_delivery",
    summary="Get a webhook delivery",
)
async def get_webhook_delivery(
    request: Request, webhook_id: str, delivery_id: str, doors: Dependencies
) -> dict[str, Any]:
    """One delivery: what was sent, and every try."""
    caller = await _caller(request, doors)
    async with doors.database.read() as connection:
        found = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        return await delivery_history.get_delivery(connection, found.id, parse_id(delivery_id, "delivery"))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=models.DeliveryDetailOut,
    operation_id="replay_webhook_delivery",
    summary="Replay a webhook delivery",
)
async def replay_webhook_delivery(
    request: Request,
    response: Response,
    webhook_id: str,
    delivery_id: str,
    doors: Dependencies,
    audited: AuditDependency,
) -> dict[str, Any]:
    """Tell the event again: the same octets and the same `webhook-id`, as a delivery of its own."""
    caller = await _changing_caller(request, doors)
    async with open_change_transaction(doors) as connection:
        found = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        await audited(
            connection, caller, _deed(AuditAction.WEBHOOK_REPLAYED, caller, found.id, after={"of": delivery_id})
        )
        again = await delivery_history.replay_delivery(
            connection, found, parse_id(delivery_id, "delivery"), doors.clock.now()
        )
        return _told(response, found.id, again)


@router.post(
    "/{webhook_id}/replay",
    status_code=202,
    response_model=models.ReplayedOut,
    operation_id="replay_failed_webhook_deliveries",
    summary="Replay failed webhook deliveries",
    openapi_extra=document_body(models.ReplayIn, required=True),
)
async def replay_failed_webhook_deliveries(
    request: Request, webhook_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Tell again what has failed since then, oldest first, at most a thousand at once: `more` says to ask again."""
    caller = await _changing_caller(request, doors)
    wanted = await read_model(request, models.ReplayIn)
    async with open_change_transaction(doors) as connection:
        found = await endpoints.get_endpoint(connection, caller.service_id, _id(webhook_id))
        done = await delivery_history.replay_failed_deliveries(connection, found, wanted.since, doors.clock.now())
        after = {"since": wanted.since, "count": done.count}
        await audited(connection, caller, _deed(AuditAction.WEBHOOK_REPLAYED, caller, found.id, after=after))
    return {"replayed": done.count, "more": done.more}


async def _caller(request: Request, doors: ApiDependencies) -> Caller:
    return await authenticate_service(request, doors, KeyScope.WEBHOOKS)


async def _changing_caller(request: Request, doors: ApiDependencies) -> Caller:
    """Who may change endpoints: they hear of all mail of the service."""
    caller = await _caller(request, doors)
    caller.require_live("changes webhook endpoints, which hear of live mail")
    return caller


def _told(response: Response, endpoint_id: UUID, delivery: dict[str, Any]) -> dict[str, Any]:
    """A delivery that was just put in, and where it is."""
    response.headers["location"] = f"{router.prefix}/{endpoint_id}/deliveries/{delivery['id']}"
    return delivery


async def _values(request: Request, model: type[submission_models.Model]) -> dict[str, Any]:
    """What the body says; what it does not say is not in it."""
    wanted: Any = await read_model(request, model)
    given: dict[str, Any] = wanted.model_dump(exclude_unset=True)
    return given


def _checked(doors: ApiDependencies, values: Mapping[str, Any]) -> Mapping[str, Any]:
    endpoints.validate_endpoint(values, doors.insecure_hosts)
    return values


def _id(text: str) -> UUID:
    return parse_id(text, "endpoint")


def _deed(
    action: AuditAction,
    caller: Caller,
    id_: UUID,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditRecord:
    return AuditRecord(
        action=action,
        object_kind=ObjectKind.WEBHOOK,
        object_id=id_,
        service_id=caller.service_id,
        before=before,
        after=after,
    )


def _kept(one: Any) -> dict[str, Any]:
    """What the audit keeps of an endpoint."""
    return {name: getattr(one, name) for name in ("url", "events", "disabled_at")}
