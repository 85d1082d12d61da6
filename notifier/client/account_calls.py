"""The calls about keys, addresses that are not mailed, webhook endpoints, and who did what."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPMethod
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
from notifier.client.api_call import Call, HttpResponse, PageCall, check_segment, read_page
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
    """Whose key this is, and what it may do."""
    return Call(
        method=HTTPMethod.GET, path="/v1/whoami", read=lambda answer: read_reply(Caller, decode_object(answer.content))
    )


def list_audit(**wanted: Unpack[AuditFilter]) -> PageCall[AuditEntry]:
    """What was done to your service's objects, newest first."""
    return Call(
        method=HTTPMethod.GET,
        path="/v1/audit",
        query=build_query(wanted),
        read=lambda answer: read_page(AuditEntry, answer, "entries"),
    )


def list_keys(
    *, limit: int | None = None, before: str | UUID | None = None, include_ended: bool | None = None
) -> PageCall[ApiKey]:
    """Your service's keys, newest first; with `include_ended` also those that were revoked or have expired."""
    return Call(
        method=HTTPMethod.GET,
        path=_KEYS,
        query=build_query({"limit": limit, "before": before, "include_ended": include_ended}),
        read=lambda answer: read_page(ApiKey, answer, "keys"),
    )


def get_key(id_: str | UUID, /) -> Call[ApiKey]:
    """One of them."""
    return Call(method=HTTPMethod.GET, path=f"{_KEYS}/{check_segment(id_)}", read=_key)


def create_key(**wish: Unpack[NewKey]) -> Call[NewApiKey]:
    """Make a key; it is in the answer, and can never be read again."""
    return Call(method=HTTPMethod.POST, path=_KEYS, body=build_body(wish), read=_new_key)


def rotate_key(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[NewApiKey]:
    """Make a key like this one, which ends after the overlap (24 hours if you say nothing)."""
    return Call(
        method=HTTPMethod.POST,
        path=f"{_KEYS}/{check_segment(id_)}/rotate",
        body=build_body({"overlap_seconds": overlap_seconds}),
        read=_new_key,
    )


def revoke_key(id_: str | UUID, /) -> Call[ApiKey]:
    """End a key for good; twice is no error."""
    return Call(method=HTTPMethod.DELETE, path=f"{_KEYS}/{check_segment(id_)}", read=_key)


def set_team_recipients(recipients: Sequence[str], /) -> Call[tuple[str, ...]]:
    """Say whom your team keys may mail, instead of whoever it was: addresses, and domains as `@example.org`."""
    return Call(
        method=HTTPMethod.PUT,
        path="/v1/team-recipients",
        body=build_body({"recipients": list(recipients)}),
        read=lambda answer: read_reply(Team, decode_object(answer.content)).recipients,
    )


def list_suppressions(**wanted: Unpack[SuppressionFilter]) -> PageCall[Suppression]:
    """Addresses that stop your mail, newest first: your own ones, and those of the instance."""
    return Call(
        method=HTTPMethod.GET,
        path=_SUPPRESSIONS,
        query=build_query(wanted),
        read=lambda answer: read_page(Suppression, answer, "suppressions"),
    )


def get_suppression(id_: str | UUID, /) -> Call[Suppression]:
    """One of them."""
    return Call(method=HTTPMethod.GET, path=f"{_SUPPRESSIONS}/{check_segment(id_)}", read=_suppression)


def add_suppression(address: str, /, **wish: Unpack[NewSuppression]) -> Call[Suppression]:
    """Mail an address no more, or until `expires_at`. One that is there keeps its reason, and the later end."""
    return Call(
        method=HTTPMethod.POST,
        path=_SUPPRESSIONS,
        body=build_body({"address": address, **wish}),
        is_idempotent=True,
        read=_suppression,
    )


def lift_suppression(id_: str | UUID, /, *, comment: str | None = None) -> Call[None]:
    """Let the address be mailed again; `PermissionDeniedError` for one of the instance."""
    return Call(
        method=HTTPMethod.DELETE,
        path=f"{_SUPPRESSIONS}/{check_segment(id_)}",
        body=build_body({"comment": comment}),
        read=_nothing,
    )


def list_webhooks() -> PageCall[WebhookEndpoint]:
    """Your webhook endpoints, oldest first."""
    return Call(
        method=HTTPMethod.GET,
        path=_WEBHOOKS,
        read=lambda answer: read_page(WebhookEndpoint, answer, "webhooks"),
    )


def get_webhook(id_: str | UUID, /) -> Call[WebhookEndpoint]:
    """One endpoint."""
    return Call(method=HTTPMethod.GET, path=f"{_WEBHOOKS}/{check_segment(id_)}", read=_endpoint)


def create_webhook(
    *, url: str, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookEndpoint]:
    """Have a URL told about your notifications; the answer has the secret for `WebhookVerifier`."""
    return Call(
        method=HTTPMethod.POST,
        path=_WEBHOOKS,
        body=build_body({"url": url, "events": events, "description": description}),
        read=_endpoint,
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
        method=HTTPMethod.PATCH,
        path=f"{_WEBHOOKS}/{check_segment(id_)}",
        body=build_body({"url": url, "events": events, "description": description, "disabled": disabled}),
        is_idempotent=True,
        read=_endpoint,
    )


def delete_webhook(id_: str | UUID, /) -> Call[None]:
    """Tell an endpoint nothing more."""
    return Call(method=HTTPMethod.DELETE, path=f"{_WEBHOOKS}/{check_segment(id_)}", read=_nothing)


def rotate_webhook_secret(id_: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[WebhookEndpoint]:
    """A new secret, which the answer has; the old one signs beside it for the overlap (a day if you say nothing)."""
    return Call(
        method=HTTPMethod.POST,
        path=f"{_WEBHOOKS}/{check_segment(id_)}/rotate-secret",
        body=build_body({"overlap_seconds": overlap_seconds}),
        read=_endpoint,
    )


def test_webhook(id_: str | UUID, /) -> Call[WebhookDelivery]:
    """Tell the endpoint the event `webhook.test`."""
    return Call(method=HTTPMethod.POST, path=f"{_WEBHOOKS}/{check_segment(id_)}/test", read=_delivery)


def list_webhook_deliveries(
    id_: str | UUID, /, *, state: str | None = None, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[WebhookDelivery]:
    """What an endpoint was told, or is to be told, newest first."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_WEBHOOKS}/{check_segment(id_)}/deliveries",
        query=build_query({"state": state, "limit": limit, "before": before}),
        read=lambda answer: read_page(WebhookDelivery, answer, "deliveries"),
    )


def get_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """One of them: what was sent, and every try."""
    path = f"{_WEBHOOKS}/{check_segment(id_)}/deliveries/{check_segment(delivery_id)}"
    return Call(method=HTTPMethod.GET, path=path, read=_delivery)


def replay_webhook_delivery(id_: str | UUID, delivery_id: str | UUID, /) -> Call[WebhookDelivery]:
    """Tell the event again: the same octets under the same id, as a delivery of its own."""
    path = f"{_WEBHOOKS}/{check_segment(id_)}/deliveries/{check_segment(delivery_id)}/replay"
    return Call(method=HTTPMethod.POST, path=path, read=_delivery)


def replay_failed_webhook_deliveries(id_: str | UUID, /, *, since: datetime) -> Call[Replayed]:
    """Tell again what has failed since then, at most a thousand: while `more` is true, ask again."""
    return Call(
        method=HTTPMethod.POST,
        path=f"{_WEBHOOKS}/{check_segment(id_)}/replay",
        body=build_body({"since": since}),
        read=lambda answer: read_reply(Replayed, decode_object(answer.content)),
    )


def _key(answer: HttpResponse) -> ApiKey:
    return read_reply(ApiKey, decode_object(answer.content))


def _new_key(answer: HttpResponse) -> NewApiKey:
    return read_reply(NewApiKey, decode_object(answer.content))


def _delivery(answer: HttpResponse) -> WebhookDelivery:
    return read_reply(WebhookDelivery, decode_object(answer.content))


def _suppression(answer: HttpResponse) -> Suppression:
    return read_reply(Suppression, decode_object(answer.content))


def _endpoint(answer: HttpResponse) -> WebhookEndpoint:
    return read_reply(WebhookEndpoint, decode_object(answer.content))


def _nothing(_answer: HttpResponse) -> None:
    """The status says it all."""
