"""The permit is requested with DATA, needed for the first byte, and checked before each further slice of the body."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from support.body_permit import PermitQueue, build_permit, grant_permit, grant_until
from support.scripted_relay import DROP, HANG, STALL, ScriptedRelay

from notifier.outbox.entry_handler import BodyPermit
from notifier.outcomes import Accepted, Deferred, NotPermitted, Rejected, Uncertain
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport

pytestmark = pytest.mark.parametrize("relay", [False, True], ids=["step by step", "pipelined"], indirect=True)
WIRE = b"Subject: Hi\r\n\r\nHello\r\n"
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=WIRE)
OTHER = OutgoingMail(sender="shop@shop.example", recipient="bob@example.com", data=WIRE)
LARGE = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=WIRE + b"\r\n" * (6 << 20))


async def test_the_permit_is_asked_for_with_data_and_not_after_354(
    transport: SmtpTransport, relay: ScriptedRelay
) -> None:
    """The permit is requested before DATA is answered, so that the commit overlaps with the reply."""
    relay.say(MAIL.recipient, "DATA", HANG)
    queue = PermitQueue(build_permit())
    sending = asyncio.create_task(transport.send(MAIL, seconds=60, before_body=queue.ask))
    async with asyncio.timeout(50):
        await queue.asked.wait()
    await relay.wait_for_commands("DATA", 1)
    assert not sending.done()
    sending.cancel()
    await asyncio.wait([sending])
    assert queue.cancelled == 1


async def test_no_body_without_the_permit(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """After 354 the session waits for the permit and then continues."""
    queue = PermitQueue(build_permit())
    sending = asyncio.create_task(transport.send(MAIL, seconds=60, before_body=queue.ask))
    await relay.wait_for_commands("DATA", 1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert relay.received == []
    assert not sending.done()
    queue.may_answer.set()
    assert isinstance(await sending, Accepted)
    assert queue.times == 1


async def test_without_a_permit_no_byte_of_the_body_is_sent(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Without a permit the mail is unsent and the connection is cut, because the relay waits for a body."""

    async def refuse() -> None:
        return None

    assert await transport.send(MAIL, seconds=60, before_body=refuse) == NotPermitted(detail="not permitted to begin")
    await relay.wait_until_silent()
    assert isinstance(await transport.send(OTHER, seconds=60, before_body=grant_permit), Accepted)
    assert relay.connections == 2
    assert [mail.recipient for mail in relay.received] == [OTHER.recipient]


@pytest.mark.parametrize("late", ["first byte", "end"])
async def test_a_late_permit_begins_nothing(transport: SmtpTransport, relay: ScriptedRelay, late: str) -> None:
    """A permit after its time is void, because another process may have rescued the mail."""
    over = build_permit(first_byte_in=-0.001) if late == "first byte" else build_permit(ends_in=-0.001)

    async def ask() -> BodyPermit:
        return over

    assert await transport.send(MAIL, seconds=60, before_body=ask) == NotPermitted(detail="permitted too late")
    await relay.wait_until_silent()
    assert relay.received == []


async def test_a_permit_that_ends_in_the_middle_of_a_large_body(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A permit that ends cuts the body before its last byte, so the mail is surely unsent."""
    relay.extensions = ()
    left = 3

    def may_go_on() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    async def ask() -> BodyPermit:
        return replace(build_permit(), may_continue=may_go_on)

    outcome = await transport.send(LARGE, seconds=60, before_body=ask)
    assert outcome == NotPermitted(detail="the permission ended in the middle of the body")
    assert left == -1
    await relay.wait_until_silent()
    assert relay.received == []


async def test_the_permit_is_checked_before_each_slice(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Before each slice the sender checks whether others may consider it dead."""
    calls = 0

    def may_go_on() -> bool:
        nonlocal calls
        calls += 1
        return True

    async def ask() -> BodyPermit:
        return replace(build_permit(), may_continue=may_go_on)

    mail = msgspec.structs.replace(MAIL, data=WIRE + b"\r\n" * (5 * 32 * 1024))
    assert isinstance(await transport.send(mail, seconds=60, before_body=ask), Accepted)
    assert calls == 6
    assert [received.data for received in relay.received] == [mail.data]


async def test_the_permit_is_checked_after_the_socket_was_full(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A paused body does not continue if its permit has ended."""
    relay.extensions = ()
    relay.say(MAIL.recipient, "DATA", STALL)
    valid = True

    async def ask() -> BodyPermit:
        return replace(build_permit(), may_continue=lambda: valid)

    sending = asyncio.create_task(transport.send(LARGE, seconds=60, before_body=ask))
    await relay.wait_for_commands("DATA", 1)
    for _ in range(200):
        await asyncio.sleep(0)  # until every buffer is full
    valid = False
    relay.resume.set()
    assert isinstance(await sending, NotPermitted)
    await relay.wait_until_silent()
    assert relay.received == []


async def test_the_permit_bounds_the_wait_for_the_last_reply(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """After the first byte the permit's end is the deadline, and not the mail's timeout."""
    relay.say(MAIL.recipient, "DOT", HANG)
    async with asyncio.timeout(50):
        assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_until(0.2)), Uncertain)
    relay.say(MAIL.recipient, "DOT", HANG)
    sending = asyncio.create_task(transport.send(MAIL, seconds=0.3, before_body=grant_until(60)))
    done, _ = await asyncio.wait([sending], timeout=0.5)
    assert not done
    sending.cancel()
    await asyncio.wait([sending])


async def test_an_error_of_the_queue_is_raised_and_the_connection_cut(
    transport: SmtpTransport, relay: ScriptedRelay
) -> None:
    """If the permit request fails, the error is raised and the connection with its open DATA is cut."""
    queue = PermitQueue(ZeroDivisionError())
    queue.may_answer.set()
    with pytest.raises(ZeroDivisionError):
        await transport.send(MAIL, seconds=60, before_body=queue.ask)
    await relay.wait_until_silent()
    assert relay.received == []


async def test_an_error_in_the_middle_of_the_body_cuts_it(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A check that raises ends the body like a refused one."""
    relay.extensions = ()

    async def ask() -> BodyPermit:
        return replace(build_permit(), may_continue=lambda: bool(1 // 0))

    with pytest.raises(ZeroDivisionError):
        await transport.send(LARGE, seconds=60, before_body=ask)
    await relay.wait_until_silent()
    assert relay.received == []


@pytest.mark.parametrize("gives", [None, KeyError()], ids=["no answer", "error"])
async def test_a_refusal_does_not_wait_for_the_permit(
    transport: SmtpTransport, relay: ScriptedRelay, gives: Exception | None
) -> None:
    """After a refusal by the relay the permit request is withdrawn."""
    relay.say(MAIL.recipient, "DATA", "550 5.7.1 no")
    queue = PermitQueue(gives)
    if gives is not None:
        queue.may_answer.set()
    async with asyncio.timeout(50):
        assert isinstance(await transport.send(MAIL, seconds=60, before_body=queue.ask), Rejected)
    for _ in range(3):
        await asyncio.sleep(0)
    assert queue.cancelled == (gives is None)
    assert relay.connections == 1


async def test_nothing_is_asked_of_the_queue_for_a_mail_refused_before_data(
    transport: SmtpTransport, relay: ScriptedRelay
) -> None:
    """Without pipelining a refused recipient costs no commit, because the mark is requested with DATA."""
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    queue = PermitQueue(build_permit())
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=queue.ask), Rejected)
    assert queue.times == (1 if relay.pipelines else 0)


async def test_each_connection_asks_for_its_own_permit(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """After a drop the mail restarts with MAIL and requests a new permit."""
    relay.say(MAIL.recipient, "DATA", DROP)
    queue = PermitQueue(build_permit())
    queue.may_answer.set()
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=queue.ask), Accepted)
    assert queue.times == 2


async def test_no_permit_in_time(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """If the database hangs, the connection is cut and the mail is unsent."""
    queue = PermitQueue()
    outcome = await transport.send(MAIL, seconds=0.2, before_body=queue.ask)
    assert outcome == NotPermitted(detail="no permission in time")
    await relay.wait_until_silent()
    assert queue.cancelled == 1


async def test_a_relay_that_disconnects_before_the_permit(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A connection lost before the permit is replaced at once by a new one."""
    queue = PermitQueue(build_permit())
    sending = asyncio.create_task(transport.send(MAIL, seconds=60, before_body=queue.ask))
    await relay.wait_for_commands("DATA", 1)
    relay.hang_up()
    await relay.wait_for_commands("DATA", 2)
    assert queue.cancelled == 1
    relay.hang_up()
    assert isinstance(await sending, Deferred)
    assert queue.times == 2
