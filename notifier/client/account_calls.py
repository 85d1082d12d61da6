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
from notifier.client.api_call import (
    DELETE,
    GET,
    PATCH,
    POST,
    PUT,
    Call,
    PageCall,
    check_segment,
    read_as,
    read_nothing,
    read_page,
)
from notifier.client.reply_reader import decode_object, read_reply
from notifier.client.request_fields import (
    AuditFilter,
    NewKey,
    NewSuppression,
    SuppressionFilter,
    build_body,
    build_query,
)

_SUPPRESSIONS = "/v1/suppressions"
_WEBHOOKS = "/v1/webhooks"
_KEYS = "/v1/keys"


def whoami() -> Call[Caller]:
    """Get the service and the rights of your key."""
    return Call(GET, "/v1/whoami", read_as(Caller))


def list_audit(**filters: Unpack[AuditFilter]) -> PageCall[AuditEntry]:
    """List the audit records of your service, newest first."""
    return Call(GET, "/v1/audit", read_page(AuditEntry, "entries"), query=build_query(filters))


def list_keys(
    *, limit: int | None = None, before: str | UUID | None = None, include_ended: bool | None = None
) -> PageCall[ApiKey]:
    """List your service's keys, newest first; with `include_ended` also revoked and expired ones."""
    return Call(
        GET,
        _KEYS,
        read_page(ApiKey, "keys"),
        query=build_query({"limit": limit, "before": before, "include_ended": include_ended}),
    )


def get_key(id_: str | UUID, /) -> Call[ApiKey]:
    """Get a key."""
    return Call(GET, f"{_KEYS}/{check_segment(id_)}", read_as(ApiKey))


def create_key(**fields: Unpack[NewKey]) -> Call[NewApiKey]:
    """Create a key. The reply has its secret, which cannot be read again."""
    return Call(POST, _KEYS, read_as(NewApiKey), body=build_body(fields))


def rotate_key(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[NewApiKey]:
    """Create a key with the same rights. The old one ends after the overlap, by default 24 hours."""
    return Call(
        POST,
        f"{_KEYS}/{check_segment(id_)}/rotate",
        read_as(NewApiKey),
        body=build_body({"overlap_seconds": overlap_seconds}),
    )


def revoke_key(id_: str | UUID, /) -> Call[ApiKey]:
    """Revoke a key. Revoking it again is no error."""
    return Call(DELETE, f"{_KEYS}/{check_segment(id_)}", read_as(ApiKey))


def set_team_recipients(recipients: Sequence[str], /) -> Call[tuple[str, ...]]:
    """Replace the recipients that team keys may mail: addresses, and domains such as `@example.org`."""
    return Call(
        PUT,
        "/v1/team-recipients",
        lambda answer: read_reply(Team, decode_object(answer.content)).recipients,
        body=build_body({"recipients": list(recipients)}),
    )


def list_suppressions(**filters: Unpack[SuppressionFilter]) -> PageCall[Suppression]:
    """List the suppressions of your service and of the instance, newest first."""
    return Call(GET, _SUPPRESSIONS, read_page(Suppression, "suppressions"), query=build_query(filters))


def get_suppression(id_: str | UUID, /) -> Call[Suppression]:
    """Get a suppression."""
    return Call(GET, f"{_SUPPRESSIONS}/{check_segment(id_)}", read_as(Suppression))


def add_suppression(address: str, /, **fields: Unpack[NewSuppression]) -> Call[Suppression]:
    """Suppress an address, for good or until `expires_at`. An existing suppression keeps its reason and later end."""
    return Call(
        POST, _SUPPRESSIONS, read_as(Suppression), body=build_body({"address": address, **fields}), is_idempotent=True
    )


def lift_suppression(id_: str | UUID, /, *, comment: str | None = None) -> Call[None]:
    """Lift a suppression. Raises `PermissionDeniedError` for one of the instance."""
    return Call(DELETE, f"{_SUPPRESSIONS}/{check_segment(id_)}", read_nothing, body=build_body({"comment": comment}))


def list_webhooks() -> PageCall[WebhookEndpoint]:
    """List your webhook endpoints, oldest first."""
    return Call(GET, _WEBHOOKS, read_page(WebhookEndpoint, "webhooks"))


def get_webhook(id_: str | UUID, /) -> Call[WebhookEndpoint]:
    """Get a webhook endpoint."""
    return Call(GET, f"{_WEBHOOKS}/{check_segment(id_)}", read_as(WebhookEndpoint))


def create_webhook(
    *, url: str, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookEndpoint]:
    """Create a webhook endpoint. The reply has the secret for `WebhookVerifier`."""
    return Call(
        POST,
        _WEBHOOKS,
        read_as(WebhookEndpoint),
        body=build_body({"url": url, "events": events, "description": description}),
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
        f"{_WEBHOOKS}/{check_segment(id_)}",
        read_as(WebhookEndpoint),
        body=build_body({"url": url, "events": events, "description": description, "disabled": disabled}),
        is_idempotent=True,
    )


def delete_webhook(id_: str | UUID, /) -> Call[None]:
    """Delete a webhook endpoint."""
    return Call(DELETE, f"{_WEBHOOKS}/{check_segment(id_)}", read_nothing)


def rotate_webhook_secret(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[WebhookEndpoint]:
    """Create a new secret, which is in the reply. The old one signs as well during the overlap, by default a day."""
    return Call(
        POST,
        f"{_WEBHOOKS}/{check_segment(id_)}/rotate-secret",
        read_as(WebhookEndpoint),
        body=build_body({"overlap_seconds": overlap_seconds}),
    )


def test_webhook(id_: str | UUID, /) -> Call[WebhookDelivery]:
    """Send the event `webhook.test` to an endpoint."""
    return Call(POST, f"{_WEBHOOKS}/{check_segment(id_)}/test", read_as(WebhookDelivery))


def list_webhook_deliveries(
    id_: str | UUID, /, *, state: str | None = None, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[WebhookDelivery]:
    """List the deliveries of an endpoint, newest first."""
    return Call(
        GET,
        f"{_WEBHOOKS}/{check_segment(id_)}/deliveries",
        read_page(WebhookDelivery, "deliveries"),
        query=build_query({"state": state, "limit": limit, "before": before}),
    )


def get_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Get a delivery: its body, and every attempt."""
    path = f"{_WEBHOOKS}/{check_segment(id_)}/deliveries/{check_segment(delivery_id)}"
    return Call(GET, path, read_as(WebhookDelivery))


def replay_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Send an event again, with the same bytes and the same id, as a new delivery."""
    path = f"{_WEBHOOKS}/{check_segment(id_)}/deliveries/{check_segment(delivery_id)}/replay"
    return Call(POST, path, read_as(WebhookDelivery))


def replay_failed_webhook_deliveries(id_: str | UUID, /, *, since: datetime) -> Call[Replayed]:
    """Replay what has failed since then, at most a thousand deliveries. Repeat it while `more` is true."""
    return Call(POST, f"{_WEBHOOKS}/{check_segment(id_)}/replay", read_as(Replayed), body=build_body({"since": since}))
