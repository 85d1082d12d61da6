"""Signatures, verified with the reference library."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from notifier.webhooks import endpoint_secret


def test_a_secret_is_whsec_and_32_octets() -> None:
    """A secret has the form that libraries accept, and no two are the same."""
    secrets = {endpoint_secret.generate_secret() for _ in range(10)}
    assert len(secrets) == 10
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


def test_each_valid_secret_signs() -> None:
    """During a rotation either secret verifies; a third secret or a changed letter does not."""
    new, old = endpoint_secret.generate_secret(), endpoint_secret.generate_secret()
    body = '{"name":"Ærøskøbing"}'
    fields = endpoint_secret.build_signature_headers("msg_1", datetime.now(UTC), body, [new, old])
    assert [secret[:3] for secret in fields["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    for secret in (new, old):
        assert Webhook(secret).verify(body, fields) == {"name": "Ærøskøbing"}
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint_secret.generate_secret()).verify(body, fields)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body.replace("k", "c"), fields)
