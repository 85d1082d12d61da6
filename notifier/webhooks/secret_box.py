"""Secrets of endpoints as the database keeps them: encrypted under a key of the environment, or in clear without one.

Encrypted with what Python has, because nothing else here needs a library for it: the secret is combined with
HMAC-SHA256 of a random nonce, which is never used twice, and all of it is authenticated (encrypt, then MAC).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from notifier.environment import read_secret_keys
from notifier.errors import NotifierError

MARK = "enc1:"
"""How an encrypted secret begins; in clear they begin with `whsec_`."""
_NONCE = _TAG = 16  # bytes


class UnreadableSecretError(NotifierError):
    """A secret was encrypted under a key that is not in NOTIFIER_SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(
            "the secret was encrypted under a key that NOTIFIER_SECRET_KEY does not have: put that key back,"
            " behind the new one, or rotate the secret of the endpoint"
        )


@dataclass(frozen=True)
class SecretBox:
    """The keys of this instance: the first encrypts, all decrypt; without any, secrets are written as they are."""

    keys: Sequence[bytes] = field(default=(), repr=False)

    @classmethod
    def of(cls, setting: SecretStr | None) -> "SecretBox":
        """The keys that the setting has."""
        return cls(read_secret_keys(setting.get_secret_value()) if setting else ())

    def seal(self, secret: str) -> str:
        """The secret as it is written down."""
        if not self.keys:
            return secret
        key, nonce, plain = self.keys[0], secrets.token_bytes(_NONCE), secret.encode()
        hidden = _combine(plain, key, nonce)
        sealed = base64.b64encode(nonce + hidden + _tag(key, nonce + hidden)).decode()
        return f"{MARK}{sealed}"

    def open(self, stored: str) -> str:
        """The secret itself. Raises `UnreadableSecretError`."""
        if not stored.startswith(MARK):
            return stored
        try:
            sealed = base64.b64decode(stored.removeprefix(MARK), validate=True)
        except ValueError as error:
            raise UnreadableSecretError from error
        body, tag = sealed[:-_TAG], sealed[-_TAG:]
        for key in self.keys:
            if hmac.compare_digest(tag, _tag(key, body)):
                return _combine(body[_NONCE:], key, body[:_NONCE]).decode()
        raise UnreadableSecretError

    def can_open(self, stored: str) -> bool:
        """True for a secret in clear, and for one under one of the keys."""
        try:
            self.open(stored)
        except UnreadableSecretError:
            return False
        return True


def _combine(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """The data, exclusive-or a stream that only who has the key can make: to encrypt, and to decrypt."""
    own = hmac.digest(key, b"notifier secret box 1: encrypt", hashlib.sha256)
    blocks = range(-(-len(data) // hashlib.sha256().digest_size))
    stream = b"".join(hmac.digest(own, nonce + number.to_bytes(4, "big"), hashlib.sha256) for number in blocks)
    return bytes(one ^ other for one, other in zip(data, stream, strict=False))


def _tag(key: bytes, data: bytes) -> bytes:
    own = hmac.digest(key, b"notifier secret box 1: authenticate", hashlib.sha256)
    return hmac.digest(own, data, hashlib.sha256)[:_TAG]
