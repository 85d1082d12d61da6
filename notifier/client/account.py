"""The key of the caller, suppressions, webhook endpoints and the audit: the calls, and their replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Unpack
from uuid import UUID

from notifier.client.api_call import (
    DELETE,
    GET,
    PATCH,
    POST,
    Call,
    PageCall,
    Reply,
    build_call,
    read_as,
    read_nothing,
    read_page,
)
from notifier.client.key_calls import ApiKey
from notifier.client.request_fields import AuditFilter, NewSuppression, SuppressionFilter


@dataclass(frozen=True, kw_only=True)
class Limits(Reply):
    """How many notifications may be submitted in a minute; None: no limit."""

    key_per_minute: int | None = None
    service_per_minute: int | None = None  # all keys of the service together


@dataclass(frozen=True, kw_only=True)
class Caller(Reply):
    """The service and the rights of a key."""

    service: str | None  # None: an admin key
    key: ApiKey
    scopes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    from_domains: tuple[str, ...] = ()  # empty: mail is sent from the address of the instance only
    team_recipients: tuple[str, ...] | None = None  # whom a team key may mail; None: another kind of key


@dataclass(frozen=True, kw_only=True)
class AuditEntry(Reply):
    """An audit record of your service."""

    id: str
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    address: str | None = None  # of the person concerned
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Suppression(Reply):
    """A suppressed address, and the reason."""

    id: str
    address: str
    owner: str | None = None  # service: yours; instance: only the operator can lift it
    service: str | None = None  # its name; None: of the instance
    service_id: str | None = None  # None: of the instance
    scope: str | None = None  # all, or marketing
    reason: str | None = None
    detail: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookEndpoint(Reply):
    """A URL of yours that receives the events of your notifications."""

    id: str
    url: str
    events: tuple[str, ...] = ()  # empty: all
    description: str | None = None
    secret: str | None = field(default=None, repr=False)  # returned only at creation and rotation
    created_at: datetime | None = None
    failing_since: datetime | None = None  # no attempt has succeeded since then
    disabled_at: datetime | None = None
    disabled_because: str | None = None
    previous_until: datetime | None = None  # until then the previous secret signs as well


@dataclass(frozen=True, kw_only=True)
class WebhookAttempt(Reply):
    """One attempt to deliver an event."""

    number: int
    at: datetime
    duration_ms: int | None = None
    code: int | None = None  # None: there was no reply
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery(Reply):
    """The delivery of one event to one endpoint."""

    id: str
    event_id: str  # the `webhook-id`
    type: str
    state: str
    tries: int = 0
    created_at: datetime | None = None
    ended_at: datetime | None = None
    next_attempt_at: datetime | None = None
    body: str | None = field(default=None, repr=False)  # None in a list, where attempts are missing too
    attempts: tuple[WebhookAttempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replayed(Reply):
    """How many failed deliveries were replayed."""

    replayed: int
    more: bool = False  # True: there are others, replay again


def whoami() -> Call[Caller]:
    """Get the service and the rights of your key."""
    return build_call(GET, ("whoami",), read_as(Caller))


def list_audit(**filters: Unpack[AuditFilter]) -> PageCall[AuditEntry]:
    """List the audit records of your service, newest first."""
    return build_call(GET, ("audit",), read_page(AuditEntry, "entries"), query=filters)


def list_suppressions(**filters: Unpack[SuppressionFilter]) -> PageCall[Suppression]:
    """List the suppressions of your service and of the instance, newest first."""
    return build_call(GET, ("suppressions",), read_page(Suppression, "suppressions"), query=filters)


def get_suppression(id_: str | UUID, /) -> Call[Suppression]:
    """Get a suppression."""
    return build_call(GET, ("suppressions", id_), read_as(Suppression))


def add_suppression(
    address: str, /, *, service: str | None = None, **fields: Unpack[NewSuppression]
) -> Call[Suppression]:
    """Suppress an address, for good or until `expires_at`. An existing suppression keeps its reason and later end.

    An admin key suppresses it for the `service` that it names, else for all.
    """
    body = {"address": address, **fields}
    return build_call(
        POST, ("suppressions",), read_as(Suppression), query={"service": service}, fields=body, is_idempotent=True
    )


def lift_suppression(id_: str | UUID, /, *, comment: str | None = None) -> Call[None]:
    """Lift a suppression. Raises `PermissionDeniedError` for one of the instance."""
    return build_call(DELETE, ("suppressions", id_), read_nothing, fields={"comment": comment})


def list_webhooks() -> PageCall[WebhookEndpoint]:
    """List your webhook endpoints, oldest first."""
    return build_call(GET, ("webhooks",), read_page(WebhookEndpoint, "webhooks"))


def get_webhook(id_: str | UUID, /) -> Call[WebhookEndpoint]:
    """Get a webhook endpoint."""
    return build_call(GET, ("webhooks", id_), read_as(WebhookEndpoint))


def create_webhook(
    *, url: str, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookEndpoint]:
    """Create a webhook endpoint. The reply has the secret for `WebhookVerifier`."""
    fields = {"url": url, "events": events, "description": description}
    return build_call(POST, ("webhooks",), read_as(WebhookEndpoint), fields=fields)


def update_webhook(
    id_: str | UUID,
    /,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    disabled: bool | None = None,
) -> Call[WebhookEndpoint]:
    """Update the named fields of an endpoint. `disabled=False` enables it and clears its failures."""
    fields = {"url": url, "events": events, "description": description, "disabled": disabled}
    return build_call(PATCH, ("webhooks", id_), read_as(WebhookEndpoint), fields=fields, is_idempotent=True)


def delete_webhook(id_: str | UUID, /) -> Call[None]:
    """Delete a webhook endpoint."""
    return build_call(DELETE, ("webhooks", id_), read_nothing)


def rotate_webhook_secret(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[WebhookEndpoint]:
    """Create a new secret, which is in the reply. The old one signs as well during the overlap, by default a day."""
    fields = {"overlap_seconds": overlap_seconds}
    return build_call(POST, ("webhooks", id_, "rotate-secret"), read_as(WebhookEndpoint), fields=fields)


def test_webhook(id_: str | UUID, /) -> Call[WebhookDelivery]:
    """Send the event `webhook.test` to an endpoint."""
    return build_call(POST, ("webhooks", id_, "test"), read_as(WebhookDelivery))


def list_webhook_deliveries(
    id_: str | UUID, /, *, state: str | None = None, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[WebhookDelivery]:
    """List the deliveries of an endpoint, newest first."""
    query = {"state": state, "limit": limit, "before": before}
    return build_call(GET, ("webhooks", id_, "deliveries"), read_page(WebhookDelivery, "deliveries"), query=query)


def get_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Get a delivery: its body, and every attempt."""
    return build_call(GET, ("webhooks", id_, "deliveries", delivery_id), read_as(WebhookDelivery))


def replay_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Send an event again, with the same bytes and the same id, as a new delivery."""
    return build_call(POST, ("webhooks", id_, "deliveries", delivery_id, "replay"), read_as(WebhookDelivery))


def replay_failed_webhook_deliveries(id_: str | UUID, /, *, since: datetime) -> Call[Replayed]:
    """Replay what has failed since then, at most a thousand deliveries. Repeat it while `more` is true."""
    return build_call(POST, ("webhooks", id_, "replay"), read_as(Replayed), fields={"since": since})
