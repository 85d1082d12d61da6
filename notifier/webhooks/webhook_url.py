"""Checks the URL of a webhook, when it is saved and before every attempt, and the addresses of its host.

The host that it returns is the one that is resolved, connected to, named in TLS and sent as `Host`. Only public
addresses are accepted, so that no webhook reaches into our own network.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

import idna

from notifier.errors import NotifierError

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
ALLOWED_PORTS = (443, 8443)
_DEFAULT_PORT = {"https": 443, "http": 80}
# No space, control character, backslash (browsers read it as a slash), or character that must be escaped.
_WHOLE = re.compile(r"[^\x00-\x20\x7f\\\"<>^`{|}]+")
_AFTER_HOST = re.compile(r"[\x21-\x7e]*")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# As the last label of a name, `inet_aton` and many resolvers read this as an IPv4 address: 127.1, 0x7f000001.
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
        raise UrlRefusedError("it has a space, a control character, or one that must be percent-encoded")
    try:
        parts = urlsplit(url)
        hostname, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UrlRefusedError("not a URL") from error
    _check_parts(url, parts)
    is_trusted = hostname.lower() in {host.lower() for host in trusted}
    if "[" in parts.netloc and not is_trusted:  # an IPv6 address, or a text that the parser does not check
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
        raise UrlRefusedError("a URL must not have a user name or password: the signature proves who calls")
    if "#" in url:
        raise UrlRefusedError("a URL must not have a fragment, because it would not be sent")
    if not _AFTER_HOST.fullmatch(parts.path + parts.query):
        raise UrlRefusedError("characters outside ASCII must be percent-encoded")


def _check_host(hostname: str) -> str:
    """Return the name to resolve. Addresses are refused in every notation: certificates name hosts."""
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


# The list is our own: `ipaddress.is_global` accepts multicast, site-local addresses and IPv4 embedded in IPv6.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918), as are 172.16 and 192.168
            "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local (RFC 3927), and the metadata of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.0.2.0/24",  # documentation (RFC 5737), as are 198.51.100 and 203.0.113
            "192.31.196.0/24",  # AS112 (RFC 7535)
            "192.52.193.0/24",  # AMT (RFC 7450)
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "192.168.0.0/16",
            "192.175.48.0/24",  # AS112 (RFC 7534)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and the broadcast address
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")  # global unicast (RFC 4291 §2.4)
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID (RFC 2928)
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4, whatever IPv4 address is in it (RFC 7526)
            "2620:4f:8000::/48",  # AS112 (RFC 7534)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; the local prefix 64:ff9b:1::/48 (RFC 8215) stays refused


def is_public_address(text: str) -> bool:
    """True if the address, in the form that a resolver returns, is public and may be connected to."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _is_public_4(address) if isinstance(address, IPv4Address) else _is_public_6(address)


def _is_public_4(address: IPv4Address) -> bool:
    return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address in _NAT64:  # in a network without IPv4, each IPv4 host has such an address
        return _is_public_4(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_6 and address.is_global and not any(address in network for network in _NOT_PUBLIC_6)
