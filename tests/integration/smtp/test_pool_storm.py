"""Hundreds of mails with random replies, cancellations and stops: no place and no mail is lost.

`NOTIFIER_CHAOS=long` runs 400 storms instead of 16.
"""

import asyncio
import os
import random
from collections import Counter

import pytest
from support.announced_pair import mail_to, turns
from support.body_permit import grant_permit
from support.scripted_relay import DROP, HOLD, ScriptedRelay

from notifier.outbox.entry_handler import BodyPermit
from notifier.outcomes import Accepted, Deferred, NotTried, Outcome, Rejected
from notifier.smtp.session_pool import AnnounceLimits, SessionPool
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings

pytestmark = pytest.mark.parametrize("relay", [True], ids=["pipelined"], indirect=True)
STORMS = 400 if os.environ.get("NOTIFIER_CHAOS") == "long" else 16
MAILS = 60  # in a storm
COMMANDS = ("MAIL", "RCPT", "DATA", "DOT")
IMPATIENT = AnnounceLimits(max_wait=0.005, pause=0.01)
SURELY_UNSENT = (Deferred, NotTried, Rejected)


def misbehave(relay: ScriptedRelay, rng: random.Random, name: str) -> None:
    """Script a fault for some of the mails."""
    if rng.random() < 1 / 3:
        command = rng.choice(COMMANDS)
        who = f"{name}@shop.example" if command == "MAIL" else f"{name}@example.com"
        word = rng.choice((DROP, f"421 4.3.2 {name}", f"450 4.2.0 {name}", f"550 5.7.0 {name}", "what"))
        relay.say(who, command, word)


def connections(pool: SessionPool) -> int:
    """Return the number of connections that are open or being opened."""
    standing = [session for session in (*pool._busy, *pool._closing) if session._protocol.is_connected]
    return len(standing) + len(pool._idle) + pool._opening


async def storm(relay: ScriptedRelay, transport: SmtpTransport, rng: random.Random, number: int) -> Counter[str]:
    """Run one storm and return the number of each kind of outcome."""
    pool = transport._pool
    most = 0

    async def ask() -> BodyPermit | None:
        nonlocal most
        most = max(most, connections(pool))
        await asyncio.sleep(rng.choice((0, 0, 0, 0.001, 0.01)))
        most = max(most, connections(pool))
        return await grant_permit() if rng.random() < 0.95 else None

    names = [f"m{number}.{index}" for index in range(MAILS)]
    for name in names:
        misbehave(relay, rng, name)
    sendings = [asyncio.create_task(transport.send(mail_to(n), seconds=60, before_body=ask)) for n in names]
    for _ in range(MAILS // 10):
        await asyncio.sleep(rng.choice((0, 0.001, 0.003)))
        rng.choice(sendings).cancel()
    if rng.random() < 1 / 4:
        await asyncio.sleep(0.01)
        transport.abort()
    async with asyncio.timeout(50):
        outcomes: list[Outcome | BaseException] = await asyncio.gather(*sendings, return_exceptions=True)
    assert most <= pool.limit.maximum
    await turns()
    accepted = Counter(mail.recipient for mail in relay.received)
    kinds = Counter[str]()
    for name, outcome in zip(names, outcomes, strict=True):
        times = accepted[f"{name}@example.com"]
        kinds[type(outcome).__name__] += 1
        assert times <= 1, name
        assert times == 1 or not isinstance(outcome, Accepted), name
        assert times == 0 or not isinstance(outcome, SURELY_UNSENT), (name, outcome)
        if (reply := getattr(outcome, "reply", None)) is not None and not isinstance(outcome, Accepted):
            assert name in reply.text.split(), (name, outcome)
    return kinds


@pytest.mark.timeout(600)
async def test_a_storm_loses_no_place(relay: ScriptedRelay) -> None:
    """After a storm all places are free, and the pool carries as many mails at once as before."""
    kinds = Counter[str]()
    rng = random.Random(1)
    for number in range(STORMS):
        most = rng.choice((1, 2, 5))
        transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=most), IMPATIENT)
        kinds += await storm(relay, transport, rng, number)
        relay.forget()
        pool = transport._pool
        assert (pool._users, pool._opening, len(pool._busy)) == (0, 0, 0)
        assert (len(pool._waiting), len(pool._announced)) == (0, 0)
        assert all(session._protocol.is_idle for session in pool._idle)
        transport._aborted = False
        await side_by_side(relay, transport, most)
        await transport.close()
    assert {"Accepted", "Deferred", "Rejected", "NotTried", "Uncertain", "CancelledError"} <= set(kinds)


async def side_by_side(relay: ScriptedRelay, transport: SmtpTransport, most: int) -> None:
    """Send one mail more than there are connections, and check that all others are in progress at once."""
    relay.resume.clear()
    relay.say("*", "DOT", HOLD + "250 2.0.0 queued", times=most)
    count = len(relay.bodies)
    mails = [transport.send(mail_to(f"s{index}"), seconds=60, before_body=grant_permit) for index in range(most + 1)]
    sendings = [asyncio.create_task(sending) for sending in mails]
    await relay.wait_for_bodies(count + most)
    assert connections(transport._pool) == most
    relay.resume.set()
    outcomes = await asyncio.gather(*sendings)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
