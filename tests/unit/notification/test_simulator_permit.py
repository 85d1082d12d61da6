"""Simulated mail asks for the queue's permit as any other does: what was cancelled meanwhile is not answered."""

import asyncio
from typing import cast

import pytest

from notifier.clock import SystemClock
from notifier.ids import new_id
from notifier.notification import simulator
from notifier.notification.gate import Gate
from notifier.notification.load import Delivery
from notifier.outbox.handler import Claimed, Desk
from notifier.outcomes import NotPermitted
from notifier.states import Priority


class Refusing:
    """A desk that permits nothing: the entry was taken back."""

    def mark(self, entry: Claimed) -> asyncio.Future[None]:
        """No."""
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_result(None)
        return refused


@pytest.mark.parametrize("name", ["delivered", "failed", "unknown"])
async def test_without_a_permit_there_is_no_answer(name: str) -> None:
    """Whatever the recipient asks for."""
    clock = SystemClock()
    entry = Claimed(
        id=new_id(), lease_no=1, subject_id=new_id(), service_id=new_id(), priority=Priority.NORMAL, due_at=clock.now(),
        attempts=0, lost=0, faults=0, fault=None,
    )  # fmt: skip
    delivery = _to(f"{name}@simulator.example")
    answer = await simulator.answer(delivery, Gate(entry, cast("Desk", Refusing()), clock))
    assert isinstance(answer, NotPermitted)


def _to(recipient: str) -> Delivery:
    now = SystemClock().now()
    values: dict[str, object] = dict.fromkeys(Delivery.__struct_fields__)
    return Delivery(**(values | {"id": new_id(), "recipient": recipient, "expires_at": now}))  # type: ignore[arg-type]
