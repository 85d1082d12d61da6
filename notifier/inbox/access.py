"""Decides which requests the inbox accepts: by its own host names only, and changes from its own page only.

A web page can resolve its own name to this machine (DNS rebinding); the Host header then still has that name.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

SAFE_METHODS = {"GET", "HEAD"}
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - listens on every address
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Access:
    """The names by which an inbox may be reached, and the ports to which it may release mail."""

    bound_to: str = "127.0.0.1"  # the address that it listens on
    hosts: Collection[str] = ()  # other names by which it may be reached, such as that of a proxy
    release_ports: Collection[int] = ()  # of loopback, to which mail may be released

    def find_refusal(self, scope: Scope) -> str | None:
        """The reason why this request is refused, as a sentence for its sender; None if it is accepted."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return (
                "This inbox does not answer to this host name. Open it as localhost or 127.0.0.1, or start it with"
                " --allow-host and the name."
            )
        if scope["method"] not in SAFE_METHODS and _is_foreign(headers, hosts[0]):
            return "Another site may not change this inbox."
        return None

    def _is_own(self, value: str) -> bool:
        match = _HOST.fullmatch(value)
        if match is None:
            return False
        host = match[1].lower().rstrip(".")
        if host == "localhost" or host.endswith(".localhost") or host in {name.lower() for name in self.hosts}:
            return True
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            return host == self.bound_to.lower()
        # An IP address cannot come from DNS rebinding.
        return address.is_loopback or self.bound_to in _EVERYWHERE or str(address) == self.bound_to.lower()


def _is_foreign(headers: Headers, host: str) -> bool:
    """True if a page of another site sends this request, by Sec-Fetch-Site and Origin, which only browsers send."""
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    origins = headers.getlist("origin")
    return any(_parse_origin(origin) != host.lower() for origin in origins)


def _parse_origin(origin: str) -> str | None:
    """The host and port of an origin; None if it has none."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} else None
