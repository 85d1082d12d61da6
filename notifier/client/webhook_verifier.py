"""Verifies webhooks of Notifier (Standard Webhooks)."""

import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from notifier.client.errors import ConfigurationError, WebhookVerificationError

TOLERANCE_SECONDS = 300.0
_SECONDS = re.compile(r"[0-9]{1,11}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class WebhookEvent:
    """A verified event."""

    id: str  # the same at every delivery of the event: remember it, and handle the event once
    type: str  # notification.<status>
    timestamp: datetime  # when it happened
    data: Mapping[str, Any] = field(default_factory=dict)


class WebhookVerifier:
    """Accepts only webhooks that are signed with one of the secrets; during a rotation pass both."""

    def __init__(self, secret: str | Sequence[str], *, tolerance: float = TOLERANCE_SECONDS) -> None:
        """Take the secrets (`whsec_…`) and the most seconds between the timestamp and now."""
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets:
            raise ConfigurationError("a webhook secret is required")
        try:
            self._webhooks = [Webhook(text) for text in secrets]
        except (ValueError, EmptyWebhookSecretError) as error:
            raise ConfigurationError("a webhook secret must be whsec_ followed by base64") from error
        self._tolerance = tolerance

    def verify(self, body: bytes, headers: Mapping[str, str]) -> WebhookEvent:
        """Verify a body, which must be the exact bytes received. Raises `WebhookVerificationError`."""
        fields = {name.lower(): value for name, value in headers.items()}
        id_, stamp, signatures = (fields.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (_VISIBLE.fullmatch(id_) and stamp and signatures.isascii()):
            raise WebhookVerificationError("webhook-id, webhook-timestamp or webhook-signature is missing or invalid")
        self._check_time(stamp)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise WebhookVerificationError("the body is not UTF-8") from error
        if not self._is_signed(id_, datetime.fromtimestamp(int(stamp), UTC), text, signatures):
            raise WebhookVerificationError("no signature was made with one of the secrets")
        return _parse_event(id_, text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(secrets={len(self._webhooks)})"

    def _check_time(self, stamp: str) -> None:
        if not _SECONDS.fullmatch(stamp):
            raise WebhookVerificationError("webhook-timestamp is not a number of seconds")
        if abs(time.time() - int(stamp)) > self._tolerance:
            raise WebhookVerificationError("the message is too old, or from the future: check the clock")

    def _is_signed(self, id_: str, at: datetime, text: str, signatures: str) -> bool:
        """True if any signature is valid; each is compared in constant time."""
        expected = [webhook.sign(id_, at, text).encode() for webhook in self._webhooks]
        received = [signature.encode() for signature in signatures.split(" ")]
        return any([hmac.compare_digest(own, other) for own in expected for other in received])  # noqa: C419 - all of them


def _parse_event(id_: str, text: str) -> WebhookEvent:
    try:
        fields = json.loads(text)
        return WebhookEvent(
            id=id_,
            type=str(fields["type"]),
            timestamp=datetime.fromisoformat(fields["timestamp"]),
            data=dict(fields.get("data") or {}),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WebhookVerificationError(
            "the body is signed, but is not an event that this version understands"
        ) from error
