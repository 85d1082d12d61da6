"""Invalid replies of a relay are limited, sanitised and never believed."""

import asyncio

import pytest
from support.body_permit import grant_permit, grant_until
from support.scripted_relay import ENDLESS, TRICKLE, ScriptedRelay

from notifier.outcomes import Accepted, Deferred, NotTried, Outcome, Rejected, SmtpPhase, Uncertain
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport

pytestmark = pytest.mark.parametrize("relay", [False, True], ids=["step by step", "pipelined"], indirect=True)
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")
OTHER = OutgoingMail(sender="shop@shop.example", recipient="bob@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")
SURELY_NOT_SENT = {"MAIL": NotTried, "RCPT": Deferred, "DATA": Deferred, "DOT": Uncertain}
FILLS_EVERY_BUFFER = 64 << 20
"""Bytes, more than loopback's socket buffers hold, so that an endless reader is detected."""


def who(step: str) -> str:
    """Return the address under which a step is scripted."""
    return MAIL.sender if step == "MAIL" else MAIL.recipient


@pytest.mark.parametrize("step", SURELY_NOT_SENT)
@pytest.mark.parametrize("noise", [ENDLESS, "garbage", "abc def", "550-no\r\nend", "\x00\x01\x02", "x" * 9000])
async def test_an_invalid_reply(transport: SmtpTransport, relay: ScriptedRelay, step: str, noise: str) -> None:
    """B9: endless lines and garbage end the connection: unsent before the dot, uncertain after it."""
    relay.say(who(step), step, noise, times=2)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, SURELY_NOT_SENT[step])
    await relay.wait_until_silent()
    assert relay.poured < FILLS_EVERY_BUFFER
    assert relay.received == []
    assert len(str(outcome)) < 2000


@pytest.mark.parametrize("step", SURELY_NOT_SENT)
async def test_a_reply_that_comes_byte_by_byte(transport: SmtpTransport, relay: ScriptedRelay, step: str) -> None:
    """B9: single bytes do not extend the deadline, which is for the whole reply."""
    relay.say(who(step), step, TRICKLE, times=2)
    outcome = await transport.send(MAIL, seconds=0.3, before_body=grant_until(0.3))
    assert isinstance(outcome, SURELY_NOT_SENT[step])
    await relay.wait_until_silent()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("550 5.7.1 \x00\x07nul\x1b[31m", "550 5.7.1 ?nul?[31m"),
        ("550 5.7.1 \udcff\udcfe broken", "550 5.7.1 ? broken"),
        ("550 5.7.1 Empfänger unbekannt", "550 5.7.1 Empfänger unbekannt"),
        ("550-5.7.1 one\r\n550 5.7.1 two\x7f", "550 5.7.1 one two?"),
        ("550 5.7.1 " + "x" * 3000, "550 5.7.1 " + "x" * 500),
    ],
    ids=["control", "8-bit", "utf-8", "lines", "long"],
)
async def test_the_text_of_a_reply_is_sanitised(
    transport: SmtpTransport, relay: ScriptedRelay, said: str, expected: str
) -> None:
    """B9: control characters and broken bytes are removed, the length is limited, letters stay."""
    relay.say(MAIL.recipient, "RCPT", said)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, Rejected)
    assert str(outcome.reply) == expected


@pytest.mark.parametrize("said", ["550 \x00", "250 \x00ok \udcff", "250-\x00\r\n250 \x1b"])
async def test_a_positive_reply_with_broken_text_counts(
    transport: SmtpTransport, relay: ScriptedRelay, said: str
) -> None:
    """B9: only the code of a reply decides."""
    relay.say(MAIL.recipient, "DOT", said)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, Accepted if said.startswith("250") else Rejected)
    assert outcome.reply is not None
    assert outcome.reply.text.isprintable()


async def test_the_reason_of_a_lost_connection_is_sanitised(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B9: garbage that ended a connection is shown without control characters."""
    relay.say(MAIL.recipient, "RCPT", "\x1b[2Jgarbage\x00", times=2)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, Deferred)
    assert outcome.phase is SmtpPhase.RCPT
    assert "garbage" in outcome.detail
    assert outcome.detail.isprintable()


async def outcome_of_two_replies(transport: SmtpTransport, relay: ScriptedRelay, step: str, both: str) -> Outcome:
    """Return the outcome of a mail for which one step is answered with two replies."""
    relay.say(who(step), step, both, times=2)
    async with asyncio.timeout(50):
        return await transport.send(MAIL, seconds=0.3, before_body=grant_until(0.3))


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
async def test_an_unsolicited_refusal_is_not_taken_for_the_next_reply(
    transport: SmtpTransport, relay: ScriptedRelay, step: str
) -> None:
    """B9: after an unsolicited line the connection is closed, and no later reply is believed."""
    outcome = await outcome_of_two_replies(transport, relay, step, "250 ok\r\n550 5.1.1 for somebody else")
    assert not isinstance(outcome, Rejected)


async def test_an_unsolicited_250_is_not_the_reply_to_the_dot(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B9: an early extra line never makes a refused mail `sent`."""
    relay.say(MAIL.recipient, "DOT", "554 5.7.1 refused")
    assert not isinstance(await outcome_of_two_replies(transport, relay, "DATA", "354 go\r\n250 ok"), Accepted)
    assert relay.received == []


async def test_two_replies_to_the_dot_make_a_refusal_uncertain(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B9: with a refusal and a 250 to the dot the mail is not certainly unsent."""
    relay.say(MAIL.recipient, "DOT", "451 4.3.0 what?\r\n250 2.0.0 queued")
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Uncertain)
    relay.say(MAIL.recipient, "DOT", "250 2.0.0 queued\r\n451 4.3.0 what?")
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    await relay.wait_until_silent()


async def test_an_unsolicited_line_between_two_mails_is_ignored(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B9: a line on an idle connection is not the reply to the next MAIL."""
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    await relay.interject("550 5.1.1 for nobody")
    for _ in range(5):
        await asyncio.sleep(0)  # let the line be read
    assert isinstance(await transport.send(OTHER, seconds=60, before_body=grant_permit), Accepted)
