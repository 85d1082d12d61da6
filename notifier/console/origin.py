"""Decides from where the console may be used: over HTTPS at its own address, or over HTTP on this machine.

A change must come from a page of the console itself. Browsers say so in `Sec-Fetch-Site` and `Origin`, so forms need
no tokens (docs/decisions/console-origin.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

SAFE_METHODS = frozenset({"GET", "HEAD"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, kw_only=True)
class RequestOrigin:
    """The address at which a browser reached the console."""

    origin: Origin
    is_secure: bool  # HTTPS, so that the cookie may be one that is never sent without


class WrongAddressError(Exception):
    """The console is not used at this address; `url` is where it is, if that is known."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        super().__init__(url)


def find_request_origin(scheme: str, headers: Headers, url: str | None) -> RequestOrigin:
    """Find the address at which the console was reached. `url`: where people open it. Raises `WrongAddressError`."""
    hosts = headers.getlist("host")
    reached = _parse_origin(f"{scheme}://{hosts[0]}") if len(hosts) == 1 else None
    if reached is None:
        raise WrongAddressError(url)
    own = _parse_origin(url) if url is not None else None
    # A proxy in front speaks HTTPS with the browser and HTTP with us, so only host and port are compared.
    if own is not None and hosts[0].lower() == urlsplit(url or "").netloc.lower():
        return RequestOrigin(origin=own, is_secure=own[0] == "https")
    if is_loopback_host(reached[1]):
        return RequestOrigin(origin=reached, is_secure=reached[0] == "https")
    if own is None and reached[0] == "https":
        return RequestOrigin(origin=reached, is_secure=True)
    raise WrongAddressError(url)


def is_from_own_page(headers: Mapping[str, str], own: Origin) -> bool:
    """True if a page of the console sends this request, as far as the browser says."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and _parse_origin(origin) == own


def is_loopback_host(host: str) -> bool:
    """True for names of this machine, which no other site can have."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_origin(text: str) -> Origin | None:
    """Parse an origin; None if it is not one of HTTP."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port or _DEFAULT_PORTS[parts.scheme]
