"""Where Notifier is and who calls it, from arguments or from `NOTIFIER_URL` and `NOTIFIER_API_KEY`.

The key is shown by nothing: not by `repr`, not in a log line, not in an error.
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
    """What each request needs besides what is asked."""

    url: str
    key: str = field(repr=False)
    timeout: float  # seconds for one try
    retries: RetryPolicy

    @classmethod
    def from_arguments(
        cls, url: str | None, key: str | None, timeout: float, retries: RetryPolicy | None
    ) -> "Configuration":
        """The arguments, completed from the environment. Raises `ConfigurationError`."""
        url = (url or os.environ.get("NOTIFIER_URL", "")).strip()
        key = (key or os.environ.get("NOTIFIER_API_KEY", "")).strip()
        if not url:
            raise ConfigurationError("no URL: give url=, or set NOTIFIER_URL")
        if not key:
            raise ConfigurationError("no API key: give key=, or set NOTIFIER_API_KEY")
        if not _KEY.fullmatch(key):
            raise ConfigurationError("an API key consists of printable ASCII characters without spaces")
        if timeout <= 0:
            raise ConfigurationError("timeout is a number of seconds above 0")
        return cls(url=_checked(url), key=key, timeout=timeout, retries=retries or RetryPolicy())

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        return {
            "Authorization": f"Bearer {self.key}",
            "Accept": "application/json, application/problem+json",
            "User-Agent": f"notifier-python/{__version__}",
        }


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"the URL cannot be read: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError("the URL is that of the API, such as https://notifier.example.com")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigurationError("the URL has no user, query or fragment: the key is given apart from it")
    return url.rstrip("/")


def build_timeout(seconds: float) -> httpx2.Timeout:
    """How long one try may wait: to connect, to write, for each piece of the answer, and for a free connection."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
