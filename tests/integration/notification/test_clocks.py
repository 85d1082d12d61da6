"""C5: hosts whose clocks are an hour wrong, in either direction, or jump while they run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from parts import caller
from parts.installation import Installation
from parts.relay import DROP, Relay

from notifier import wiring
from notifier.clock import SystemClock
from notifier.db.clock import DatabaseClock


class WrongClock(SystemClock):
    """This host's clock, ahead by some hours."""

    hours = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(hours=self.hours)


@asynccontextmanager
async def on_host(installation: Installation, clock: WrongClock) -> AsyncIterator[wiring.Base]:
    """The parts of a process on a host with this clock."""
    async with installation.base() as parts:
        kept = DatabaseClock(parts.database, clock)
        assert await kept.look()
        yield replace(parts, clock=kept)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_a_wrong_clock_neither_delays_nor_expires(
    postgres_installation: Installation, relay: Relay, hours: float
) -> None:
    """API and sender an hour wrong, each in its own direction: the mail leaves at once, and does not expire."""
    here, there = WrongClock(), WrongClock()
    here.hours, there.hours = hours, -hours
    async with (
        on_host(postgres_installation, here) as api,
        on_host(postgres_installation, there) as other,
        postgres_installation.client(api) as client,
        wiring.sender(other),
    ):
        soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
        found = await caller.until(client, await caller.submit(client, expires_at=soon), "sent", "expired")
    assert found["status"] == "sent"
    assert len(relay.received) == 1
    assert abs(datetime.fromisoformat(found["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_a_jump_resends_nothing_and_holds_nothing_up(
    postgres_installation: Installation, relay: Relay, hours: float
) -> None:
    """The clock jumps while one mail waits for its resend and another one comes: the first waits, the other leaves."""
    clock = WrongClock()
    relay.say("bob@example.com", "DOT", DROP)
    async with (
        on_host(postgres_installation, clock) as parts,
        postgres_installation.client(parts) as client,
        wiring.sender(parts),
    ):
        waiting = await caller.submit(client, "bob@example.com")
        before = await caller.until(client, waiting, "unknown")
        clock.hours = hours
        await caller.until(client, await caller.submit(client, "ada@example.com"), "sent")
        after = await caller.until(client, waiting, "unknown", "sent")
    assert after["next_attempt_at"] == before["next_attempt_at"]
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]
