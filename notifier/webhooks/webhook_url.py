"""Parses and checks the URL of a webhook, when it is saved and again before every attempt.

The host that it returns is the one that is resolved, connected to, named in TLS and sent as `Host`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import idna

from notifier.errors import NotifierError

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
ALLOWED_PORTS = (443, 8443)
_DEFAULT_PORT = {"https": 443, "http": 80}
# No space, no control character, no backslash (browsers read it as a slash), and nothing that must be escaped.
_WHOLE = re.compile(r"[^\x00-\x20\x7f\\\"<>^`{|}]+")
_AFTER_HOST = re.compile(r"[\x21-\x7e]*")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What `inet_aton`, and with it many a resolver, takes for an IPv4 address if it is the last label: 127.1, 0x7f000001.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


class UrlRefusedError(NotifierError):
    """The URL of a webhook may not be called."""


@dataclass(frozen=True, kw_only=True)
class WebhookTarget:
    """The parts of a URL that may be called."""

    secure: bool
    host: str  # in lower case, as A-labels, without a dot at the end
    port: int
    path: str  # with the query
    trusted: bool  # listed in NOTIFIER_WEBHOOKS__INSECURE_HOSTS: any address and port

    @property
    def authority(self) -> str:
        """The value of the Host field."""
        is_default = self.port == _DEFAULT_PORT["https" if self.secure else "http"]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if is_default else f"{host}:{self.port}"


def parse_webhook_url(url: str, trusted: Collection[str] = ()) -> WebhookTarget:
    """Parse a URL. Raises `UrlRefusedError` with a message for its author."""
    if len(url) > MAX_URL_LENGTH:
        raise UrlRefusedError(f"a URL has at most {MAX_URL_LENGTH} characters")
    if not _WHOLE.fullmatch(url):
        raise UrlRefusedError("a space, a control character, or one that must be percent-encoded")
    try:
        parts = urlsplit(url)
        hostname, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UrlRefusedError("not a URL") from error
    _check_parts(url, parts)
    is_trusted = hostname.lower() in {host.lower() for host in trusted}
    if "[" in parts.netloc and not is_trusted:  # an address, or something that the parser does not check
        raise UrlRefusedError("the host must be a name, not an address")
    host = hostname.lower() if is_trusted else _check_host(hostname)
    if parts.scheme != "https" and not is_trusted:
        raise UrlRefusedError("only https:// URLs are called")
    if port is None and parts.netloc.endswith(":"):
        raise UrlRefusedError("the port is missing")
    number = _DEFAULT_PORT[parts.scheme] if port is None else port
    if number not in ALLOWED_PORTS and not is_trusted:
        raise UrlRefusedError(f"the port must be one of {', '.join(map(str, ALLOWED_PORTS))}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(secure=parts.scheme == "https", host=host, port=number, path=path, trusted=is_trusted)


def _check_parts(url: str, parts: SplitResult) -> None:
    if parts.scheme not in _DEFAULT_PORT or not url[len(parts.scheme) :].startswith("://"):
        raise UrlRefusedError("only https:// URLs are called")
    if "@" in parts.netloc:
        raise UrlRefusedError("no user name or password in a URL: the signature says who calls")
    if "#" in url:
        raise UrlRefusedError("no fragment in a URL: it would not be sent")
    if not _AFTER_HOST.fullmatch(parts.path + parts.query):
        raise UrlRefusedError("characters outside ASCII must be percent-encoded")


def _check_host(hostname: str) -> str:
    """Return the name to resolve. Addresses are refused in every notation, because no certificate names them."""
    if not hostname or ":" in hostname or "%" in hostname:
        raise UrlRefusedError("the host must be a name, not an address")
    host = hostname.lower().removesuffix(".")
    try:
        host = idna.encode(host, uts46=True).decode() if not host.isascii() else host
    except idna.IDNAError as error:
        raise UrlRefusedError("the host is not a valid name") from error
    labels = host.split(".")
    if len(host) > MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefusedError("the host is not a valid name")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise UrlRefusedError("the host must be a name, not an address")
    if len(labels) == 1 or labels[-1] in {"localhost", "local", "internal", "localdomain"}:
        raise UrlRefusedError("the host must be a public name")
    return host
