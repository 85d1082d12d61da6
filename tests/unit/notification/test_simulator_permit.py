"""Simulated mail needs the queue's permit like any other mail."""

import asyncio
from typing import cast

import pytest

from notifier.clock import SystemClock
from notifier.delivery import simulator
from notifier.delivery.delivery_loader import Delivery
from notifier.delivery.delivery_result import BodyPermits
from notifier.ids import generate_id
from notifier.outbox.entry_handler import ClaimedEntry, WorkerContext
from notifier.outcomes import NotPermitted
from notifier.states import Priority


class Refusing:
    """A desk that gives no permit, because the entry was withdrawn."""

    def mark(self, entry: ClaimedEntry) -> asyncio.Future[None]:
        """Refuse the permit."""
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_result(None)
        return refused


@pytest.mark.parametrize("name", ["delivered", "failed", "unknown"])
async def test_without_a_permit_there_is_no_answer(name: str) -> None:
    """Without a permit no recipient gets a simulated reply."""
    clock = SystemClock()
    entry = ClaimedEntry(
        id=generate_id(), lease_no=1, subject_id=generate_id(), service_id=generate_id(), priority=Priority.NORMAL,
        due_at=clock.now(), attempts=0, lost=0, faults=0, fault=None,
    )  # fmt: skip
    delivery = _to(f"{name}@simulator.example")
    answer = await simulator.simulate_reply(delivery, BodyPermits(entry, cast("WorkerContext", Refusing()), clock))
    assert isinstance(answer, NotPermitted)


def _to(recipient: str) -> Delivery:
    now = SystemClock().now()
    values: dict[str, object] = dict.fromkeys(Delivery.__struct_fields__)
    return Delivery(**(values | {"id": generate_id(), "recipient": recipient, "expires_at": now}))  # type: ignore[arg-type]
