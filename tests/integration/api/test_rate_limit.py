"""How much a key and a service may ask for: said with each answer, refused with 429, and felt by nobody else."""

from dataclasses import replace

from integration.api.clock import ForwardClock
from integration.api.refusal import Written, outcome
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

SOME = WELCOME | {"to": "bob@example.com"}


Forward = tuple[wiring.ProcessParts, ForwardClock]


def _limited(installation: Installation, forward: Forward, per_minute: int) -> Forward:
    """The parts, with so many notifications a minute for each key."""
    settings = installation.with_settings(api={"rate_per_minute": per_minute}).settings
    return replace(forward[0], settings=settings), forward[1]


async def test_a_loop_that_ran_away_is_stopped(installation: Installation, forward: Forward, written: Written) -> None:
    """The fourth in a minute is 429, says when to come again, and writes nothing; then it is taken."""
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
    """Each has buckets of its own."""
    parts, _ = _limited(installation, forward, 1)
    async with (
        installation.open_client(parts) as client,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 202
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 429
        assert (await other.post("/v1/notifications", json=SOME)).status_code == 202


async def test_a_batch_counts_what_is_in_it(installation: Installation, forward: Forward) -> None:
    """One that is larger than the bucket is taken while that is full, and paid back before the next."""
    parts, clock = _limited(installation, forward, 2)
    batch = {"notifications": [SOME | {"to": f"user{number}@example.com"} for number in range(4)]}
    async with installation.open_client(parts) as client:
        assert (await client.post("/v1/notifications/batch", json=batch)).status_code == 202
        refused = await client.post("/v1/notifications", json=SOME)
        assert (outcome(refused), refused.headers["retry-after"]) == ((429, "rate_limited"), "90")
        clock.seconds += 90
        assert (await client.post("/v1/notifications", json=SOME)).status_code == 202
