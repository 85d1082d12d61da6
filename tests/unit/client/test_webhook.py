"""A webhook is accepted only if it was signed recently with a known secret."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from notifier.client import ConfigurationError, NotifierClientError, WebhookVerificationError, WebhookVerifier

OLD, NEW, OTHER = ("whsec_" + base64.b64encode(letter * 24).decode() for letter in (b"o", b"n", b"x"))
BODY = json.dumps(
    {"type": "notification.sent", "timestamp": "2026-01-31T12:00:00Z", "data": {"id": "1", "to": "ä@x.org"}}
).encode()


def signed(body: bytes = BODY, *secrets: str, age: float = 0, id_: str = "evt_1") -> dict[str, str]:
    """Headers of a message, signed with each secret."""
    at = datetime.fromtimestamp(int(time.time() - age), UTC)
    signatures = [Webhook(secret).sign(id_, at, body.decode()) for secret in secrets or (NEW,)]
    return {
        "Webhook-Id": id_,
        "webhook-timestamp": str(int(at.timestamp())),
        "WEBHOOK-SIGNATURE": " ".join(signatures),
    }


def test_a_signed_message_is_an_event() -> None:
    """A signed message becomes an event with the header's id, whatever the case of header names."""
    event = WebhookVerifier(NEW).verify(BODY, signed())
    assert (event.id, event.type) == ("evt_1", "notification.sent")
    assert event.timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert event.data == {"id": "1", "to": "ä@x.org"}


def test_the_library_agrees() -> None:
    """The standardwebhooks library accepts every message that we accept."""
    assert Webhook(NEW).verify(BODY, signed())["type"] == "notification.sent"


def test_secrets_are_rotated_without_a_gap() -> None:
    """During a rotation one secret in common is enough, on either side."""
    assert WebhookVerifier([OLD, NEW]).verify(BODY, signed(BODY, OLD)).id == "evt_1"
    assert WebhookVerifier([OLD, NEW]).verify(BODY, signed(BODY, NEW)).id == "evt_1"
    assert WebhookVerifier(NEW).verify(BODY, signed(BODY, OLD, NEW)).id == "evt_1"
    assert WebhookVerifier(NEW.removeprefix("whsec_")).verify(BODY, signed()).id == "evt_1"
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier([OLD, NEW]).verify(BODY, signed(BODY, OTHER))


@pytest.mark.parametrize("age", [-301, 302, 1_000_000])
def test_old_and_early_messages_are_refused(age: float) -> None:
    """Messages outside the tolerance, five minutes by default, are refused, so that recordings cannot be replayed."""
    headers = signed(age=age)
    with pytest.raises(WebhookVerificationError, match="clock"):
        WebhookVerifier(NEW).verify(BODY, headers)
    assert WebhookVerifier(NEW, tolerance=2_000_000).verify(BODY, headers).id == "evt_1"
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier(NEW, tolerance=30).verify(BODY, signed(age=60))


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": ""},
        {"Webhook-Id": "evt_2"},
        {"Webhook-Id": "\udcff"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "999999999999999999999"},
        {"WEBHOOK-SIGNATURE": ""},
        {"WEBHOOK-SIGNATURE": "v1"},
        {"WEBHOOK-SIGNATURE": "v1,"},
        {"WEBHOOK-SIGNATURE": "v1,%%% v2,x"},
        {"WEBHOOK-SIGNATURE": "v1,ä"},
    ],
    ids=str,
)
def test_headers_that_were_tampered_with(change: dict[str, str]) -> None:
    """Tampered headers always raise our error."""
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier(NEW).verify(BODY, signed() | change)


def test_a_version_that_we_do_not_know_does_not_count() -> None:
    """A correct digest under an unknown version is no signature."""
    headers = signed()
    headers["WEBHOOK-SIGNATURE"] = headers["WEBHOOK-SIGNATURE"].replace("v1,", "v2,")
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier(NEW).verify(BODY, headers)


def test_a_body_that_was_tampered_with() -> None:
    """A body that is longer, shorter, or not UTF-8 is refused."""
    for body in (BODY + b" ", BODY[:-1], b"\xff", b""):
        with pytest.raises(WebhookVerificationError):
            WebhookVerifier(NEW).verify(body, signed())


@pytest.mark.parametrize("nonsense", [[], {}, {"type": "x"}, {"type": "x", "timestamp": "soon"}, "x", None])
def test_signed_nonsense(nonsense: Any) -> None:
    """A signed body that is no event is refused."""
    body = json.dumps(nonsense).encode()
    with pytest.raises(WebhookVerificationError, match="not an event"):
        WebhookVerifier(NEW).verify(body, signed(body))


@pytest.mark.parametrize("secret", [[], "", "whsec_", "whsec_%%%ä", ["whsec_"]])
def test_a_secret_must_be_one(secret: Any) -> None:
    """An empty or invalid secret is refused, because it would verify everything."""
    with pytest.raises(ConfigurationError):
        WebhookVerifier(secret)


def test_the_secret_is_not_shown() -> None:
    """Neither repr nor an error shows the secret."""
    verifier = WebhookVerifier(NEW)
    assert NEW[6:20] not in repr(verifier)
    with pytest.raises(NotifierClientError) as caught:
        verifier.verify(BODY, {})
    assert NEW[6:20] not in str(caught.value)
