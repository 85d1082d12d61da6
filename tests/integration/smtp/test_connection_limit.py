"""A relay that accepts fewer connections than the setting: the limit is learned, and no mail fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from support.announced_pair import mail_to, turns
from support.body_permit import grant_permit
from support.limited_relay import RESET, LimitedRelay
from support.scripted_relay import DROP, HOLD

from notifier.outcomes import Accepted, NotTried, Outcome
from notifier.smtp.connection_limit import MAX_OPENING
from notifier.smtp.session_pool import RECENT_REPLY_SECONDS
from notifier.smtp.smtp_session import MAX_CONNECT_TRIES
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings
from notifier.telemetry import metrics

TAKEN = 5  # connections that the relay takes
CLOSING = "421 4.7.0 too many messages on this connection"


@pytest.fixture
async def relay() -> AsyncIterator[LimitedRelay]:
    """A relay that takes all connections unless a test limits them."""
    started = LimitedRelay(pipelines=True)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
def transport(relay: LimitedRelay) -> SmtpTransport:
    """A transport with the default of twenty connections."""
    return SmtpTransport(SmtpSettings(port=relay.port))


async def send(transport: SmtpTransport, mails: int, name: str = "n") -> list[Outcome]:
    """Send this many mails that are due at once."""
    sendings = (transport.send(mail_to(f"{name}{n}"), seconds=60, before_body=grant_permit) for n in range(mails))
    return await asyncio.gather(*sendings)


async def open_connections(transport: SmtpTransport, count: int) -> None:
    """Leave this many connections idle."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(transport._pool.acquire())


def all_accepted(outcomes: list[Outcome]) -> bool:
    return all(isinstance(outcome, Accepted) for outcome in outcomes)


@pytest.mark.parametrize(
    "refusal",
    [
        "421 4.7.0 relay.example Error: too many connections from 127.0.0.1",
        "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit",
        "421 relay.example busy",
        "554 5.7.0 no more",
        DROP,
        RESET,
        "EHLO 450 4.7.0 too many connections",
        "EHLO 451 4.3.2 try later",
        "EHLO 421 4.3.2 too many sessions",
        "EHLO 454 4.7.0 not now",
    ],
)
async def test_the_limit_of_the_relay_is_learned(relay: LimitedRelay, transport: SmtpTransport, refusal: str) -> None:
    """For each kind of refusal all mails are sent, few connections are refused, and the limit is in force."""
    relay.limit, relay.refusal = TAKEN, refusal
    relay.say("*", "DOT", HOLD + "250 2.0.0 queued", times=TAKEN)
    with capture_logs() as logs:
        sending = asyncio.create_task(send(transport, 100))
        await relay.wait_for_bodies(TAKEN)
        await relay.wait_for_refusals(1)
        relay.resume.set()
        assert all_accepted(await sending)
    assert (transport.limit.in_force, relay.most) == (TAKEN, TAKEN)
    assert relay.refused <= MAX_OPENING
    assert [line["event"] for line in logs] == ["connections_changed"] * len(logs)
    assert 1 <= len(logs) <= 2
    assert logs[-1]["detail"] == "5 of 20 connections are in force"
    gauge = metrics.SMTP_CONNECTIONS
    assert [gauge.labels(transport.relay, which)._value.get() for which in ("in_force", "maximum")] == [TAKEN, 20]
    await transport.close()


async def test_the_limit_rises_when_the_relay_accepts_more(relay: LimitedRelay) -> None:
    """After a wait one more connection is tried, then the next, up to the setting."""
    relay.limit = 2
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=6))
    with capture_logs() as logs:
        relay.say("*", "DOT", HOLD + "250 2.0.0 queued", times=2)
        sending = asyncio.create_task(send(transport, 20))
        await relay.wait_for_refusals(1)
        relay.resume.set()
        await sending
        assert (transport.limit.in_force, relay.most) == (2, 2)
        refused = relay.refused
        assert all_accepted(await send(transport, 40, "early"))
        assert (transport.limit.in_force, relay.refused) == (2, refused)
        relay.limit = None
        transport.limit._more_from = 0.0  # as if the wait were over
        while transport.limit.in_force < 6:
            assert all_accepted(await send(transport, 100, "late"))
    assert (relay.most, relay.refused) == (6, refused)
    assert [line["detail"] for line in logs][-5:] == [f"{n} of 6 connections are in force" for n in range(2, 7)]
    assert [bool(line["reason"]) for line in logs][-5:] == [True, True, True, True, False]
    await transport.close()


async def test_the_limit_falls_again(relay: LimitedRelay, transport: SmtpTransport) -> None:
    """If the relay accepts fewer than before, closed connections are not replaced, and no mail fails."""
    await open_connections(transport, 10)
    relay.limit = 3
    relay.say("*", "MAIL", CLOSING, times=8)
    assert all_accepted(await send(transport, 100, "late"))
    assert 2 <= transport.limit.in_force <= 3
    assert len(relay._writers) <= 3
    await transport.close()


@pytest.mark.parametrize("word", [CLOSING, "421 4.7.0 rate limit exceeded", "421 4.4.2 timeout", DROP])
async def test_the_end_of_a_session_is_no_limit(relay: LimitedRelay, transport: SmtpTransport, word: str) -> None:
    """A relay that ends sessions after some mails or time gets new connections, with the same limit."""
    await open_connections(transport, 4)
    for round_ in range(3):
        for n in range(4):  # each on a connection that has carried mails
            relay.say(f"end{round_}{n}@shop.example", "MAIL", word)
        assert all_accepted(await send(transport, 30, "usual"))
        assert all_accepted(await send(transport, 4, f"end{round_}"))
    assert (transport.limit.in_force, relay.refused) == (20, 0)
    await transport.close()


@pytest.mark.parametrize(
    "word",
    [
        "450 4.7.0 too many connections from 127.0.0.1",
        "451 4.3.2 Too many concurrent SMTP connections; please try again later",
        "452 4.3.2 Too many open connections",
        "454 4.7.0 too many sessions",
        "421 4.3.2 maximum number of simultaneous connections exceeded",
    ],
)
async def test_too_many_connections_as_the_reply_to_mail(
    relay: LimitedRelay, transport: SmtpTransport, word: str
) -> None:
    """The mail is sent over another connection without using an attempt, and the limit falls by one."""
    await open_connections(transport, 4)
    before = transport.limit.in_force
    relay.say("crowded0@shop.example", "MAIL", word, times=2)
    busy = asyncio.create_task(send(transport, 60, "usual"))
    assert all_accepted(await send(transport, 1, "crowded"))
    assert all_accepted(await busy)
    assert transport.limit.in_force < before
    await transport.close()


async def test_a_rate_limit_as_the_reply_to_mail_is_no_connection_limit(
    relay: LimitedRelay, transport: SmtpTransport
) -> None:
    """Amazon's reply to mails that come too fast does not change the connection limit."""
    await open_connections(transport, 4)
    relay.say("fast0@shop.example", "MAIL", "454 Throttling failure: Maximum sending rate exceeded.")
    await send(transport, 1, "fast")
    assert transport.limit.in_force == 20
    await transport.close()


async def test_a_refused_first_connection_is_an_outage(relay: LimitedRelay, transport: SmtpTransport) -> None:
    """All waiting mails end after one connection attempt, and the limit stays."""
    relay.limit = 0
    outcomes = await send(transport, 20)
    assert {type(outcome) for outcome in outcomes} == {NotTried}
    assert relay.refused <= MAX_CONNECT_TRIES
    refused = relay.refused
    await send(transport, 20)
    assert (relay.refused, transport.limit.in_force) == (refused + 1, 20)  # a probe is one connection
    relay.limit = None
    assert all_accepted(await send(transport, 20))
    await transport.close()


async def test_a_silent_relay_is_an_outage(relay: LimitedRelay, transport: SmtpTransport) -> None:
    """Connections that were silent for a minute do not prove that the relay works."""
    async with transport._pool.acquire() as session:
        relay.limit = 1
        session.used_at -= RECENT_REPLY_SECONDS
        assert {type(outcome) for outcome in await send(transport, 3)} == {NotTried}
        assert transport.limit.in_force == 20
    await transport.close()


async def test_a_closing_connection_counts_until_the_relay_has_closed_it(relay: LimitedRelay) -> None:
    """After a hundred mails the connection ends with QUIT, and the next is opened only after that."""
    relay.limit = 1
    relay.say("*", "QUIT", HOLD + "221 2.0.0 bye")
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=1))
    sending = asyncio.create_task(send(transport, 101))
    await relay.wait_for_commands("QUIT", 1)
    await turns()
    relay.resume.set()
    assert all_accepted(await sending)
    assert (relay.connections, relay.refused) == (2, 0)
    await transport.close()
