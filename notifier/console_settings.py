"""Settings of the staff console."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from notifier.environment import check_public_url

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _check_console_url(value: str | None) -> str | None:
    """Raise `ValueError` if passwords would be sent to the URL in clear."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK_HOSTS:
        raise ValueError("must begin with https://, because passwords are sent to it")
    if parts.path not in {"", "/"}:
        raise ValueError("must have no path: the console is at /console below it")
    return value.rstrip("/")


class ConsoleSettings(BaseModel):
    """The staff console."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    url: Annotated[str | None, AfterValidator(check_public_url), AfterValidator(_check_console_url)] = Field(
        None,
        description="URL at which people open the console, such as `https://notifier.example.com`. Default: the"
        " address that they use; without HTTPS it opens on this machine only.",
    )
