"""The places of the pool: never more connections than the setting, and no place is lost."""

import asyncio
import time

import pytest
from support.announced_pair import ADA, BOB, CID, WIRE, AnnouncedPair, mail_to, turns
from support.body_permit import grant_permit
from support.scripted_relay import HOLD, ScriptedRelay

from notifier.outcomes import Accepted, NotTried, Outcome, Uncertain
from notifier.smtp.mail_transaction import SmtpTransaction
from notifier.smtp.session_pool import RECENT_REPLY_SECONDS, ConnectionNotAssignedError, SessionPool
from notifier.smtp.smtp_session import RelayUnreachableError
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings

pytestmark = pytest.mark.parametrize("relay", [True], ids=["pipelined"], indirect=True)
STOPPED = NotTried(detail="stopped before the mail was handed over")


def bob() -> SmtpTransaction:
    """Build a mail that can be announced."""
    return SmtpTransaction(BOB, deadline=time.monotonic() + 5, before_body=grant_permit)


async def hold(pool: SessionPool, *, fresh: bool = False) -> None:
    """Take a session and give it back at once."""
    async with pool.acquire(fresh=fresh, transaction=bob()):
        pass


async def test_an_outage_is_reported_to_all_waiting_mails(relay: ScriptedRelay) -> None:
    """B1: one of twenty mails tries to connect, and all others get its result."""
    relay.greeting = "554 5.3.2 no service"
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=2))
    outcomes = await asyncio.gather(*(transport.send(BOB, seconds=60, before_body=grant_permit) for _ in range(20)))
    assert all(isinstance(outcome, NotTried) and "no service" in outcome.detail for outcome in outcomes)
    assert relay.connections == 1
    relay.greeting = "220 hello"
    outcomes = await asyncio.gather(*(transport.send(BOB, seconds=60, before_body=grant_permit) for _ in range(20)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert relay.connections == 3
    await transport.close()


async def test_an_outage_is_not_reported_to_an_announced_mail(relay: ScriptedRelay) -> None:
    """An announced mail has an open connection, so an outage is reported only to the waiting mails."""
    pool = SessionPool(SmtpSettings(port=relay.port, max_connections=2))
    async with pool.acquire() as session:
        session.last_seconds = 0.0
        relay.say("*", "EHLO", HOLD + "554 5.3.2 no service")
        opening = asyncio.create_task(hold(pool, fresh=True))
        announced = asyncio.create_task(hold(pool))
        waiting = asyncio.create_task(hold(pool))
        await relay.wait_for_commands("EHLO", 2)
        assert pool._announce_on(session) is not None
        session.used_at -= RECENT_REPLY_SECONDS  # otherwise the refusal would count as a connection limit
        relay.resume.set()
        for unlucky in (opening, waiting):
            with pytest.raises(RelayUnreachableError, match="no service"):
                await unlucky
        assert not announced.done()
    await announced
    assert (pool._users, relay.connections) == (0, 2)
    await pool.close()


async def test_a_stop_refuses_waiting_mails(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """Running transactions end by their state; announced and waiting mails are not begun."""
    await pair.begin()
    others = [pair.send(CID) for _ in range(5)]
    await turns()
    pair.transport.abort()
    async with asyncio.timeout(50):
        assert isinstance(await pair.first, Uncertain)
        assert [await sending for sending in (pair.second, *others)] == [STOPPED] * 6
    await pair.end()
    await relay.wait_until_silent()
    assert (relay.connections, len(relay.bodies)) == (1, 2)


async def test_a_stop_while_a_connection_is_opened_begins_nothing(relay: ScriptedRelay) -> None:
    """Neither a mail that gets its connection after the stop nor the next mail is begun on it."""
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=1))
    relay.say("*", "EHLO", HOLD + "250-relay.example\r\n250 PIPELINING")
    sendings = [asyncio.create_task(transport.send(mail, seconds=60, before_body=grant_permit)) for mail in (ADA, BOB)]
    await relay.wait_for_commands("EHLO", 1)
    transport.abort()
    relay.resume.set()
    assert [await sending for sending in sendings] == [STOPPED] * 2
    assert relay.bodies == []
    await transport.close()


async def test_a_stop_at_the_moment_of_a_turn_begins_nothing(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """A mail that has just got its turn does not use it after the stop."""
    pool = pair.transport._pool
    async with pool.acquire():
        waiting = pair.send(CID)
        await asyncio.sleep(0)
    pair.transport.abort()
    assert await waiting == STOPPED
    assert CID.recipient not in relay.bodies


@pytest.mark.parametrize("announced", [True, False])
async def test_a_mail_cancelled_at_the_moment_of_its_turn(
    pair: AnnouncedPair, relay: ScriptedRelay, *, announced: bool
) -> None:
    """Its connection, or its permission to open one, goes to the next mail."""
    pool = pair.transport._pool
    async with pool.acquire() as session:
        waiting = asyncio.create_task(hold(pool))
        await asyncio.sleep(0)
        if announced:
            assert pool._announce_on(session) is not None
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (pool._users, len(pool._busy)) == (0, 0)
    assert isinstance(await pair.send(CID), Accepted)
    assert relay.connections == 1 + announced


@pytest.mark.parametrize("announced", [True, False])
async def test_a_timeout_at_the_moment_of_a_cancellation(pair: AnnouncedPair, *, announced: bool) -> None:
    """The mail's place is given back exactly once."""
    pool = pair.transport._pool
    async with pool.acquire() as session:
        waiting = asyncio.create_task(hold(pool))
        await asyncio.sleep(0)
        first = pool._waiting[0]
        if announced:
            assert pool._announce_on(session) is not None
        first.turn.set_exception(ConnectionNotAssignedError())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (pool._users, len(pool._busy)) == (0, 0)
    assert isinstance(await pair.send(CID), Accepted)


async def test_a_mail_cancelled_while_its_connection_is_opened(relay: ScriptedRelay) -> None:
    """Its place goes to the next mail."""
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=1))
    relay.say("*", "EHLO", HOLD + "250-relay.example\r\n250 PIPELINING")
    first = asyncio.create_task(transport.send(ADA, seconds=60, before_body=grant_permit))
    second = asyncio.create_task(transport.send(BOB, seconds=60, before_body=grant_permit))
    await relay.wait_for_commands("EHLO", 1)
    first.cancel()
    assert isinstance(await second, Accepted)
    assert relay.connections == 2
    await transport.close()


async def test_cancelled_mails_are_skipped(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """When nine of ten waiting mails are cancelled, the tenth is announced."""
    pool = pair.transport._pool
    async with pool.acquire() as session:
        gone = [asyncio.create_task(hold(pool)) for _ in range(9)]
        last = asyncio.create_task(hold(pool))
        await asyncio.sleep(0)
        for waiting in gone:
            waiting.cancel()
        assert pool._announce_on(session) is not None
        assert not pool._waiting
    await last
    assert (pool._users, len(pool._busy)) == (0, 0)


async def test_the_first_mail_that_carries_nothing_hands_its_connection_on(
    pair: AnnouncedPair, relay: ScriptedRelay
) -> None:
    """The connection is handed on even if it is dead, and the announced mail opens the next."""
    pool = pair.transport._pool
    sessions: list[object] = []

    async def note() -> None:
        async with pool.acquire(transaction=bob()) as session:
            sessions.append(session)

    async with pool.acquire() as session:
        waiting = [asyncio.create_task(note()) for _ in range(2)]
        await asyncio.sleep(0)
        assert pool._announce_on(session) is not None
        session.abort()
    await asyncio.gather(*waiting)
    assert sessions[0] is session
    assert sessions[1] is not session
    assert (pool._users, relay.connections) == (0, 2)


async def test_a_large_mail_has_no_part_in_the_count(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """Mails that are too large give their place to the next, and all others are accepted."""
    mails = [mail_to(f"n{n}", b"x" * (11 << 20) if n % 3 == 0 else WIRE) for n in range(12)]
    outcomes: list[Outcome] = await asyncio.gather(*(pair.send(mail) for mail in mails))
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 8
    assert relay.connections == 1
    assert pair.transport._pool._users == 0
