"""Connections that are lost before the dot, after it, and between two mails."""

import asyncio

import pytest
from support.body_permit import grant_permit, grant_until
from support.scripted_relay import DROP, HANG, STALL, ScriptedRelay

from notifier.outcomes import Accepted, CircuitReason, Deferred, NotTried, SmtpPhase, SmtpReply, Uncertain
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport

pytestmark = pytest.mark.parametrize("relay", [False, True], ids=["step by step", "pipelined"], indirect=True)
WIRE = b"Subject: Hi\r\n\r\nHello\r\n"
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=WIRE)
OTHER = OutgoingMail(sender="shop@shop.example", recipient="bob@example.com", data=WIRE)
SENT = Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="queued"))
CLOSING = "421 4.3.2 shutting down"


def who(step: str) -> str:
    """Return the address under which a step is scripted."""
    return MAIL.sender if step == "MAIL" else MAIL.recipient


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("how", [DROP, CLOSING, "garbage", "250 ok but not 354", "199 what"])
async def test_a_drop_before_the_dot_is_retried_at_once(
    transport: SmtpTransport, relay: ScriptedRelay, step: str, how: str
) -> None:
    """B6: the mail is sent once on a new connection, and the drop is not reported."""
    if how.startswith("250") and step != "DATA":
        how = "354 too early"
    relay.say(who(step), step, how)
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 2
    assert len(relay.received) == 1


@pytest.mark.parametrize(("step", "phase"), [("RCPT", SmtpPhase.RCPT), ("DATA", SmtpPhase.DATA)])
@pytest.mark.parametrize("how", [DROP, CLOSING])
async def test_a_second_drop_after_a_reply_to_mail_defers(
    transport: SmtpTransport, relay: ScriptedRelay, step: str, phase: SmtpPhase, how: str
) -> None:
    """B6: there is one retry, and an attempt is used because the relay answered MAIL."""
    relay.say(who(step), step, how, times=2)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, Deferred)
    assert (outcome.phase, outcome.reply) == (phase, None)
    assert how == DROP or CLOSING in outcome.detail
    assert relay.connections == 2
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT


@pytest.mark.parametrize("how", [DROP, CLOSING])
async def test_a_second_drop_at_mail_is_no_attempt(transport: SmtpTransport, relay: ScriptedRelay, how: str) -> None:
    """B6: without a reply to MAIL FROM no attempt is used."""
    relay.say(MAIL.sender, "MAIL", how, times=2)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, NotTried)
    assert not outcome.needs_person
    assert outcome.detail.startswith("the relay closed the connection: ")
    assert relay.connections == 2


async def test_the_drop_that_was_an_attempt_counts(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B6: a drop at RCPT and one at MAIL use an attempt, in either order."""
    relay.say(MAIL.recipient, "RCPT", DROP)
    relay.say("*", "MAIL", "250 ok")
    relay.say("*", "MAIL", DROP)
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Deferred)
    relay.say("*", "MAIL", DROP)
    relay.say(MAIL.recipient, "RCPT", DROP)
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Deferred)


@pytest.mark.parametrize(("step", "kind"), [("RCPT", Deferred), ("MAIL", NotTried)])
async def test_a_relay_that_is_gone_after_the_drop(
    transport: SmtpTransport, relay: ScriptedRelay, step: str, kind: type[Deferred | NotTried]
) -> None:
    """B6: if the new connection fails too, an attempt is used if MAIL was answered."""
    relay.say(who(step), step, DROP)
    first = asyncio.create_task(transport.send(MAIL, seconds=60, before_body=grant_permit))
    await relay.wait_for_commands(step, 1)
    await relay.stop()
    assert isinstance(await first, kind)


@pytest.mark.parametrize(("step", "kind"), [("MAIL", NotTried), ("RCPT", Deferred), ("DATA", Deferred)])
async def test_silence_before_the_dot_is_given_up_in_time(
    transport: SmtpTransport, relay: ScriptedRelay, step: str, kind: type[Deferred | NotTried]
) -> None:
    """B8: the connection is closed at the deadline, so a late reply never reaches another mail."""
    relay.say(who(step), step, HANG, times=2)
    assert isinstance(await transport.send(MAIL, seconds=0.3, before_body=grant_permit), kind)
    await relay.wait_until_silent()
    relay.forget()
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert [mail.recipient for mail in relay.received] == [OTHER.recipient]


async def test_the_time_is_for_both_tries(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A mail that used its time on the first connection is not begun on another."""
    relay.say(MAIL.recipient, "RCPT", HANG)
    assert isinstance(await transport.send(MAIL, seconds=0.2, before_body=grant_permit), Deferred)
    assert relay.connections == 1


@pytest.mark.parametrize("how", [DROP, "garbage", "199 what", "354 again"])
async def test_no_valid_reply_after_the_dot_is_uncertain(
    transport: SmtpTransport, relay: ScriptedRelay, how: str
) -> None:
    """B7: the relay may have the mail, so there is no retry, and the connection is closed."""
    relay.say(MAIL.recipient, "DOT", how)
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Uncertain)
    assert relay.connections == 1
    assert relay.received == []
    await relay.wait_until_silent()
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 2


async def test_silence_after_the_dot_is_uncertain(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B7: after the deadline there is no retry, and the late reply is not read."""
    relay.say(MAIL.recipient, "DOT", HANG)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_until(0.3))
    assert outcome == Uncertain(detail="no reply to the final dot: Timed out waiting for server response")
    await relay.wait_until_silent()
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT


async def test_421_after_the_dot_is_not_uncertain(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A 421 to the dot means that the mail was not taken: it is tried once more, and then deferred."""
    relay.say(MAIL.recipient, "DOT", CLOSING)
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    relay.say(MAIL.recipient, "DOT", CLOSING, times=2)
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == Deferred(
        phase=SmtpPhase.BODY, detail=CLOSING, reported_fault=CircuitReason.SYSTEM
    )


@pytest.mark.parametrize("how", ["hang_up", "cut"])
async def test_a_drop_between_two_mails_is_not_noticed(
    transport: SmtpTransport, relay: ScriptedRelay, how: str
) -> None:
    """B6, B11: an idle connection that the relay closed with FIN or RST is replaced without an error."""
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    getattr(relay, how)()
    await relay.wait_until_silent()
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 2
    assert sum(command.startswith("MAIL") for command in relay.commands) == 2


@pytest.mark.parametrize("how", ["hang_up", "cut"])
async def test_a_drop_that_only_writing_reveals(transport: SmtpTransport, relay: ScriptedRelay, how: str) -> None:
    """B11: a connection found closed when MAIL is written is replaced at once."""
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    getattr(relay, how)()
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 2
    assert [mail.recipient for mail in relay.received] == [MAIL.recipient, OTHER.recipient]


async def test_a_drop_between_two_mails_does_not_cost_the_retry(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B11: a mail that found its connection closed still has its retry on the new one."""
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    relay.hang_up()
    await relay.wait_until_silent()
    relay.say(OTHER.sender, "MAIL", DROP)
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 3


async def test_a_refusal_whose_reset_fails_is_kept(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A refusal at RCPT stays valid even if the connection is lost at RSET."""
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    relay.say("*", "RSET", DROP)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert str(getattr(outcome, "reply", None)) == "550 5.1.1 no such user"
    relay.say(MAIL.recipient, "RCPT", "450 4.2.0 later")
    relay.say("*", "RSET", "500 5.5.1 what")
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Deferred)
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 3


async def test_a_reset_that_hangs_ends_with_the_deadline(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A refusal is returned by the deadline, even if RSET hangs."""
    relay.say(MAIL.recipient, "RCPT", "450 4.2.0 later")
    relay.say("*", "RSET", HANG)
    async with asyncio.timeout(50):
        assert isinstance(await transport.send(MAIL, seconds=0.5, before_body=grant_permit), Deferred)


async def test_no_time_left_is_no_attempt(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A mail whose lease is over is not begun."""
    assert isinstance(await transport.send(MAIL, seconds=0, before_body=grant_permit), NotTried)
    assert not any(command.startswith("MAIL") for command in relay.commands)


async def test_a_stop_cuts_running_transactions(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A mail whose dot was not sent is unsent, and is not begun again."""
    relay.say(MAIL.recipient, "RCPT", HANG)
    sending = asyncio.create_task(transport.send(MAIL, seconds=30, before_body=grant_permit))
    await relay.wait_for_commands("RCPT", 1)
    transport.abort()
    assert await sending == NotTried(detail="stopped before the mail was handed over")
    assert relay.connections == 1


async def test_a_cancelled_mail_closes_its_connection(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A cancelled transaction leaves the connection in an unknown state, so it is closed."""
    relay.say(MAIL.recipient, "RCPT", HANG)
    sending = asyncio.create_task(transport.send(MAIL, seconds=30, before_body=grant_permit))
    await relay.wait_for_commands("RCPT", 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await relay.wait_until_silent()
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT


async def test_a_relay_that_stops_reading_in_the_body(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B10: what the socket has not taken by the deadline is surely unsent and never arrives."""
    relay.extensions = ()
    relay.say(MAIL.recipient, "DATA", STALL, times=2)
    big = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=WIRE + b"x" * 70 + b"\r\n" * (7 << 20))
    outcome = await transport.send(big, seconds=60, before_body=grant_until(1.5))
    assert outcome == Deferred(phase=SmtpPhase.BODY, detail="Timed out waiting for server response")
    relay.resume.set()
    await relay.wait_until_silent()
    assert relay.received == []
