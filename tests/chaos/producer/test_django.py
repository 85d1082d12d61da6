"""Mails that Django has written when a forwarder is killed: each committed one becomes one notification."""

import asyncio

import pytest
from chaos.producer import shop
from support.django_settings import configure_django
from support.producer.caller_database import CallerDatabase
from support.producer.django_orders import COMMITTED, take_orders_in
from support.producer.scripted_api import Reply, ScriptedApi

configure_django()


@pytest.mark.parametrize("caller_url", ["sqlite", "postgresql+psycopg"], indirect=True)
async def test_a_killed_forwarder_leaves_exactly_the_committed_mails(caller_url: str) -> None:
    """It dies after the API has accepted the mails, and the next forwarder sends them under the same keys."""
    await asyncio.to_thread(take_orders_in, caller_url)
    caller = CallerDatabase(caller_url)
    async with ScriptedApi() as api:
        api.script.append(Reply(hang=True, taken=True))
        with shop.forwarder(caller_url, api.url, "ntf_live_x") as victim:
            await api.wait_for(1)
            victim.kill()
        ids = {str(id_) for id_ in await caller.rows()}
        await shop.drained(caller, api.url, "ntf_live_x")
        assert (len(ids), set(api.accepted)) == (len(COMMITTED), ids)
        assert {item["content"]["subject"] for items in api.requests for item in items} == set(COMMITTED)
    assert await caller.rows() == {}
    await caller.close()
