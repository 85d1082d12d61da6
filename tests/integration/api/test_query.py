"""Invalid query parameters are refused by name on both databases, never with 500."""

import httpx2
import pytest
from integration.api.refusal import faults
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring

TEXTS = [
    ("notifications", "to"),
    ("notifications", "template"),
    ("notifications", "tag"),
    ("suppressions", "address"),
    ("audit", "actor"),
]


async def test_nul_in_a_query_is_refused(installation: Installation, parts: wiring.ProcessParts) -> None:
    """NUL in a query is refused on PostgreSQL, which cannot store it, and on SQLite."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        key = await key_admin.create_live_key(connection, shop, scopes=tuple(KeyScope), now=parts.clock.now())
    async with installation.open_client(parts, key) as client:
        for where, name in TEXTS:
            reply = await client.get(f"/v1/{where}", params={name: "a\x00b"})
            assert faults(reply) == {(f"/query/{name}", "invalid_parameter")}, name
            assert (await client.get(f"/v1/{where}", params={name: "a b"})).status_code == 200, name


@pytest.mark.parametrize("text", ["0", "1900000000", "0.5", "2026-01-31", "2026-01-31T12:00:00"])
async def test_a_time_in_a_query_is_written_out(client: httpx2.AsyncClient, text: str) -> None:
    """Seconds since 1970 and times without an offset are refused."""
    for name in ("created_after", "created_before"):
        reply = await client.get("/v1/notifications", params={name: text})
        assert faults(reply) == {(f"/query/{name}", "invalid_parameter")}, name
    assert (await client.get("/v1/notifications", params={"created_after": "2026-01-31T12:00:00Z"})).status_code == 200
