"""Encrypted secrets: written under the first key, read with any, and refused with another key or after a change."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from notifier.webhooks import endpoint_secret
from notifier.webhooks.endpoint_secret import ENCRYPTED_PREFIX, SecretBox, UnreadableSecretError

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
MAX_COLUMN = 128


def box(*keys: str) -> SecretBox:
    """A secret box with these keys."""
    return SecretBox.from_setting(SecretStr(", ".join(keys)) if keys else None)


def test_what_is_sealed_is_hidden_and_opened_again() -> None:
    """The same secret encrypts to two different texts that fit the column; neither it nor the key is shown."""
    secret = endpoint_secret.generate_secret()
    first, second = (box(OLD).seal(secret) for _ in range(2))
    assert first != second
    for stored in (first, second):
        assert stored.startswith(ENCRYPTED_PREFIX)
        assert len(stored) <= MAX_COLUMN
        assert secret.removeprefix("whsec_") not in stored
        assert box(OLD).open(stored) == secret
    assert OLD not in repr(box(OLD))
    assert str(b"\x01") not in repr(box(OLD))


def test_keys_are_changed_one_after_the_other() -> None:
    """The first of two keys encrypts and both decrypt; unencrypted secrets are read with any keys."""
    secret = endpoint_secret.generate_secret()
    before, after = box(OLD).seal(secret), box(NEW, OLD).seal(secret)
    assert box(NEW, OLD).open(before) == box(NEW).open(after) == secret
    for keys, stored in (((NEW,), before), ((OLD,), after), ((), before)):
        assert not box(*keys).can_open(stored)
        with pytest.raises(UnreadableSecretError, match="NOTIFIER_SECRET_KEY"):
            box(*keys).open(stored)
    assert box().seal(secret) == box().open(secret) == box(OLD).open(secret) == secret


@given(st.text(), st.integers(0, 200), st.integers(1, 255))
def test_what_was_changed_is_refused(secret: str, place: int, bits: int) -> None:
    """A change of any byte is refused; any text is decrypted to itself."""
    stored = box(OLD).seal(secret)
    assert box(OLD).open(stored) == secret
    octets = bytearray(base64.b64decode(stored.removeprefix(ENCRYPTED_PREFIX)))
    octets[place % len(octets)] ^= bits
    assert not box(OLD).can_open(ENCRYPTED_PREFIX + base64.b64encode(octets).decode())
    for broken in (
        ENCRYPTED_PREFIX,
        f"{ENCRYPTED_PREFIX}!",
        f"{ENCRYPTED_PREFIX}AAAA",
        stored[:-4],
        stored.replace("enc1", "enc2"),
    ):
        assert broken.startswith("enc2") or not box(OLD).can_open(broken)
