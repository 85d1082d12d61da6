"""Converts and checks the values of settings: lists, fixed words, URLs, host names and keys."""

import base64
import re

from pydantic import SecretStr

SECRET_KEY_BYTES = 32
_PUBLIC_URL = re.compile(r"https?://[^\s\"'<>?#]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9.\-\[\]:]+")


def split_commas(value: object) -> object:
    """Split a comma-separated text into its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def to_lower_case(value: object) -> object:
    """Convert a text to lower case, for a setting with fixed values."""
    return value.strip().lower() if isinstance(value, str) else value


def to_upper_case(value: object) -> object:
    """Convert a text to upper case, for a setting with fixed values."""
    return value.strip().upper() if isinstance(value, str) else value


def check_public_url(value: str | None) -> str | None:
    """Raise `ValueError` if links cannot begin with the URL."""
    if value is not None and not _PUBLIC_URL.fullmatch(value):
        raise ValueError("must be an address such as https://notifier.example.com, without spaces, quotes, ? and #")
    return value


def check_host_name(value: str) -> str:
    """Raise `ValueError` if the name cannot be sent in EHLO."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name such as mail.example.com")
    return value


def read_secret_keys(value: str) -> tuple[bytes, ...]:
    """Parse comma-separated keys in base64. Raises `ValueError`, whose message contains no key."""
    keys = []
    for text in value.split(","):
        try:
            keys.append(base64.b64decode(text.strip(), validate=True))
        except ValueError:
            keys.append(b"")
    if any(len(key) != SECRET_KEY_BYTES for key in keys):
        raise ValueError("must be 32 random bytes in base64, as `openssl rand -base64 32` prints them")
    return tuple(keys)


def check_secret_keys(value: SecretStr | None) -> SecretStr | None:
    """Raise `ValueError` if a key is invalid."""
    if value is not None:
        read_secret_keys(value.get_secret_value())
    return value
