"""A19 from end to end: a slow relay, a sender that measures its throughput, and an API that uses the measurement."""

from dataclasses import replace
from datetime import timedelta

import httpx2
from integration.api.clock import ForwardClock
from support.long_queue import add_measured_sender, refresh_forecast
from support.polling import wait_until
from support.scripted_relay import HOLD, ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

SLOTS = 4
SLOW, REST = 14, 60
"""The number of mails that take a quarter of a minute, and of those that are due after them."""
PASSED = 15.0
TAKEN = "250 2.0.0 queued"


async def _posted(client: httpx2.AsyncClient, parts: wiring.ProcessParts, seconds: float) -> int:
    """Return the status code of the reply to a mail with this lifetime."""
    expires_at = (parts.clock.now() + timedelta(seconds=seconds)).isoformat()
    reply = await client.post("/v1/notifications", json=WELCOME | {"expires_at": expires_at})
    return reply.status_code


async def test_a_slow_relay_refuses_what_would_expire(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail with half a minute to live is refused while the queue takes longer; without a relay all are accepted."""
    clock = ForwardClock()
    parts = replace(parts, clock=clock)
    for reply, times in ((HOLD + TAKEN, SLOTS), (TAKEN, SLOW - SLOTS), (HOLD + TAKEN, SLOTS)):
        relay.say("*", "DOT", reply, times=times)
    async with installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
        batch = {"notifications": [WELCOME | {"to": f"user{number}@example.com"} for number in range(SLOW + REST)]}
        assert (await client.post("/v1/notifications/batch", json=batch)).status_code == 202
        await relay.wait_for_bodies(SLOTS)
        await refresh_forecast(client)
        assert await _posted(client, parts, 30) == 202  # the throughput is not known yet
        clock.seconds += PASSED
        relay.resume.set()
        relay.resume.clear()  # those that were held go on; the next are held again
        await relay.wait_for_bodies(SLOW + SLOTS)
        await wait_until(lambda: parts.throughput.get_rate(clock.monotonic()) is not None)
        if sender.identity.heartbeat is not None:
            await sender.identity.heartbeat.beat()
        await refresh_forecast(client)
        assert (await _posted(client, parts, 30), await _posted(client, parts, 3600)) == (503, 202)
        await relay.stop()
        await wait_until(lambda: sender.deliverer.relay.is_open and parts.throughput._is_paused)
        while await _posted(client, parts, 30) != 202:
            await refresh_forecast(client)


async def test_a_sender_that_has_ended_has_no_rate(parts: wiring.ProcessParts) -> None:
    """The throughput of a stopped sender is deleted, because the next one may use another relay."""
    await add_measured_sender(parts)
    assert parts.throughput.get_rate(parts.clock.monotonic()) is not None
    async with wiring.run_sender(parts):
        pass
    assert parts.throughput.get_rate(parts.clock.monotonic()) is None
