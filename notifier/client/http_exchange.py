"""The HTTP side of a client: its URL and key, its timeouts, and what httpx2 returns and raises.

URL and key come from arguments or from `NOTIFIER_URL` and `NOTIFIER_API_KEY`. The key appears in no `repr`, log line
or error.
"""

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

import httpx2

from notifier import __version__
from notifier.client.api_call import HttpResponse, NoResponse
from notifier.client.errors import ConfigurationError
from notifier.client.retry_policy import RetryPolicy

_KEY = re.compile(r"[\x21-\x7e]+")
_NEVER_ARRIVED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_INVALID_REQUEST = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""A stream is lost after this silence; the server sends something every 15 seconds."""


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
    """Build the timeouts of one attempt: connecting, writing, each part of the reply, and a free connection."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def convert_response(response: httpx2.Response) -> HttpResponse:
    """Convert a response of httpx2."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpResponse(status=response.status_code, headers=headers, content=response.content, at=datetime.now(UTC))


def classify_failure(error: httpx2.RequestError) -> NoResponse:
    """Classify an exception: only if no connection was made is it certain that no server read the request."""
    arrived = not isinstance(error, _NEVER_ARRIVED + _INVALID_REQUEST)
    return NoResponse(error=error, may_have_arrived=arrived, is_permanent=isinstance(error, _INVALID_REQUEST))


class EventParser:
    """Joins lines to server-sent events (WHATWG HTML, 9.2.6), of which it uses the data only.

    The event `end`, with which the server ends a stream early, is skipped.
    """

    def __init__(self) -> None:
        self._data: list[str] = []
        self._name = ""

    def feed(self, line: str) -> HttpResponse | None:
        """Take a line, and return the event that it completes as a reply of its own, or None."""
        if line:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif name == "event":
                self._name = value.removeprefix(" ")
            return None
        (data, self._data), (event, self._name) = (self._data, []), (self._name, "")
        if not data or event == "end":
            return None
        return HttpResponse(status=HTTPStatus.OK, headers={}, content="\n".join(data).encode(), at=datetime.now(UTC))
