"""The real API behind a connection that loses replies: every mail exists once, and the caller gets its id."""

from typing import Any

import httpx2
import pytest
from integration.client.both_clients import Client, Connect
from integration.client.scripted_server import Server, Step, answer
from support.seeded_installation import Installation

from notifier.client import ConnectionFailedError, RetryPolicy

WELCOME: dict[str, Any] = {"template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}


def passing_on(api: str, *, losing: bool = False) -> Step:
    """Forward the request to the API; return its reply, or lose it."""

    def step(handler: Any) -> None:
        request = handler.scripted.requests[-1]
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        with httpx2.Client(base_url=api, trust_env=False) as wire:
            reply = wire.request(request.method, request.path, headers=headers, content=request.body)
        if losing:
            handler.close_connection = True
        else:
            replayed = reply.headers.get("idempotent-replayed")
            answer(reply.status_code, reply.content, **({"Idempotent-Replayed": replayed} if replayed else {}))(handler)

    return step


async def _count(connect: Connect, api: str, key: str) -> list[str]:
    client: Client = connect(api, key)
    return [notification.to for notification in await client("list")]


async def test_a_send_whose_answer_is_lost_is_there_once(
    connect: Connect, api: str, installation: Installation
) -> None:
    """After two lost replies the third request is a replay, even if the caller gave no key."""
    losing = passing_on(api, losing=True)
    with Server(losing, losing, passing_on(api)) as wire:
        shop = connect(wire.url, installation.keys.shop)
        sent = await shop("send", to="ada@example.com", **WELCOME)
        await shop.close()
    assert sent.replayed
    assert await _count(connect, api, installation.keys.shop) == ["ada@example.com"]


async def test_a_batch_whose_answer_is_lost_is_there_once(
    connect: Connect, api: str, installation: Installation
) -> None:
    """Each mail of the batch exists once, and each result is a replay."""
    items = [{"to": f"user{number}@example.com", **WELCOME} for number in range(3)]
    with Server(passing_on(api, losing=True), passing_on(api)) as wire:
        shop = connect(wire.url, installation.keys.shop)
        batch = await shop("send_batch", items)
        await shop.close()
    assert [result.replayed for result in batch.results] == [True, True, True]
    assert sorted(await _count(connect, api, installation.keys.shop)) == [item["to"] for item in items]


async def test_a_caller_who_gives_up_may_come_back_with_the_key(
    connect: Connect, api: str, installation: Installation
) -> None:
    """The error says that the call may be done; the same key later finds the same mail."""
    with Server(passing_on(api, losing=True)) as wire:
        shop = connect(wire.url, installation.keys.shop, retries=RetryPolicy(tries=1))
        with pytest.raises(ConnectionFailedError) as caught:
            await shop("send", to="ada@example.com", idempotency_key="order-1", **WELCOME)
        await shop.close()
    assert caught.value.maybe_done
    later = await connect(api, installation.keys.shop)(
        "send", to="ada@example.com", idempotency_key="order-1", **WELCOME
    )
    assert later.replayed
    assert await _count(connect, api, installation.keys.shop) == ["ada@example.com"]
