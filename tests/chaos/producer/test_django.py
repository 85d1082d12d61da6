"""Mails that Django has written when a forwarder is killed: each committed one becomes one notification."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from chaos.producer import shop
from integration.client.scripted_server import Server
from integration.client.test_lost_answers import passing_on
from support.django_settings import configure_django
from support.polling import wait_until
from support.producer.caller_database import CallerDatabase
from support.producer.django_orders import COMMITTED, take_orders_in

configure_django()


@pytest.mark.parametrize("caller_url", ["sqlite", "postgresql+psycopg"], indirect=True)
async def test_a_killed_forwarder_leaves_exactly_the_committed_mails(caller_url: str, notifier: shop.Notifier) -> None:
    """It dies after Notifier has committed the mails; the next forwarder sends them again under the same keys."""
    await asyncio.to_thread(take_orders_in, caller_url)
    caller = CallerDatabase(caller_url)
    rows = await caller.rows()
    assert sorted(json.loads(row.body)["content"]["subject"] for row in rows.values()) == sorted(COMMITTED)
    killed: list[int] = []

    def kill_forwarder(handler: Any) -> None:
        passing_on(notifier.url, losing=True)(handler)
        victim.kill()
        killed.append(victim.pid)

    with Server(kill_forwarder) as wire, shop.forwarder(caller_url, wire.url, notifier.key) as victim:
        await wait_until(lambda: bool(killed))
    assert await notifier.accepted() == Counter([*rows])
    assert set(await caller.rows()) == set(rows)
    await shop.drained(caller, notifier.url, notifier.key)
    assert await notifier.accepted() == Counter([*rows])
    assert await caller.rows() == {}
    await caller.close()
