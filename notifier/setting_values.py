"""What all groups of settings share: their base, and checks of values such as lists, URLs, host names and keys."""

import base64
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_settings import NoDecode

SECRET_KEY_BYTES = 32
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
PLACEHOLDERS = frozenset({"changeme", "change-me", "secret", "password", "xxx", "todo"})
"""Words that stand for a secret in examples, and are refused as one."""
_PUBLIC_URL = re.compile(r"https?://[^\s\"'<>?#]+")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_RELAY_HOST = re.compile(r"[\w.\-]+|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%\w]*\]?")
_HOST_NAME = re.compile(r"[A-Za-z0-9.\-\[\]:]+")


class SettingsGroup(BaseModel):
    """A group of settings; an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)


def split_commas(value: object) -> object:
    """Split a comma-separated text into its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def to_lower_case(value: object) -> object:
    """Convert a text to lower case, for a setting with fixed values."""
    return value.strip().lower() if isinstance(value, str) else value


def to_upper_case(value: object) -> object:
    """Convert a text to upper case, for a setting with fixed values."""
    return value.strip().upper() if isinstance(value, str) else value


def _check_public_url(value: str) -> str:
    """Raise `ValueError` if links cannot begin with the URL."""
    if not _PUBLIC_URL.fullmatch(value):
        raise ValueError("must be an address such as https://notifier.example.com, without spaces, quotes, ? and #")
    return value


def check_host_name(value: str) -> str:
    """Raise `ValueError` if the name cannot be sent in EHLO."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name such as mail.example.com")
    return value


def _check_relay_host(value: str) -> str:
    """Raise `ValueError` if the value is a URL, or has a port or a user in it."""
    if not _RELAY_HOST.fullmatch(value):
        raise ValueError("must be a name or an address alone, such as smtp.example.com; the port has its own variable")
    return value


def _check_address(value: str) -> str:
    """Raise `ValueError` if the value cannot be an e-mail address."""
    if not _ADDRESS.fullmatch(value):
        raise ValueError("must be an address such as ada@example.com")
    return value


def _check_allow_list(values: tuple[str, ...]) -> tuple[str, ...]:
    """Raise `ValueError` if an entry is neither an address nor a domain after an @, and so would never match."""
    for value in values:
        if not _ADDRESS.fullmatch(f"x{value}" if value.startswith("@") else value):
            raise ValueError(f"{value[:40]!r} is neither an address nor a domain such as @example.org")
    return values


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


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
AllowList = Annotated[CommaSeparated, AfterValidator(_check_allow_list)]
Address = Annotated[str, AfterValidator(_check_address)]
RelayHost = Annotated[str, AfterValidator(_check_relay_host)]
PublicUrl = Annotated[str, AfterValidator(_check_public_url)]
