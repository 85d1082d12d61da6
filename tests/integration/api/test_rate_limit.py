"""Rate limits of keys and services: in each reply, 429 beyond them, and separate for each service."""

from dataclasses import replace

from integration.api.clock import ForwardClock
from integration.api.refusal import Written, outcome
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

SOME = WELCOME | {"to": "bob@example.com"}


Forward = tuple[wiring.ProcessParts, ForwardClock]


def _limited(installation: Installation, forward: Forward, per_minute: int) -> Forward:
    """The parts with a limit per key of so many notifications a minute."""
    settings = installation.with_settings(api={"rate_per_minute": per_minute}).settings
    return replace(forward[0], settings=settings), forward[1]


async def test_a_loop_that_ran_away_is_stopped(installation: Installation, forward: Forward, written: Written) -> None:
    """The fourth request in a minute is 429 with Retry-After and writes nothing; later it is accepted."""
    parts, clock = _limited(installation, forward, 3)
    async with installation.open_client(parts) as client:
        replies = [await client.post("/v1/notifications", json=SOME) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [202] * 3
        assert replies[0].headers["ratelimit-policy"] == '"key";q=3;w=60, "service";q=120000;w=60'
        assert replies[2].headers["ratelimit"].startswith('"key";r=0;t=60')
        before = await written()
        refused = await client.post("/v1/notifications", json=SOME)
        assert outcome(refused) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "20"
        assert refused.headers["ratelimit"].startswith('"key";r=0')
        assert await written() == before
        clock.seconds += 20
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 202


async def test_another_service_does_not_feel_it(installation: Installation, forward: Forward) -> None:
    """Each service has its own buckets."""
    parts, _ = _limited(installation, forward, 1)
    async with (
        installation.open_client(parts) as client,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 202
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 429
        assert (await other.post("/v1/notifications", json=SOME)).status_code == 202


async def test_a_batch_counts_what_is_in_it(installation: Installation, forward: Forward) -> None:
    """A batch over the limit is accepted while the bucket is full, and paid back before the next one."""
    parts, clock = _limited(installation, forward, 2)
    batch = {"notifications": [SOME | {"to": f"user{number}@example.com"} for number in range(4)]}
    async with installation.open_client(parts) as client:
        assert (await client.post("/v1/notifications/batch", json=batch)).status_code == 202
        refused = await client.post("/v1/notifications", json=SOME)
        assert (outcome(refused), refused.headers["retry-after"]) == ((429, "rate_limited"), "90")
        clock.seconds += 90
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 202
