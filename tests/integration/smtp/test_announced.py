"""A waiting mail is announced behind the dot of the mail before it: when, and which errors belong to which mail."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
from support.announced_pair import ADA, BOB, WIRE, AnnouncedPair, mail_to, turns
from support.body_permit import build_permit, grant_permit
from support.scripted_relay import STALL, ScriptedRelay

from notifier.outbox.entry_handler import BodyPermit
from notifier.outcomes import Accepted, RefusalKind, Rejected
from notifier.smtp.mail_transaction import SmtpTransaction
from notifier.smtp.session_pool import AnnounceLimits
from notifier.smtp.smtp_session import SmtpSession

ENVELOPE = b"MAIL FROM:<bob@shop.example> SIZE=%d\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n" % len(WIRE)
pipelined = pytest.mark.parametrize("relay", [True], ids=["pipelined"], indirect=True)


@pipelined
async def test_a_waiting_mail_is_announced_behind_the_dot_of_the_one_before(
    pair: AnnouncedPair, relay: ScriptedRelay
) -> None:
    """RFC 2920 §3.1: its envelope is sent and its permit requested before the first mail's dot is answered."""
    await pair.begin()
    assert pair.queue.times == 1
    assert not pair.first.done()
    assert [type(outcome) for outcome in await pair.end()] == [Accepted, Accepted]
    assert relay.early == [ENVELOPE]
    assert pair.received == [ADA.recipient, BOB.recipient]
    assert (relay.connections, pair.queue.times) == (1, 1)


@pipelined
async def test_an_announced_mail_costs_one_round_trip(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """While mails wait, each envelope is sent together with the body of the mail before it."""
    before = relay.flights
    outcomes = await asyncio.gather(*(pair.send(mail_to(f"n{number}")) for number in range(20)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert relay.flights - before == 20 + 1
    assert relay.connections == 1


@pipelined
async def test_no_body_of_an_announced_mail_without_its_permit(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """After 354 an announced mail waits for its permit like any other."""
    pair.queue.may_answer.clear()
    await pair.begin()
    relay.resume.set()
    assert isinstance(await pair.first, Accepted)
    await relay.wait_for_commands("DATA", 3)
    await turns()
    assert not pair.second.done()
    assert len(relay.bodies) == 2
    pair.queue.may_answer.set()
    assert isinstance(await pair.second, Accepted)
    assert pair.queue.times == 1


def _old(session: SmtpSession) -> None:
    session.opened_at -= 300


def _long_unused(session: SmtpSession) -> None:
    session.used_at -= 30


def _at_the_last_but_one(session: SmtpSession) -> None:
    session.mail_count = 98


def _at_the_last(session: SmtpSession) -> None:
    session.mail_count = 99


def _slow(session: SmtpSession) -> None:
    session.last_seconds = 1.1


@pipelined
@pytest.mark.parametrize(
    ("change", "announced"),
    [(_old, 0), (_long_unused, 0), (_at_the_last, 0), (_at_the_last_but_one, 1), (_slow, 0)],
)
async def test_what_the_session_must_be_like(
    pair: AnnouncedPair, relay: ScriptedRelay, change: Callable[[SmtpSession], None], announced: int
) -> None:
    """Nothing is announced on a session that carries no further mail or may delay it for long."""

    async def ask() -> BodyPermit:
        change(pair.session)
        return build_permit()

    await pair.begin(before_body=ask)
    assert pair.queue.times == announced
    assert [type(outcome) for outcome in await pair.end()] == [Accepted, Accepted]
    assert relay.early == [ENVELOPE * announced]


@pipelined
@pytest.mark.parametrize(("quick", "announced"), [(0.0, 0), (5.0, 1)])
async def test_a_relay_that_was_slow_is_not_trusted(relay: ScriptedRelay, quick: float, announced: int) -> None:
    """After a slow mail nothing is announced, because the permit would expire while it waits."""
    pair = AnnouncedPair(relay, announcing=AnnounceLimits(max_last_seconds=quick))
    await pair.open()
    await pair.begin()
    assert pair.queue.times == announced
    await pair.end()
    await pair.transport.close()


async def test_nothing_is_announced_without_pipelining(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """RFC 2920 §3: a relay without PIPELINING may misread what is sent early."""
    await pair.begin()
    assert pair.queue.times == 0
    assert [type(outcome) for outcome in await pair.end()] == [Accepted, Accepted]
    assert relay.early == [b""]


@pipelined
async def test_a_probe_and_a_second_try_are_not_announced(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """A probe and a second try wait for their turn and get a new connection."""
    await pair.begin()
    await pair.end()
    for number, kind in enumerate(("probe", "fresh"), start=1):
        transaction = SmtpTransaction(BOB, deadline=time.monotonic() + 5, before_body=pair.queue.ask)
        use = pair.transport._pool.acquire(fresh=True, transaction=transaction if kind == "fresh" else None)
        async with use as session:
            await session.run_transaction(transaction)
        assert not transaction.is_announced
        assert relay.connections == 1 + number


@pipelined
@pytest.mark.parametrize("kind", ["probe", "fresh"])
async def test_a_mail_that_needs_a_new_connection_is_not_announced(
    pair: AnnouncedPair, relay: ScriptedRelay, kind: str
) -> None:
    """A probe or second try that is next is not announced, and no other mail overtakes it."""
    transaction = SmtpTransaction(BOB, deadline=time.monotonic() + 5, before_body=pair.queue.ask)

    async def alone() -> None:
        if kind == "probe":
            assert await pair.transport.probe() is None
            return
        async with pair.transport._pool.acquire(fresh=True, transaction=transaction) as session:
            assert isinstance(await session.run_transaction(transaction), Accepted)

    waiting: list[asyncio.Task[None]] = []

    async def ask() -> BodyPermit:
        waiting.append(asyncio.create_task(alone()))
        await asyncio.sleep(0)
        pair.transport._pool._waiting.rotate(1)  # before Bob's
        return build_permit()

    await pair.begin(before_body=ask)
    assert (pair.queue.times, relay.connections) == (0, 1)
    assert [type(outcome) for outcome in await pair.end()] == [Accepted, Accepted]
    await waiting[0]
    assert relay.early == [b""]
    assert (transaction.is_announced, relay.connections) == (False, 2)


@pipelined
async def test_nothing_is_announced_behind_a_body_that_the_socket_has_not_taken(relay: ScriptedRelay) -> None:
    """Otherwise a lost connection would leave it unclear whether the relay has the first mail's dot."""
    assert relay._server is not None
    relay._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    pair = AnnouncedPair(relay)
    await pair.open()
    relay.say(ADA.recipient, "DATA", STALL)

    async def ask() -> BodyPermit:
        pair.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return build_permit()

    first = pair.send(mail_to("ada", b"x" * 60_000 + b"\r\n"), ask)  # one slice
    before = []

    async def ask_later() -> BodyPermit:
        before.append(first.done())
        return build_permit()

    second = pair.send(BOB, ask_later)
    await relay.wait_for_commands("DATA", 2)
    await turns()
    relay.resume.set()
    assert [type(await sending) for sending in (first, second)] == [Accepted, Accepted]
    assert (before, relay.connections) == ([True], 1)
    await pair.transport.close()


def _raise() -> None:
    raise KeyError


async def _raise_later() -> None:
    raise KeyError


@pipelined
@pytest.mark.parametrize("recipient", ["bob@example.com>\r\nDATA", "bob\x00@example.com", "bob\udcff@example.com"])
async def test_a_bad_address_fails_its_own_mail(pair: AnnouncedPair, relay: ScriptedRelay, recipient: str) -> None:
    """The mail before it is accepted, and nothing of the bad one is sent."""
    bad = mail_to("bob")
    await pair.begin(type(bad)(sender=bad.sender, recipient=recipient, data=WIRE))
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, ValueError)
    assert relay.early == [b""]
    assert isinstance(await pair.send(BOB), Accepted)
    assert pair.received == [ADA.recipient, BOB.recipient]


@pipelined
async def test_a_mail_that_is_too_large_fails_itself(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """B12: SIZE is checked before anything of the mail is sent."""
    await pair.begin(mail_to("bob", b"x" * (10 << 20) + b"\r\n"))
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, Rejected)
    assert second.refused is RefusalKind.SIZE
    assert (relay.early, pair.queue.times) == ([b""], 0)
    assert isinstance(await pair.send(BOB), Accepted)
    assert relay.connections == 1


@pipelined
@pytest.mark.parametrize("fails", [_raise, _raise_later], ids=["at once", "later"])
async def test_a_failing_permit_request_fails_its_own_mail(
    pair: AnnouncedPair, relay: ScriptedRelay, fails: Callable[[], object]
) -> None:
    """B14: the error is raised to the mail that requested the permit."""
    pair.queue.ask = fails  # type: ignore[assignment,method-assign]
    await pair.begin()
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, KeyError)
    assert isinstance(await pair.send(BOB, grant_permit), Accepted)
    assert pair.received == [ADA.recipient, BOB.recipient]
