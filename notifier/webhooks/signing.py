"""Standard Webhooks: the secrets, and the fields by which a receiver knows that a webhook is ours, whole and fresh."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

SECRET_BYTES = 32  # the specification asks for 24 to 64


def generate_secret() -> str:
    """A fresh secret, in the form that receivers' libraries take."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def build_signature_headers(webhook_id: str, at: datetime, body: str, keys: Sequence[str]) -> dict[str, str]:
    """The three header fields of one try at `at`; one signature for each secret that is valid now."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(webhook_id, at, body) for key in keys),
    }
