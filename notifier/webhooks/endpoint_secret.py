"""The secrets of endpoints: generated and used as Standard Webhooks says, and encrypted in the database.

They are encrypted (AES-256-GCM, NIST SP 800-38D) if the operator has set a key.
"""

import base64
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr
from standardwebhooks import Webhook

from notifier.errors import NotifierError
from notifier.setting_values import read_secret_keys

SECRET_BYTES = 32  # the specification asks for 24 to 64
ENCRYPTED_PREFIX = "enc1:"
"""The prefix of an encrypted secret; in clear a secret begins with `whsec_`."""
_NONCE_BYTES = 12


def generate_secret() -> str:
    """Generate a secret in the form that Standard Webhooks libraries take."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def build_signature_headers(webhook_id: str, at: datetime, body: str, keys: Sequence[str]) -> dict[str, str]:
    """Build the three header fields of an attempt at `at`, with one signature for each valid secret."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(webhook_id, at, body) for key in keys),
    }


class UnreadableSecretError(NotifierError):
    """A secret was encrypted under a key that is not in NOTIFIER_SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(
            "the secret was encrypted under a key that NOTIFIER_SECRET_KEY does not have: put that key back,"
            " behind the new one, or rotate the secret of the endpoint"
        )


@dataclass(frozen=True)
class SecretBox:
    """The keys of this instance: the first encrypts, all decrypt. Without keys nothing is encrypted."""

    keys: Sequence[bytes] = field(default=(), repr=False)

    @classmethod
    def from_setting(cls, setting: SecretStr | None) -> "SecretBox":
        """Read the keys from the setting."""
        return cls(read_secret_keys(setting.get_secret_value()) if setting else ())

    def seal(self, secret: str) -> str:
        """Encrypt a secret for the database."""
        if not self.keys:
            return secret
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + AESGCM(self.keys[0]).encrypt(nonce, secret.encode(), None)
        return ENCRYPTED_PREFIX + base64.b64encode(sealed).decode()

    def open(self, stored: str) -> str:
        """Decrypt a stored secret. Raises `UnreadableSecretError`."""
        if not stored.startswith(ENCRYPTED_PREFIX):
            return stored
        try:
            sealed = base64.b64decode(stored.removeprefix(ENCRYPTED_PREFIX), validate=True)
        except ValueError as error:
            raise UnreadableSecretError from error
        for key in self.keys:
            with suppress(InvalidTag, ValueError):  # encrypted under another key, or too short for a nonce
                return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()
        raise UnreadableSecretError

    def can_open(self, stored: str) -> bool:
        """True for a secret in clear, and for one that a key decrypts."""
        try:
            self.open(stored)
        except UnreadableSecretError:
            return False
        return True
