"""The calls about whose key it is, addresses that are not mailed, and webhook endpoints."""

from collections.abc import Sequence
from http import HTTPMethod
from typing import Unpack
from uuid import UUID

from notifier.client.call import Answer, Call, PageCall, page_of, segment
from notifier.client.reading import decode, read
from notifier.client.reply import Caller, Suppression, WebhookEndpoint
from notifier.client.request import SuppressionFilter, SuppressionWish, body_of, query_of

_SUPPRESSIONS = "/v1/suppressions"
_WEBHOOKS = "/v1/webhooks"


def whoami() -> Call[Caller]:
    """Whose key this is, and what it may do."""
    return Call(method=HTTPMethod.GET, path="/v1/whoami", read=lambda answer: read(Caller, decode(answer.content)))


def suppressions(**wanted: Unpack[SuppressionFilter]) -> PageCall[Suppression]:
    """Addresses that stop your mail, newest first: your own ones, and those of the instance."""
    return Call(
        method=HTTPMethod.GET,
        path=_SUPPRESSIONS,
        query=query_of(wanted),
        read=lambda answer: page_of(Suppression, answer, "suppressions"),
    )


def suppression(id_: str | UUID, /) -> Call[Suppression]:
    """One of them."""
    return Call(method=HTTPMethod.GET, path=f"{_SUPPRESSIONS}/{segment(id_)}", read=_suppression)


def suppress(address: str, /, **wish: Unpack[SuppressionWish]) -> Call[Suppression]:
    """Mail an address no more, or until `expires_at`. One that is there keeps its reason, and the later end."""
    return Call(
        method=HTTPMethod.POST,
        path=_SUPPRESSIONS,
        body=body_of({"address": address, **wish}),
        same_twice=True,
        read=_suppression,
    )


def lift(id_: str | UUID, /, *, comment: str | None = None) -> Call[None]:
    """Let the address be mailed again; `PermissionDeniedError` for one of the instance."""
    return Call(
        method=HTTPMethod.DELETE,
        path=f"{_SUPPRESSIONS}/{segment(id_)}",
        body=body_of({"comment": comment}),
        read=_nothing,
    )


def webhooks(*, limit: int | None = None, before: str | None = None) -> PageCall[WebhookEndpoint]:
    """Your webhook endpoints."""
    return Call(
        method=HTTPMethod.GET,
        path=_WEBHOOKS,
        query=query_of({"limit": limit, "before": before}),
        read=lambda answer: page_of(WebhookEndpoint, answer, "webhooks"),
    )


def webhook(id_: str | UUID, /) -> Call[WebhookEndpoint]:
    """One endpoint."""
    return Call(method=HTTPMethod.GET, path=f"{_WEBHOOKS}/{segment(id_)}", read=_endpoint)


def create_webhook(
    *, url: str, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookEndpoint]:
    """Have a URL told about your notifications; the answer has the secret for `WebhookVerifier`."""
    return Call(
        method=HTTPMethod.POST,
        path=_WEBHOOKS,
        body=body_of({"url": url, "events": events, "description": description}),
        read=_endpoint,
    )


def update_webhook(
    id_: str | UUID,
    /,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
) -> Call[WebhookEndpoint]:
    """Change an endpoint; what is not named stays as it is."""
    return Call(
        method=HTTPMethod.PATCH,
        path=f"{_WEBHOOKS}/{segment(id_)}",
        body=body_of({"url": url, "events": events, "description": description}),
        same_twice=True,
        read=_endpoint,
    )


def delete_webhook(id_: str | UUID, /) -> Call[None]:
    """Tell an endpoint nothing more."""
    return Call(method=HTTPMethod.DELETE, path=f"{_WEBHOOKS}/{segment(id_)}", read=_nothing)


def _suppression(answer: Answer) -> Suppression:
    return read(Suppression, decode(answer.content))


def _endpoint(answer: Answer) -> WebhookEndpoint:
    return read(WebhookEndpoint, decode(answer.content))


def _nothing(_answer: Answer) -> None:
    """The status says it all."""
