"""The calls about keys, suppressions, webhook endpoints and the audit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack
from uuid import UUID

from notifier.client.account_reply import (
    ApiKey,
    AuditEntry,
    Caller,
    NewApiKey,
    Replayed,
    Suppression,
    Team,
    WebhookDelivery,
    WebhookEndpoint,
)
from notifier.client.call import DELETE, GET, PATCH, POST, PUT, Call, PageCall, page_of, read_as, read_nothing, segment
from notifier.client.reading import decode, read
from notifier.client.request import (
    AuditFilter,
    KeyWish,
    SuppressionFilter,
    SuppressionWish,
    body_of,
    query_of,
)

_SUPPRESSIONS = "/v1/suppressions"
_WEBHOOKS = "/v1/webhooks"
_KEYS = "/v1/keys"


def whoami() -> Call[Caller]:
    """Get the service and the rights of your key."""
    return Call(GET, "/v1/whoami", read_as(Caller))


def audit(**filters: Unpack[AuditFilter]) -> PageCall[AuditEntry]:
    """List the audit records of your service, newest first."""
    return Call(GET, "/v1/audit", page_of(AuditEntry, "entries"), query=query_of(filters))


def keys(
    *, limit: int | None = None, before: str | UUID | None = None, include_ended: bool | None = None
) -> PageCall[ApiKey]:
    """List your service's keys, newest first; with `include_ended` also revoked and expired ones."""
    return Call(
        GET,
        _KEYS,
        page_of(ApiKey, "keys"),
        query=query_of({"limit": limit, "before": before, "include_ended": include_ended}),
    )


def key(id_: str | UUID, /) -> Call[ApiKey]:
    """Get a key."""
    return Call(GET, f"{_KEYS}/{segment(id_)}", read_as(ApiKey))


def create_key(**fields: Unpack[KeyWish]) -> Call[NewApiKey]:
    """Create a key. The reply has its secret, which cannot be read again."""
    return Call(POST, _KEYS, read_as(NewApiKey), body=body_of(fields))


def rotate_key(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[NewApiKey]:
    """Create a key with the same rights. The old one ends after the overlap, by default 24 hours."""
    return Call(
        POST, f"{_KEYS}/{segment(id_)}/rotate", read_as(NewApiKey), body=body_of({"overlap_seconds": overlap_seconds})
    )


def revoke_key(id_: str | UUID, /) -> Call[ApiKey]:
    """Revoke a key. Revoking it again is no error."""
    return Call(DELETE, f"{_KEYS}/{segment(id_)}", read_as(ApiKey))


def set_team(recipients: Sequence[str], /) -> Call[tuple[str, ...]]:
    """Replace the recipients that team keys may mail: addresses, and domains such as `@example.org`."""
    return Call(
        PUT,
        "/v1/team-recipients",
        lambda answer: read(Team, decode(answer.content)).recipients,
        body=body_of({"recipients": list(recipients)}),
    )


def suppressions(**filters: Unpack[SuppressionFilter]) -> PageCall[Suppression]:
    """List the suppressions of your service and of the instance, newest first."""
    return Call(GET, _SUPPRESSIONS, page_of(Suppression, "suppressions"), query=query_of(filters))


def suppression(id_: str | UUID, /) -> Call[Suppression]:
    """Get a suppression."""
    return Call(GET, f"{_SUPPRESSIONS}/{segment(id_)}", read_as(Suppression))


def suppress(address: str, /, **fields: Unpack[SuppressionWish]) -> Call[Suppression]:
    """Suppress an address, for good or until `expires_at`. An existing suppression keeps its reason and later end."""
    return Call(
        POST, _SUPPRESSIONS, read_as(Suppression), body=body_of({"address": address, **fields}), same_twice=True
    )


def lift(id_: str | UUID, /, *, comment: str | None = None) -> Call[None]:
    """Lift a suppression. Raises `PermissionDeniedError` for one of the instance."""
    return Call(DELETE, f"{_SUPPRESSIONS}/{segment(id_)}", read_nothing, body=body_of({"comment": comment}))


def webhooks() -> PageCall[WebhookEndpoint]:
    """List your webhook endpoints, oldest first."""
    return Call(GET, _WEBHOOKS, page_of(WebhookEndpoint, "webhooks"))


def webhook(id_: str | UUID, /) -> Call[WebhookEndpoint]:
    """Get a webhook endpoint."""
    return Call(GET, f"{_WEBHOOKS}/{segment(id_)}", read_as(WebhookEndpoint))


def create_webhook(
    *, url: str, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookEndpoint]:
    """Create a webhook endpoint. The reply has the secret for `WebhookVerifier`."""
    return Call(
        POST,
        _WEBHOOKS,
        read_as(WebhookEndpoint),
        body=body_of({"url": url, "events": events, "description": description}),
    )


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
    return Call(
        PATCH,
        f"{_WEBHOOKS}/{segment(id_)}",
        read_as(WebhookEndpoint),
        body=body_of({"url": url, "events": events, "description": description, "disabled": disabled}),
        same_twice=True,
    )


def delete_webhook(id_: str | UUID, /) -> Call[None]:
    """Delete a webhook endpoint."""
    return Call(DELETE, f"{_WEBHOOKS}/{segment(id_)}", read_nothing)


def rotate_webhook_secret(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[WebhookEndpoint]:
    """Create a new secret, which is in the reply. The old one signs as well during the overlap, by default a day."""
    return Call(
        POST,
        f"{_WEBHOOKS}/{segment(id_)}/rotate-secret",
        read_as(WebhookEndpoint),
        body=body_of({"overlap_seconds": overlap_seconds}),
    )


def test_webhook(id_: str | UUID, /) -> Call[WebhookDelivery]:
    """Send the event `webhook.test` to an endpoint."""
    return Call(POST, f"{_WEBHOOKS}/{segment(id_)}/test", read_as(WebhookDelivery))


def webhook_deliveries(
    id_: str | UUID, /, *, state: str | None = None, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[WebhookDelivery]:
    """List the deliveries of an endpoint, newest first."""
    return Call(
        GET,
        f"{_WEBHOOKS}/{segment(id_)}/deliveries",
        page_of(WebhookDelivery, "deliveries"),
        query=query_of({"state": state, "limit": limit, "before": before}),
    )


def webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Get a delivery: its body, and every attempt."""
    path = f"{_WEBHOOKS}/{segment(id_)}/deliveries/{segment(delivery_id)}"
    return Call(GET, path, read_as(WebhookDelivery))


def replay_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Send an event again, with the same bytes and the same id, as a new delivery."""
    path = f"{_WEBHOOKS}/{segment(id_)}/deliveries/{segment(delivery_id)}/replay"
    return Call(POST, path, read_as(WebhookDelivery))


def replay_failed_webhook_deliveries(id_: str | UUID, /, *, since: datetime) -> Call[Replayed]:
    """Replay what has failed since then, at most a thousand deliveries. Repeat it while `more` is true."""
    return Call(POST, f"{_WEBHOOKS}/{segment(id_)}/replay", read_as(Replayed), body=body_of({"since": since}))
