"""A forwarder that runs for long: beside the caller, through an outage of its database, several on one table."""

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text
from support.polling import wait_until
from support.producer.caller_database import PRODUCER, CallerDatabase
from support.producer.scripted_api import ScriptedApi

from notifier.client import producer
from notifier.client.producer import Forwarder, ForwarderLimits

QUICK = ForwarderLimits(request=timedelta(seconds=5), max_pause=timedelta(seconds=0.1))
KEY = "ntf_live_of_the_shop"


async def test_it_runs_beside_the_caller_until_it_is_stopped(caller: CallerDatabase, api: ScriptedApi) -> None:
    """As a context manager the forwarder sends new rows soon; leaving it waits for the current turn."""
    async with Forwarder(caller.engine, url=api.url, key=KEY) as forwarder:
        for expected in range(1, 4):
            await caller.enqueue(to=f"user{expected}@example.com")
            forwarder.wake()
            async with asyncio.timeout(50):
                await api.wait_for(expected)
    assert len(api.accepted) == 3
    assert await caller.rows() == {}


async def test_it_outlives_its_database(caller: CallerDatabase, api: ScriptedApi) -> None:
    """A missing table or database causes a pause, after which the forwarder continues."""
    (id_,) = await caller.several(1)
    rename = "ALTER TABLE {} RENAME TO {}"
    await caller.do(lambda connection: connection.execute(text(rename.format(PRODUCER.name, "elsewhere"))))
    async with Forwarder(caller.engine, url=api.url, key=KEY, limits=QUICK) as forwarder:
        turn = await forwarder.forward_once()
        assert turn.failure in {"OperationalError", "ProgrammingError"}
        assert api.requests == []
        await caller.do(lambda connection: connection.execute(text(rename.format("elsewhere", PRODUCER.name))))
        await api.wait_for(1)
    assert api.keys == [str(id_)]


async def test_many_at_once_share_a_table(caller: CallerDatabase, api: ScriptedApi) -> None:
    """Four forwarders on one table deliver every row and leave the table empty."""
    count = 400
    ids = await caller.several(count)
    limits = ForwarderLimits(max_rows=37, max_pause=timedelta(seconds=0.1))
    forwarders = [Forwarder(caller.engine, url=api.url, key=KEY, limits=limits) for _ in range(4)]
    tasks = [asyncio.create_task(forwarder.run()) for forwarder in forwarders]
    await wait_until(lambda: len(api.accepted) == count)
    for forwarder in forwarders:
        forwarder.stop()
    await asyncio.gather(*tasks)
    for forwarder in forwarders:
        await forwarder.close()
    assert set(api.accepted) == {str(id_) for id_ in ids}
    if "postgresql" in caller.url:
        assert len(api.keys) == count  # no row was sent by two forwarders
    assert await caller.rows() == {}


def test_other_databases_are_refused_at_once() -> None:
    """An unsupported database is refused at once, because claims would not be exclusive there."""

    class Driver:
        paramstyle = "format"
        Error = Exception

    engine = create_engine("mysql+pymysql://", module=Driver)
    with pytest.raises(producer.UnsupportedDatabaseError, match="mysql"):
        Forwarder(engine, url="http://127.0.0.1:9", key=KEY)


def test_the_key_is_shown_to_nobody(caller_url: str) -> None:
    """Neither the forwarder nor its client prints the key."""
    to_text = repr
    forwarder = Forwarder(CallerDatabase(caller_url).engine, url="http://127.0.0.1:9", key=KEY)
    assert KEY not in to_text(forwarder) + to_text(vars(forwarder)) + json.dumps(
        {name: to_text(v) for name, v in vars(forwarder).items()}
    )
