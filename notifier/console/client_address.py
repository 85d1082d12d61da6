"""Finds the address of the client behind trusted proxies, for the waits after wrong passwords.

A proxy appends the address of who called it to `X-Forwarded-For`. What a client wrote there itself stands further left
and is not believed.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def find_client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Find the client's address. `peer`: who is connected; `forwarded_for`: the values of the header, in order."""
    address = peer
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    while hops and _is_trusted(address, trusted):
        hop = _parse_address(hops.pop())
        if hop is None:
            break
        address = str(hop)
    return address


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parse_address(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, which some proxies write with the port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
