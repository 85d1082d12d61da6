"""C5: hosts whose clocks are an hour wrong in either direction, or jump while they run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support import api_caller
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import Installation

from notifier.clock import SystemClock
from notifier.db.database_clock import DatabaseClock
from notifier.runtime import wiring


class WrongClock(SystemClock):
    """The clock of a host that is some hours ahead."""

    hours = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(hours=self.hours)


@asynccontextmanager
async def on_host(installation: Installation, clock: WrongClock) -> AsyncIterator[wiring.ProcessParts]:
    """Build the parts of a process on a host with this clock."""
    async with installation.open_parts() as parts:
        database_clock = DatabaseClock(parts.database, clock)
        assert await database_clock.synchronize()
        yield replace(parts, clock=database_clock)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_a_wrong_clock_neither_delays_nor_expires(
    postgres_installation: Installation, relay: ScriptedRelay, hours: float
) -> None:
    """With API and sender an hour wrong in opposite directions the mail leaves at once and does not expire."""
    local_clock, remote_clock = WrongClock(), WrongClock()
    local_clock.hours, remote_clock.hours = hours, -hours
    async with (
        on_host(postgres_installation, local_clock) as api,
        on_host(postgres_installation, remote_clock) as other,
        postgres_installation.open_client(api) as client,
        wiring.run_sender(other),
    ):
        soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
        notification = await api_caller.wait_for_status(
            client, await api_caller.submit_mail(client, expires_at=soon), "sent", "expired"
        )
    assert notification["status"] == "sent"
    assert len(relay.received) == 1
    assert abs(datetime.fromisoformat(notification["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_a_jump_resends_nothing_and_holds_nothing_up(
    postgres_installation: Installation, relay: ScriptedRelay, hours: float
) -> None:
    """After a jump of the clock a mail still waits for its resend, and a new mail leaves at once."""
    clock = WrongClock()
    relay.say("bob@example.com", "DOT", DROP)
    async with (
        on_host(postgres_installation, clock) as parts,
        postgres_installation.open_client(parts) as client,
        wiring.run_sender(parts),
    ):
        waiting = await api_caller.submit_mail(client, "bob@example.com")
        before = await api_caller.wait_for_status(client, waiting, "unknown")
        clock.hours = hours
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "ada@example.com"), "sent")
        after = await api_caller.wait_for_status(client, waiting, "unknown", "sent")
    assert after["next_attempt_at"] == before["next_attempt_at"]
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]
