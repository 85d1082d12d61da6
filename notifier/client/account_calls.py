"""The calls about keys, addresses that are not mailed, webhook endpoints, and who did what."""

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
    """Whose key this is, and what it may do."""
    return Call(GET, "/v1/whoami", read_as(Caller))


def audit(**wanted: Unpack[AuditFilter]) -> PageCall[AuditEntry]:
    """What was done to your service's objects, newest first."""
    return Call(GET, "/v1/audit", page_of(AuditEntry, "entries"), query=query_of(wanted))


def keys(
    *, limit: int | None = None, before: str | UUID | None = None, include_ended: bool | None = None
) -> PageCall[ApiKey]:
    """Your service's keys, newest first; with `include_ended` also those that were revoked or have expired."""
    return Call(
        GET,
        _KEYS,
        page_of(ApiKey, "keys"),
        query=query_of({"limit": limit, "before": before, "include_ended": include_ended}),
    )


def key(id_: str | UUID, /) -> Call[ApiKey]:
    """One of them."""
    return Call(GET, f"{_KEYS}/{segment(id_)}", read_as(ApiKey))


def create_key(**wish: Unpack[KeyWish]) -> Call[NewApiKey]:
    """Make a key; it is in the answer, and can never be read again."""
    return Call(POST, _KEYS, read_as(NewApiKey), body=body_of(wish))


def rotate_key(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[NewApiKey]:
    """Make a key like this one, which ends after the overlap (24 hours if you say nothing)."""
    return Call(
        POST, f"{_KEYS}/{segment(id_)}/rotate", read_as(NewApiKey), body=body_of({"overlap_seconds": overlap_seconds})
    )


def revoke_key(id_: str | UUID, /) -> Call[ApiKey]:
    """End a key for good; twice is no error."""
    return Call(DELETE, f"{_KEYS}/{segment(id_)}", read_as(ApiKey))


def set_team(recipients: Sequence[str], /) -> Call[tuple[str, ...]]:
    """Say whom your team keys may mail, instead of whoever it was: addresses, and domains as `@example.org`."""
    return Call(
        PUT,
        "/v1/team-recipients",
        lambda answer: read(Team, decode(answer.content)).recipients,
        body=body_of({"recipients": list(recipients)}),
    )


def suppressions(**wanted: Unpack[SuppressionFilter]) -> PageCall[Suppression]:
    """Addresses that stop your mail, newest first: your own ones, and those of the instance."""
    return Call(GET, _SUPPRESSIONS, page_of(Suppression, "suppressions"), query=query_of(wanted))


def suppression(id_: str | UUID, /) -> Call[Suppression]:
    """One of them."""
    return Call(GET, f"{_SUPPRESSIONS}/{segment(id_)}", read_as(Suppression))


def suppress(address: str, /, **wish: Unpack[SuppressionWish]) -> Call[Suppression]:
    """Mail an address no more, or until `expires_at`. One that is there keeps its reason, and the later end."""
    return Call(POST, _SUPPRESSIONS, read_as(Suppression), body=body_of({"address": address, **wish}), same_twice=True)


def lift(id_: str | UUID, /, *, comment: str | None = None) -> Call[None]:
    """Let the address be mailed again; `PermissionDeniedError` for one of the instance."""
    return Call(DELETE, f"{_SUPPRESSIONS}/{segment(id_)}", read_nothing, body=body_of({"comment": comment}))


def webhooks() -> PageCall[WebhookEndpoint]:
    """Your webhook endpoints, oldest first."""
    return Call(GET, _WEBHOOKS, page_of(WebhookEndpoint, "webhooks"))


def webhook(id_: str | UUID, /) -> Call[WebhookEndpoint]:
    """One endpoint."""
    return Call(GET, f"{_WEBHOOKS}/{segment(id_)}", read_as(WebhookEndpoint))


def create_webhook(
    *, url: str, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookEndpoint]:
    """Have a URL told about your notifications; the answer has the secret for `WebhookVerifier`."""
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
    """Change an endpoint; what is not named stays as it is. `disabled=False`: tell it again, whatever had failed."""
    return Call(
        PATCH,
        f"{_WEBHOOKS}/{segment(id_)}",
        read_as(WebhookEndpoint),
        body=body_of({"url": url, "events": events, "description": description, "disabled": disabled}),
        same_twice=True,
    )


def delete_webhook(id_: str | UUID, /) -> Call[None]:
    """Tell an endpoint nothing more."""
    return Call(DELETE, f"{_WEBHOOKS}/{segment(id_)}", read_nothing)


def rotate_webhook_secret(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[WebhookEndpoint]:
    """A new secret, which the answer has; the old one signs beside it for the overlap (a day if you say nothing)."""
    return Call(
        POST,
        f"{_WEBHOOKS}/{segment(id_)}/rotate-secret",
        read_as(WebhookEndpoint),
        body=body_of({"overlap_seconds": overlap_seconds}),
    )


def test_webhook(id_: str | UUID, /) -> Call[WebhookDelivery]:
    """Tell the endpoint the event `webhook.test`."""
    return Call(POST, f"{_WEBHOOKS}/{segment(id_)}/test", read_as(WebhookDelivery))


def webhook_deliveries(
    id_: str | UUID, /, *, state: str | None = None, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[WebhookDelivery]:
    """What an endpoint was told, or is to be told, newest first."""
    return Call(
        GET,
        f"{_WEBHOOKS}/{segment(id_)}/deliveries",
        page_of(WebhookDelivery, "deliveries"),
        query=query_of({"state": state, "limit": limit, "before": before}),
    )


def webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """One of them: what was sent, and every try."""
    path = f"{_WEBHOOKS}/{segment(id_)}/deliveries/{segment(delivery_id)}"
    return Call(GET, path, read_as(WebhookDelivery))


def replay_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Tell the event again: the same octets under the same id, as a delivery of its own."""
    path = f"{_WEBHOOKS}/{segment(id_)}/deliveries/{segment(delivery_id)}/replay"
    return Call(POST, path, read_as(WebhookDelivery))


def replay_failed_webhook_deliveries(id_: str | UUID, /, *, since: datetime) -> Call[Replayed]:
    """Tell again what has failed since then, at most a thousand: while `more` is true, ask again."""
    return Call(POST, f"{_WEBHOOKS}/{segment(id_)}/replay", read_as(Replayed), body=body_of({"since": since}))
