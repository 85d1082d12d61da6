"""The operations on webhook endpoints: create, list, get, update, rotate the secret, delete.

Functions take the connection and never commit. Each change writes its audit record. An endpoint of another service is
reported as not found.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.db.tables import Service, WebhookEndpoint, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.webhooks import endpoint_secret, webhook_url
from notifier.webhooks.endpoint_secret import SecretBox
from notifier.webhooks.webhook_event import EVENT_TYPES

MAX_ENDPOINTS = 10
DISABLED_BY_OWNER = "disabled by its owner"
_endpoint_table, _service_table = get_columns(WebhookEndpoint), get_columns(Service)
_ENABLED: dict[str, Any] = {"disabled_at": None, "disabled_because": None, "failing_since": None}


class TooManyEndpointsError(NotifierError):
    """A service can have at most ten webhook endpoints."""


def validate_endpoint(values: Mapping[str, Any], trusted: Sequence[str]) -> None:
    """Check the URL and the types of events. Raises `InvalidRequestError`."""
    faults = []
    if "url" in values:
        try:
            webhook_url.parse_webhook_url(values["url"], trusted)
        except webhook_url.UrlRefusedError as error:
            faults.append(Fault("/url", "invalid_url", str(error)))
    for index, type_ in enumerate(values.get("events", ())):
        if type_ not in EVENT_TYPES:
            faults.append(Fault(f"/events/{index}", "unknown_event_type", f"the types are: {', '.join(EVENT_TYPES)}"))
    if faults:
        raise InvalidRequestError(faults)


async def create_endpoint(
    connection: AsyncConnection, service_id: UUID, values: Mapping[str, Any], *, actor: Actor, box: SecretBox
) -> WebhookEndpoint:
    """Create an enabled endpoint. Its secret is returned in clear and stored as `box` seals it.

    Raises `TooManyEndpointsError`.
    """
    # The row of the service is locked, so that two requests at once cannot exceed the limit.
    await connection.execute(
        select(_service_table.id).where(_service_table.id == service_id).with_for_update(key_share=True)
    )
    count = select(func.count()).select_from(WebhookEndpoint).where(_endpoint_table.service_id == service_id)
    if int((await connection.execute(count)).scalar_one()) >= MAX_ENDPOINTS:
        raise TooManyEndpointsError
    endpoint = WebhookEndpoint(
        id=generate_id(),
        service_id=service_id,
        url=values["url"],
        description=values.get("description", ""),
        events=_unique(values.get("events", ())),
        secret=endpoint_secret.generate_secret(),
        created_at=actor.at,
    )
    row = endpoint.model_dump() | {"secret": box.seal(endpoint.secret)}
    await connection.execute(insert(WebhookEndpoint).values(row))
    await record_audit(connection, AuditAction.WEBHOOK_CREATED, endpoint, actor, after=_audited_fields(endpoint))
    return endpoint


async def list_endpoints(connection: AsyncConnection, service_id: UUID) -> list[WebhookEndpoint]:
    """List the endpoints of a service, oldest first."""
    statement = select(WebhookEndpoint).where(_endpoint_table.service_id == service_id).order_by(_endpoint_table.id)
    return [WebhookEndpoint(**row) for row in (await connection.execute(statement)).mappings()]


async def get_endpoint(connection: AsyncConnection, service_id: UUID, id_: UUID) -> WebhookEndpoint:
    """Get an endpoint of the service. Raises `NotFoundError`."""
    statement = select(WebhookEndpoint).where(_endpoint_table.service_id == service_id, _endpoint_table.id == id_)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such endpoint")
    return WebhookEndpoint(**row)


async def update_endpoint(
    connection: AsyncConnection, service_id: UUID, id_: UUID, values: Mapping[str, Any], *, actor: Actor
) -> WebhookEndpoint:
    """Update the named fields of an endpoint. `disabled` is one of them; False also clears its failures."""
    before = await get_endpoint(connection, service_id, id_)
    new = {name: value for name, value in values.items() if name != "disabled"}
    if "events" in new:
        new["events"] = _unique(new["events"])
    if values.get("disabled") is False:
        new |= _ENABLED
    elif values.get("disabled") and before.disabled_at is None:
        new |= {"disabled_at": actor.at, "disabled_because": DISABLED_BY_OWNER}
    if new:
        await connection.execute(update(WebhookEndpoint).where(_endpoint_table.id == id_).values(new))
    after = await get_endpoint(connection, service_id, id_)
    states = {"before": _audited_fields(before), "after": _audited_fields(after)}
    await record_audit(connection, AuditAction.WEBHOOK_CHANGED, after, actor, **states)
    return after


async def rotate_endpoint_secret(
    connection: AsyncConnection, service_id: UUID, id_: UUID, overlap: timedelta, *, actor: Actor, box: SecretBox
) -> WebhookEndpoint:
    """Give an endpoint a new secret, returned in clear. The previous one signs as well until the overlap ends."""
    endpoint = await get_endpoint(connection, service_id, id_)
    secret = endpoint_secret.generate_secret()
    new = {
        "secret": box.seal(secret),
        # A secret that cannot be decrypted is dropped, because nothing could be signed while it is stored.
        "previous_secret": box.seal(box.open(endpoint.secret)) if overlap and box.can_open(endpoint.secret) else None,
        "previous_until": actor.at + overlap if overlap else None,
    }
    await connection.execute(update(WebhookEndpoint).where(_endpoint_table.id == id_).values(new))
    rotated = await get_endpoint(connection, service_id, id_)
    rotated.secret = secret
    after = {"overlap_seconds": int(overlap.total_seconds())}
    await record_audit(connection, AuditAction.WEBHOOK_SIGNING_ROTATED, rotated, actor, after=after)
    return rotated


async def list_secrets_in_use(connection: AsyncConnection, now: datetime) -> list[str]:
    """List the stored secrets with which events are signed now."""
    current = await connection.execute(select(_endpoint_table.secret))
    previous = await connection.execute(
        select(_endpoint_table.previous_secret).where(_endpoint_table.previous_until > now)
    )
    return [*current.scalars(), *(secret for secret in previous.scalars() if secret is not None)]


async def delete_endpoint(connection: AsyncConnection, service_id: UUID, id_: UUID, *, actor: Actor) -> None:
    """Delete an endpoint. Deliveries that wait are not sent; the rows of its deliveries stay until they are purged."""
    endpoint = await get_endpoint(connection, service_id, id_)
    await connection.execute(delete(WebhookEndpoint).where(_endpoint_table.id == id_))
    await record_audit(connection, AuditAction.WEBHOOK_DELETED, endpoint, actor, before=_audited_fields(endpoint))


async def record_audit(
    connection: AsyncConnection,
    action: AuditAction,
    endpoint: WebhookEndpoint,
    actor: Actor,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write the audit record of an action on an endpoint."""
    record = AuditRecord(
        action=action,
        object_id=endpoint.id,
        service_id=endpoint.service_id,
        before=before,
        after=after,
    )
    await audit.write_audit_record(connection, record, actor)


def _audited_fields(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in ("url", "events", "disabled_at")}


def _unique(events: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(events))
