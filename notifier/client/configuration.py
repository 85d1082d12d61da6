"""The URL and the key, from arguments or from `NOTIFIER_URL` and `NOTIFIER_API_KEY`.

The key appears in no `repr`, log line or error.
"""

import os
import re
from dataclasses import dataclass, field

import httpx2

from notifier import __version__
from notifier.client.errors import ConfigurationError
from notifier.client.retry_policy import RetryPolicy

_KEY = re.compile(r"[\x21-\x7e]+")
CONNECT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings of a client."""

    url: str
    key: str = field(repr=False)
    timeout: float  # seconds for one attempt
    retries: RetryPolicy

    @classmethod
    def from_arguments(
        cls, url: str | None, key: str | None, timeout: float, retries: RetryPolicy | None
    ) -> "Configuration":
        """Complete the arguments from the environment. Raises `ConfigurationError`."""
        url = (url or os.environ.get("NOTIFIER_URL", "")).strip()
        key = (key or os.environ.get("NOTIFIER_API_KEY", "")).strip()
        if not url:
            raise ConfigurationError("no URL: pass url=, or set NOTIFIER_URL")
        if not key:
            raise ConfigurationError("no API key: pass key=, or set NOTIFIER_API_KEY")
        if not _KEY.fullmatch(key):
            raise ConfigurationError("an API key consists of printable ASCII characters without spaces")
        if timeout <= 0:
            raise ConfigurationError("timeout must be a number of seconds above 0")
        return cls(url=_check_url(url), key=key, timeout=timeout, retries=retries or RetryPolicy())

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        return {
            "Authorization": f"Bearer {self.key}",
            "Accept": "application/json, application/problem+json",
            "User-Agent": f"notifier-python/{__version__}",
        }


def _check_url(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"the URL cannot be read: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError("the URL must be that of the API, such as https://notifier.example.com")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigurationError("the URL must have no user, query or fragment: pass the key separately")
    return url.rstrip("/")


def build_timeout(seconds: float) -> httpx2.Timeout:
    """The timeouts of one attempt: to connect, to write, for each part of the reply, and for a free connection."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
