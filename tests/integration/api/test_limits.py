"""A19: rate limits per minute, and how replies report them."""

import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import Written, outcome, problem
from sqlalchemy import update
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import ApiKey, Service, Table
from notifier.runtime import wiring

BATCH = {"notifications": [WELCOME] * 3}


def _limited(installation: Installation, key: int, service: int = 0) -> Installation:
    return installation.with_settings(api={"rate_per_minute": key, "service_rate_per_minute": service})


async def _set(parts: wiring.ProcessParts, table: type[Table], rate: int | None) -> None:
    async with parts.database.write() as connection:
        await connection.execute(update(table).values(rate_per_minute=rate))


async def test_a_runaway_loop_is_stopped(installation: Installation, written: Written) -> None:
    """The third request of two allowed is 429 with Retry-After and writes nothing; reads still work."""
    limited = _limited(installation, 2)
    async with limited.open_parts() as parts, limited.open_client(parts) as client:
        replies = [await client.post("/v1/notifications", json=WELCOME) for _ in range(3)]
        reading = await client.get("/v1/notifications")
    assert [reply.status_code for reply in replies] == [202, 202, 429]
    assert problem(replies[2])["code"] == "rate_limited"
    assert int(replies[2].headers["retry-after"]) in range(1, 31)
    assert [reply.headers["ratelimit-policy"] for reply in replies] == ['"key";q=2;w=60'] * 3
    assert [reply.headers["ratelimit"].partition(";t=")[0] for reply in replies] == [
        '"key";r=1',
        '"key";r=0',
        '"key";r=0',
    ]
    assert (reading.status_code, reading.headers["ratelimit-policy"]) == (200, '"requests";q=2;w=60')
    assert await written() == (2, 2, 2)


async def test_who_waits_as_told_is_let_in(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """After the `Retry-After` seconds the same request is accepted."""
    parts, clock = forward
    await _set(parts, ApiKey, 1)
    async with installation.open_client(parts) as client:
        await client.post("/v1/notifications", json=WELCOME)
        refused = await client.post("/v1/notifications", json=WELCOME)
        clock.seconds = int(refused.headers["retry-after"])
        assert outcome(refused) == (429, "rate_limited")
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202


async def test_a_batch_counts_what_is_in_it(installation: Installation, written: Written) -> None:
    """A batch takes as many tokens as it has items; a debt blocks requests until it is paid."""
    limited = _limited(installation, 5)
    async with limited.open_parts() as parts, limited.open_client(parts) as client:
        first, second, third = [await client.post("/v1/notifications/batch", json=BATCH) for _ in range(3)]
        single = await client.post("/v1/notifications", json=WELCOME)
    assert (first.status_code, second.status_code) == (202, 202)
    assert [outcome(reply) for reply in (third, single)] == [(429, "rate_limited")] * 2
    assert int(single.headers["retry-after"]) in range(10, 25)
    assert await written() == (6, 6, 6)


async def test_a_batch_larger_than_the_bucket_is_not_refused_for_ever(installation: Installation) -> None:
    """A batch over the limit is accepted while the bucket is full; later requests wait longer."""
    limited = _limited(installation, 2)
    async with limited.open_parts() as parts, limited.open_client(parts) as client:
        assert (await client.post("/v1/notifications/batch", json=BATCH)).status_code == 202
        refused = await client.post("/v1/notifications", json=WELCOME)
    assert int(refused.headers["retry-after"]) in range(31, 61)


async def test_the_rows_override_the_settings(installation: Installation, parts: wiring.ProcessParts) -> None:
    """The rates of key and service override the settings; 0 means no limit."""
    await _set(parts, ApiKey, 7)
    await _set(parts, Service, 9)
    async with installation.open_client(parts) as client:
        policy = (await client.post("/v1/notifications", json=WELCOME)).headers["ratelimit-policy"]
    assert policy == '"key";q=7;w=60, "service";q=9;w=60'
    await _set(parts, ApiKey, 0)
    await _set(parts, Service, 0)
    async with installation.open_client(parts) as client:
        assert "ratelimit" not in (await client.post("/v1/notifications", json=WELCOME)).headers


async def test_keys_of_a_service_share_its_limit(installation: Installation) -> None:
    """All keys of a service share one bucket; another service has its own."""
    limited = _limited(installation, 0, 1)
    shop, other = installation.keys.shop, installation.keys.other
    async with limited.open_parts() as own, limited.open_client(own, shop) as client:
        mine = await client.post("/v1/notifications", json=WELCOME)
        headers = {"Authorization": f"Bearer {other}"}
        theirs = await client.post("/v1/notifications", json=WELCOME, headers=headers)
        headers = {"Authorization": f"Bearer {installation.keys.reader}"}
        shared = await client.post("/v1/notifications", json=WELCOME, headers=headers)
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert outcome(shared) == (429, "rate_limited")


@pytest.mark.parametrize(
    ("path", "body"),
    [("", b"{"), ("", b'{"to": 1}'), ("/batch", b"{"), ("/batch", b'{"notifications": []}')],
)
async def test_refused_requests_count_and_say_what_is_left(installation: Installation, path: str, body: bytes) -> None:
    """Refused requests count too, and problems have the rate limit headers."""
    limited = _limited(installation, 2)
    async with limited.open_parts() as parts, limited.open_client(parts) as client:
        client.headers["Content-Type"] = "application/json"
        replies = [await client.post(f"/v1/notifications{path}", content=body) for _ in range(3)]
    assert [reply.status_code for reply in replies[:2]] in ([400, 400], [422, 422])
    assert replies[0].headers["ratelimit"].partition(";t=")[0] in {'"key";r=1', '"requests";r=1'}
    assert outcome(replies[2]) == (429, "rate_limited")
