"""One mail, one transaction: what is sent, in which order, and what the replies mean."""

import pytest
from support.body_permit import grant_permit
from support.received_mail import ReceivedMail
from support.scripted_relay import ScriptedRelay

from notifier.outcomes import (
    Accepted,
    CircuitReason,
    Deferred,
    NotTried,
    OutageScope,
    RefusalKind,
    Rejected,
    SmtpPhase,
    SmtpReply,
)
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport

pytestmark = pytest.mark.parametrize("relay", [False, True], ids=["step by step", "pipelined"], indirect=True)
WIRE = b"Subject: Hi\r\n\r\nHello\r\n"
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=WIRE)
OTHER = OutgoingMail(sender="shop@shop.example", recipient="bob@example.com", data=WIRE)
SENT = Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="queued"))
STEPS = {"MAIL": SmtpPhase.MAIL, "RCPT": SmtpPhase.RCPT, "DATA": SmtpPhase.DATA, "DOT": SmtpPhase.BODY}


async def test_a_mail_is_handed_over(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Envelope and bytes arrive unchanged and in SMTP's order."""
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    assert relay.received == [ReceivedMail("shop@shop.example", "ada@example.com", WIRE)]
    assert relay.commands == [
        "EHLO notifier.localdomain",
        f"MAIL FROM:<shop@shop.example> SIZE={len(WIRE)}",
        "RCPT TO:<ada@example.com>",
        "DATA",
    ]


async def test_each_command_waits_for_the_reply_to_the_last(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B13: without PIPELINING each command waits for the previous reply, also after a refusal."""
    relay.pipelines, relay.watchful = False, True
    relay.say(OTHER.recipient, "RCPT", "550 5.1.1 no such user")
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    assert isinstance(await transport.send(OTHER, seconds=60, before_body=grant_permit), Rejected)
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    assert relay.early == []


@pytest.mark.parametrize(
    "extensions",
    [(), ("SIZE",), ("8BITMIME",), ("size 10485760", "8bitmime", "enhancedstatuscodes"), ("SIZE 0",), ("X-NEW a=b",)],
)
async def test_any_set_of_extensions_will_do(
    transport: SmtpTransport, relay: ScriptedRelay, extensions: tuple[str, ...]
) -> None:
    """B13: a relay may offer no extensions, unknown ones, or keywords in lower case."""
    relay.extensions = extensions
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    (mail_from,) = [command for command in relay.commands if command.startswith("MAIL")]
    sized = any(extension.lower().startswith("size") for extension in extensions)
    assert ("SIZE=" in mail_from) is sized


async def test_a_relay_without_enhanced_codes(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B13: a reply without an enhanced code is accepted, and no text is mistaken for one."""
    relay.extensions = ()
    relay.say("*", "DOT", "250 ok 1.2.3")
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == Accepted(
        reply=SmtpReply(code=250, text="ok 1.2.3")
    )
    relay.say("*", "RCPT", "550 no")
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert outcome == Rejected(phase=SmtpPhase.RCPT, refused=RefusalKind.MESSAGE, reply=SmtpReply(code=550, text="no"))


async def test_a_reply_of_many_lines_is_one(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Continuation lines belong to their reply, and 251 is positive."""
    relay.say("*", "RCPT", "251-2.1.5 will\r\n251 2.1.5 forward")
    relay.say("*", "DOT", "250-2.0.0 queued\r\n250 2.0.0 as 17")
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert outcome == Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="queued as 17"))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("reply", ["450 4.2.0 greylisted", "451 4.7.1 try later", "452 4.2.2 full"])
async def test_a_temporary_refusal_defers(
    transport: SmtpTransport, relay: ScriptedRelay, step: str, reply: str
) -> None:
    """B4: 4yz at any step defers with phase and text, and the connection carries the next mail."""
    relay.say(MAIL.sender if step == "MAIL" else MAIL.recipient, step, reply)
    code, enhanced, text = reply.split(" ", 2)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert outcome == Deferred(phase=STEPS[step], reply=SmtpReply(code=int(code), enhanced=enhanced, text=text))
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 1
    assert [mail.recipient for mail in relay.received] == [OTHER.recipient]


async def test_the_next_try_says_the_same(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B4: the next attempt has the same envelope and bytes, as greylisting requires."""
    relay.say(MAIL.recipient, "RCPT", "450 4.2.0 greylisted")
    await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    envelopes = [command for command in relay.commands if command.startswith(("MAIL", "RCPT"))]
    assert envelopes[:2] == envelopes[2:]


async def test_a_refused_recipient(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B5: 550 5.1.1 at RCPT is about the recipient, and its code, enhanced code and text are kept."""
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    reply = SmtpReply(code=550, enhanced="5.1.1", text="no such user")
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert outcome == Rejected(phase=SmtpPhase.RCPT, refused=RefusalKind.RECIPIENT, reply=reply)
    assert ("DATA" in relay.commands) is relay.pipelines


@pytest.mark.parametrize("step", ["RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("reply", ["550 5.7.1 spam", "554 no thanks", "550 5.6.0 strange"])
async def test_a_refused_message(transport: SmtpTransport, relay: ScriptedRelay, step: str, reply: str) -> None:
    """B5: any other 5yz is about the message and suppresses nobody; the connection carries the next mail."""
    relay.say(MAIL.recipient, step, reply)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, Rejected)
    assert (outcome.phase, outcome.refused, str(outcome.reply)) == (STEPS[step], RefusalKind.MESSAGE, reply)
    assert await transport.send(OTHER, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 1


@pytest.mark.parametrize("reply", ["553 5.7.1 not your domain", "550 5.7.1 not allowed"])
async def test_a_sender_that_is_refused_at_mail_costs_no_attempt(
    transport: SmtpTransport, relay: ScriptedRelay, reply: str
) -> None:
    """A refusal at MAIL is about the sender and uses no attempt."""
    relay.say(MAIL.sender, "MAIL", reply)
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == NotTried(
        detail=reply, scope=OutageScope.SENDER, needs_person=True
    )


@pytest.mark.parametrize(
    ("reply", "claim"),
    [("530 5.7.0 log in first", CircuitReason.LOGIN), ("452 4.3.1 no space", CircuitReason.STORAGE)],
)
async def test_a_fault_that_the_relay_reports_defers_the_mail(
    transport: SmtpTransport, relay: ScriptedRelay, reply: str, claim: CircuitReason
) -> None:
    """A reply about a login or disk fault defers the mail, whatever its code."""
    relay.say(MAIL.sender, "MAIL", reply)
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, Deferred)
    assert (outcome.phase, str(outcome.reply), outcome.reported_fault) == (SmtpPhase.MAIL, reply, claim)


async def test_a_mail_over_the_relays_size_is_not_sent(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B12: a mail above the relay's SIZE is not sent, and the next mail uses the connection."""
    relay.extensions = (f"SIZE {len(WIRE)}",)
    big = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=WIRE + b"\r\n")
    outcome = await transport.send(big, seconds=60, before_body=grant_permit)
    detail = f"the mail has {len(WIRE) + 2} bytes, and the relay accepts at most {len(WIRE)}"
    assert outcome == Rejected(phase=SmtpPhase.MAIL, refused=RefusalKind.SIZE, detail=detail)
    assert [command.partition(" ")[0] for command in relay.commands] == ["EHLO"]
    assert await transport.send(MAIL, seconds=60, before_body=grant_permit) == SENT
    assert relay.connections == 1


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n",
        b".\r\n.\r\n..\r\n...\r\n",
        b".hidden\r\nx.y\r\n.\r\nMAIL FROM:<e@x.org>\r\n",
        b"\r\n.\r\n\r\n",
        b"",
    ],
)
async def test_dots_arrive_as_they_were(transport: SmtpTransport, relay: ScriptedRelay, body: bytes) -> None:
    """RFC 5321 §4.5.2: a line with a dot arrives unchanged."""
    wire = b"Subject: dots\r\n\r\n" + body
    sent = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=wire)
    assert await transport.send(sent, seconds=60, before_body=grant_permit) == SENT
    assert [mail.data for mail in relay.received] == [wire]
    assert sum(command.startswith("MAIL") for command in relay.commands) == 1


async def test_an_address_beyond_ascii_asks_for_smtputf8(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """RFC 6531: SMTPUTF8 is used only where an address needs it."""
    relay.extensions = ("SMTPUTF8",)
    sent = OutgoingMail(sender=MAIL.sender, recipient="zoë@example.com", data=WIRE)
    assert await transport.send(sent, seconds=60, before_body=grant_permit) == SENT
    assert relay.commands[1:3] == ["MAIL FROM:<shop@shop.example> SMTPUTF8", "RCPT TO:<zoë@example.com>"]
