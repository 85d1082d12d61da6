"""An endpoint's life: made, changed, its secret rotated, disabled by its owner or by its silence, deleted.

Functions take the connection and never commit. What belongs to another service is not there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Service, WebhookEndpoint, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.webhooks import signing, webhook_url
from notifier.webhooks.event_body import EVENT_TYPES
from notifier.webhooks.secret_box import SecretBox

MAX_ENDPOINTS = 10
DISABLED_BY_OWNER = "disabled by its owner"
_endpoint, _service = get_columns(WebhookEndpoint), get_columns(Service)
_ENABLED: dict[str, Any] = {"disabled_at": None, "disabled_because": None, "failing_since": None}


class TooManyEndpointsError(NotifierError):
    """A service has at most ten endpoints."""


def validate_endpoint(values: Mapping[str, Any], trusted: Sequence[str]) -> None:
    """Raise `InvalidRequestError` for a URL that may not be called and for types of events that there are not."""
    faults = []
    if "url" in values:
        try:
            webhook_url.parse_webhook_url(values["url"], trusted)
        except webhook_url.UrlRefusedError as error:
            faults.append(Fault("/url", "invalid_url", str(error)))
    for index, type_ in enumerate(values.get("events", ())):
        if type_ not in EVENT_TYPES:
            known = ", ".join(EVENT_TYPES)
            faults.append(Fault(f"/events/{index}", "unknown_event_type", f"there are: {known}"))
    if faults:
        raise InvalidRequestError(faults)


async def create_endpoint(
    connection: AsyncConnection, service_id: UUID, values: Mapping[str, Any], now: datetime, box: SecretBox
) -> WebhookEndpoint:
    """A new endpoint, enabled, with its secret in clear; `box` says how it is kept. Raises `TooManyEndpointsError`."""
    # Whoever makes endpoints of a service waits for the one before, so that there are never eleven.
    await connection.execute(select(_service.id).where(_service.id == service_id).with_for_update(key_share=True))
    counted = select(func.count()).select_from(WebhookEndpoint).where(_endpoint.service_id == service_id)
    if int((await connection.execute(counted)).scalar_one()) >= MAX_ENDPOINTS:
        raise TooManyEndpointsError
    made = WebhookEndpoint(
        id=generate_id(),
        service_id=service_id,
        url=values["url"],
        description=values.get("description", ""),
        events=_unique(values.get("events", ())),
        secret=signing.generate_secret(),
        created_at=now,
    )
    await connection.execute(insert(WebhookEndpoint).values(made.model_dump() | {"secret": box.seal(made.secret)}))
    return made


async def list_endpoints(connection: AsyncConnection, service_id: UUID) -> list[WebhookEndpoint]:
    """The endpoints of a service, oldest first."""
    statement = select(WebhookEndpoint).where(_endpoint.service_id == service_id).order_by(_endpoint.id)
    return [WebhookEndpoint(**row) for row in (await connection.execute(statement)).mappings()]


async def get_endpoint(connection: AsyncConnection, service_id: UUID, id_: UUID) -> WebhookEndpoint:
    """An endpoint of the service. Raises `NotFoundError`."""
    statement = select(WebhookEndpoint).where(_endpoint.service_id == service_id, _endpoint.id == id_)
    found = (await connection.execute(statement)).mappings().one_or_none()
    if found is None:
        raise NotFoundError("there is no such endpoint")
    return WebhookEndpoint(**found)


async def update_endpoint(
    connection: AsyncConnection, service_id: UUID, id_: UUID, values: Mapping[str, Any], now: datetime
) -> WebhookEndpoint:
    """The endpoint with these values instead; `disabled` says whether it is told anything."""
    known = await get_endpoint(connection, service_id, id_)
    new = {name: value for name, value in values.items() if name != "disabled"}
    if "events" in new:
        new["events"] = _unique(new["events"])
    if values.get("disabled") is False:
        new |= _ENABLED
    elif values.get("disabled") and known.disabled_at is None:
        new |= {"disabled_at": now, "disabled_because": DISABLED_BY_OWNER}
    if new:
        await connection.execute(update(WebhookEndpoint).where(_endpoint.id == id_).values(new))
    return await get_endpoint(connection, service_id, id_)


async def rotate_endpoint_secret(
    connection: AsyncConnection, service_id: UUID, id_: UUID, overlap: timedelta, now: datetime, box: SecretBox
) -> WebhookEndpoint:
    """The endpoint with a new secret, in clear; the one before signs as well until the overlap is over."""
    known = await get_endpoint(connection, service_id, id_)
    secret = signing.generate_secret()
    new = {
        "secret": box.seal(secret),
        # One that cannot be read signs nothing: it must not keep the new one from signing.
        "previous_secret": box.seal(box.open(known.secret)) if overlap and box.can_open(known.secret) else None,
        "previous_until": now + overlap if overlap else None,
    }
    await connection.execute(update(WebhookEndpoint).where(_endpoint.id == id_).values(new))
    rotated = await get_endpoint(connection, service_id, id_)
    rotated.secret = secret
    return rotated


async def list_secrets_in_use(connection: AsyncConnection, now: datetime) -> list[str]:
    """The secrets of all endpoints that sign now, as they are written down."""
    found = await connection.execute(select(_endpoint.secret))
    old = await connection.execute(select(_endpoint.previous_secret).where(_endpoint.previous_until > now))
    return [*found.scalars(), *(secret for secret in old.scalars() if secret is not None)]


async def delete_endpoint(connection: AsyncConnection, service_id: UUID, id_: UUID) -> None:
    """Delete the endpoint; what it has not been told is not told. Its deliveries stay until they are purged."""
    await get_endpoint(connection, service_id, id_)
    await connection.execute(delete(WebhookEndpoint).where(_endpoint.id == id_))


def _unique(events: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(events))
