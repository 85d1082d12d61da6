"""The store: what it keeps, what it drops, and which waits it ends."""

import asyncio
from datetime import UTC, datetime

from notifier.inbox.message_store import MessageStore
from notifier.inbox.received_message import ReceivedMessage


def message(name: str, size: int = 10) -> ReceivedMessage:
    """Build a message with that id and size."""
    return ReceivedMessage(
        id=name, received_at=datetime.now(UTC), helo="h", sender="s@x", recipients=("r@x",), raw=b"x" * size
    )


def test_the_oldest_make_room_when_there_are_too_many() -> None:
    """The maximum number of messages keeps the newest."""
    store = MessageStore(max_messages=2)

    for name in "abc":
        store.add(message(name))

    assert [message.id for message in store.list_newest_first()] == ["c", "b"]
    assert store.get("a") is None


def test_the_oldest_make_room_when_they_are_too_big_together() -> None:
    """The maximum number of bytes keeps the newest message, even if it alone exceeds the maximum."""
    store = MessageStore(max_bytes=30)

    for name in "abc":
        store.add(message(name))
    assert [message.id for message in store.list_oldest_first()] == ["b", "c"]

    store.add(message("huge", size=100))
    assert [message.id for message in store.list_oldest_first()] == ["huge"]


def test_removed_bytes_are_free_again() -> None:
    """Deleting one or all messages frees their bytes."""
    store = MessageStore(max_bytes=30)
    for name in "ab":
        store.add(message(name))

    assert store.remove("a")
    assert not store.remove("a")
    store.add(message("c"))
    assert len(store) == 2
    store.clear()
    for name in "de":
        store.add(message(name))
    assert [message.id for message in store.list_oldest_first()] == ["d", "e"]


async def test_arrivals_are_told_once_each_in_order_and_only_new_ones() -> None:
    """A listener gets each message that arrives after it started, also in a burst, and ends when the store closes."""
    store = MessageStore()
    store.add(message("before"))
    arrivals = store.iterate_arrivals()

    store.add(message("a"))
    store.add(message("b"))
    first, second = await anext(arrivals), await anext(arrivals)
    third = asyncio.ensure_future(anext(arrivals, None))
    await asyncio.sleep(0)
    store.remove("a")
    store.add(message("c"))
    last = await third
    store.close()

    assert last is not None
    assert [first.id, second.id, last.id] == ["a", "b", "c"]
    assert await anext(arrivals, None) is None


async def test_a_wait_ends_with_the_first_match_there_or_to_come() -> None:
    """Several waits run at the same time, each with its own condition."""
    store = MessageStore()
    store.add(message("a"))
    waits = [asyncio.create_task(store.wait_for(lambda m, n=n: m.id == n, 5)) for n in ("b", "a", "c")]  # type: ignore[misc]
    await asyncio.sleep(0)

    for name in "bc":
        store.add(message(name))

    messages = await asyncio.gather(*waits)
    assert [m.id for m in messages if m] == ["b", "a", "c"]


async def test_a_wait_ends_empty_after_its_time_and_when_the_store_closes() -> None:
    """A wait ends after its timeout, and when the store closes."""
    store = MessageStore()
    assert await store.wait_for(lambda _: True, 0.01) is None

    wait = asyncio.create_task(store.wait_for(lambda _: True, 60))
    await asyncio.sleep(0)
    store.close()

    assert await wait is None
