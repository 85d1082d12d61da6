"""The producer outbox when processes are killed: each committed mail becomes one notification, others none."""

import asyncio
import random

import pytest
from chaos.producer import shop
from chaos.producer.shop import Notifier, Orders
from chaos.size import SEED, size
from support.producer.caller_database import DRIVERS, MAIL, CallerDatabase
from support.producer.scripted_api import Reply, ScriptedApi

KILLS = size(4, 50)
EACH_OTHER = 4  # kills of the forwarder for each kill of the API, and of the caller

ENDINGS = {
    "commit": 1,
    "rollback": 0,
    "savepoint": 1,
    "crash before commit": 0,
    "crash after commit": 1,
}


@pytest.mark.parametrize("way", ENDINGS)
async def test_a_mail_is_there_if_and_only_if_its_transaction_is(caller: CallerDatabase, way: str) -> None:
    """For each end of a caller's transaction, with kill -9 before or after it, mail and order exist together."""
    with Orders(caller.url, way) as taking:
        word = await asyncio.to_thread(taking.hear)
        if way.startswith("crash"):
            assert word == "waiting"
            taking.kill()
        else:
            assert word == "done"
    async with ScriptedApi() as api:
        await shop.drained(caller, api.url, "ntf_live_x")
        assert len(api.accepted) == ENDINGS[way]
        assert set(api.accepted) == {str(id_) for id_ in await shop.committed(caller)}
        assert {item["to"] for items in api.requests for item in items} <= {"order-0@example.com"}


@pytest.mark.parametrize("caller_url", size(DRIVERS[1:3], DRIVERS), indirect=True)
async def test_a_forwarder_killed_before_it_heard_the_202(caller: CallerDatabase) -> None:
    """The API and the table both have the mails, and the next forwarder sends them under the same keys."""
    ids = {str(id_) for id_ in await caller.several(10)}
    async with ScriptedApi() as api:
        api.script.append(Reply(hang=True, taken=True))
        with shop.forwarder(caller.url, api.url, "ntf_live_x") as victim:
            await api.wait_for(1)
            victim.kill()
        assert set(api.accepted) == ids
        assert (await caller.backlog()).waiting == 10
        await shop.drained(caller, api.url, "ntf_live_x")
        assert set(api.accepted) == ids
        assert set(api.keys) == ids
    assert await caller.rows() == {}


async def test_a_forwarder_killed_before_the_api_had_anything(caller: CallerDatabase) -> None:
    """A request that never reached the API is sent again, and nothing is lost."""
    ids = {str(id_) for id_ in await caller.several(10)}
    async with ScriptedApi() as api:
        api.script.append(Reply(hang=True))
        with shop.forwarder(caller.url, api.url, "ntf_live_x") as victim:
            await api.wait_for(1)
            victim.kill()
        assert api.accepted == {}
        await shop.drained(caller, api.url, "ntf_live_x")
        assert set(api.accepted) == ids


@pytest.mark.parametrize("caller_url", size(DRIVERS[1:3], DRIVERS), indirect=True)
async def test_killed_at_random_moments_the_sums_are_right(caller: CallerDatabase, notifier: Notifier) -> None:
    """With random kills of forwarders, API and caller under load, each mail exists exactly once."""
    chance = random.Random(SEED)
    taking = await asyncio.to_thread(_taking, caller.url)
    try:
        for number in range(1, KILLS + 1):
            with shop.forwarder(caller.url, notifier.url, notifier.key) as victim:
                await asyncio.to_thread(victim.wait_until_ready)
                await asyncio.sleep(chance.uniform(0, 0.4))
                if number % EACH_OTHER == 1:
                    await asyncio.to_thread(notifier.kill_and_restart)
                if number % EACH_OTHER == 2:
                    taking.__exit__()
                    taking = await asyncio.to_thread(_taking, caller.url)
                victim.kill()
        await asyncio.to_thread(taking.end)
    finally:
        taking.__exit__()
    await shop.drained(caller, notifier.url, notifier.key)
    orders = await shop.committed(caller)
    accepted = await notifier.accepted()
    seen = f"seed {SEED}: {len(orders)} orders, {len(accepted)} notifications"
    print(seen)  # noqa: T201 - with -rP the long form shows it
    assert set(accepted) == orders, seen
    assert set(accepted.values()) == {1}, seen
    assert len(orders) > 10 * KILLS, seen
    assert await caller.rows() == {}


def _taking(url: str) -> Orders:
    started = Orders(url, "stream")
    assert started.hear() == "open"
    return started


@pytest.mark.parametrize("caller_url", size(DRIVERS[1:3], DRIVERS), indirect=True)
async def test_two_forwarders_one_of_them_killed(caller: CallerDatabase) -> None:
    """When one of two forwarders dies with leased rows, the other takes them over after the lease."""
    async with ScriptedApi() as api:
        api.script.append(Reply(hang=True))
        await caller.enqueue(**MAIL)
        with shop.forwarder(caller.url, api.url, "ntf_live_x") as victim:
            await api.wait_for(1)
            with shop.forwarder(caller.url, api.url, "ntf_live_x") as other:
                await asyncio.to_thread(other.wait_until_ready)
                victim.kill()
                await api.wait_for(2)
    assert len(api.accepted) == 1
    assert len(set(api.keys)) == 1
