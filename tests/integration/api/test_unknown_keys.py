"""Unknown keys use at most one connection, and displace no cached key."""

import asyncio
import itertools
import string
from collections.abc import Sequence
from dataclasses import replace

import httpx2
from integration.api.clock import ForwardClock, SteppingClock
from sqlalchemy import update
from support.connection_load import ConnectionLoad, measure_load
from support.seeded_installation import WELCOME, Installation

from notifier.auth.authenticator import MAX_LOOKUPS_IN_A_QUERY, LookupQueue
from notifier.db.tables import ApiKey, get_columns
from notifier.runtime import wiring

STRANGERS = 1_000
_LETTERS = itertools.product(string.ascii_letters, repeat=4)


def _unknown_key() -> str:
    return "ntf_live_Unknown0" + "".join(next(_LETTERS)) + "s" * 32


async def _ask(client: httpx2.AsyncClient, key: str) -> int:
    return (await client.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"})).status_code


async def test_a_thousand_unknown_keys_leave_the_callers_their_connections(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """A thousand concurrent unknown keys take one connection, and valid keys are served.

    None of them displaces a key that is known, and one that is tried again is looked up once a second.
    """
    clock = SteppingClock()
    async with installation.open_client(replace(parts, clock=clock)) as client:
        keys = [_unknown_key() for _ in range(STRANGERS)]
        with measure_load(parts.database) as load:
            statuses = await asyncio.gather(*(_ask(client, key) for key in [*keys, installation.keys.shop]))
            assert statuses == [401] * STRANGERS + [200]
            lookups = _lookups(load)
            assert 1 <= lookups <= 2 * STRANGERS / MAX_LOOKUPS_IN_A_QUERY + 2
            assert load.most_out <= 2  # one more writes that the shop's key was used
            assert await _ask(client, installation.keys.shop) == 200
            assert [await _ask(client, keys[-1]) for _ in range(5)] == [401] * 5
            assert _lookups(load) == lookups
            clock.seconds += 1
            assert [await _ask(client, keys[-1]) for _ in range(5)] == [401] * 5
            assert _lookups(load) == lookups + 1


def _lookups(load: ConnectionLoad) -> int:
    return sum("secret_hash" in statement for statement in load.statements)


async def test_a_key_that_was_tried_too_early_works_within_a_second(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """An unknown key is looked up again after a second; an untried new key works at once."""
    parts, clock = forward
    key, key_row = installation.keys.shop, get_columns(ApiKey)
    prefix = key[:-32]
    hidden = update(ApiKey).where(key_row.prefix == prefix).values(prefix="ntf_live_hidden000000")
    renaming = update(ApiKey).where(key_row.prefix == "ntf_live_hidden000000").values(prefix=prefix)
    async with parts.database.write() as connection:
        await connection.execute(hidden)
    async with installation.open_client(parts) as client:
        assert await _ask(client, key) == 401
        async with parts.database.write() as connection:
            await connection.execute(renaming)
        clock.seconds += 1
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202


async def test_one_query_runs_at_a_time_and_takes_all_that_wait() -> None:
    """Keys that arrive during a query are in the next one; each caller gets its own result."""
    queries: list[list[str]] = []
    running = 0

    async def read(names: Sequence[str]) -> dict[str, str]:
        nonlocal running
        running += 1
        assert running == 1
        queries.append(list(names))
        await asyncio.sleep(0)
        running -= 1
        return {name: name.upper() for name in queries[-1] if name != "nobody"}

    queue = LookupQueue(read)
    names = [f"n{number}" for number in range(MAX_LOOKUPS_IN_A_QUERY + 5)]
    assert await asyncio.gather(*(queue.look_up(name) for name in [*names, "nobody", "n1"])) == [
        *(name.upper() for name in names),
        None,
        "N1",
    ]
    assert [len(item) for item in queries] == [MAX_LOOKUPS_IN_A_QUERY, 6]


async def test_a_query_that_fails_fails_for_those_who_asked() -> None:
    """A failed query fails for its callers only, and the next one runs."""
    tries = iter([OSError("away"), None])

    async def read(names: Sequence[str]) -> dict[str, str]:
        if (error := next(tries)) is not None:
            raise error
        return dict.fromkeys(list(names), "here")

    queue = LookupQueue(read)
    failed = await asyncio.gather(queue.look_up("a"), queue.look_up("b"), return_exceptions=True)
    assert [type(item) for item in failed] == [OSError, OSError]
    assert await queue.look_up("a") == "here"
