"""MAIL, RCPT and DATA in one flight where the relay offers it: what is sent together, and what a refusal costs."""

import asyncio

import pytest
from support.body_permit import grant_permit
from support.certificate_authority import CertificateAuthority
from support.scripted_relay import DROP, ScriptedRelay

from notifier.outcomes import Accepted, Deferred, NotTried, Outcome, RefusalKind, Rejected, SmtpPhase, SmtpReply
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings

WIRE = b"Subject: Hi\r\n\r\nHello\r\n"
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=WIRE)
OTHER = OutgoingMail(sender="shop@shop.example", recipient="bob@example.com", data=WIRE)
SENT = Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="queued"))
NO_SUCH_USER = Rejected(
    phase=SmtpPhase.RCPT,
    refused=RefusalKind.RECIPIENT,
    reply=SmtpReply(code=550, enhanced="5.1.1", text="no such user"),
)
pipelined = pytest.mark.parametrize("relay", [True], ids=["pipelined"], indirect=True)


async def send(transport: SmtpTransport, mail: OutgoingMail = MAIL) -> Outcome:
    """Send one mail and return its outcome."""
    return await transport.send(mail, seconds=60, before_body=grant_permit)


@pytest.mark.parametrize(("relay", "flights"), [(True, 2), (False, 4)], indirect=["relay"])
async def test_a_mail_costs_two_round_trips(transport: SmtpTransport, relay: ScriptedRelay, flights: int) -> None:
    """With PIPELINING envelope and body take one round trip each; without it each command takes one."""
    assert await send(transport) == SENT
    before = relay.flights
    for _ in range(10):
        assert await send(transport) == SENT
    assert relay.flights - before == 10 * flights


@pytest.mark.parametrize("keyword", ["PIPELINING", "pipelining", "Pipelining"])
async def test_the_offer_is_read_in_any_case(transport: SmtpTransport, relay: ScriptedRelay, keyword: str) -> None:
    """B13: EHLO keywords are case-insensitive (RFC 5321 §2.4)."""
    relay.extensions = (keyword,)
    assert await send(transport) == SENT
    assert relay.flights == 4  # EHLO, envelope, body, and the wait for the next mail


@pytest.mark.parametrize("security", [SmtpSecurity.TLS, SmtpSecurity.STARTTLS])
@pipelined
async def test_pipelining_under_tls(
    relay: ScriptedRelay, authority: CertificateAuthority, security: SmtpSecurity
) -> None:
    """Over TLS small and large bodies are pipelined as on a plain connection."""
    await relay.stop()
    relay.tls, relay.starttls = (
        (authority.issue_server_context(), None)
        if security is SmtpSecurity.TLS
        else (None, authority.issue_server_context())
    )
    await relay.start()
    transport = SmtpTransport(SmtpSettings(port=relay.port, security=security, ca_file=authority.ca_file))
    large = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=WIRE + b"." * 70 + b"\r\n" * (1 << 20))
    for mail in (MAIL, large, MAIL):
        assert await send(transport, mail) == SENT
    assert relay.connections == 1
    assert [received.data for received in relay.received] == [WIRE, large.data, WIRE]
    commands = [command for command in relay.commands if command.startswith(("MAIL", "RCPT", "DATA"))]
    assert len(commands) == 9
    await transport.close()
    await relay.wait_until_silent()


@pipelined
async def test_data_after_a_refused_recipient_is_ended_by_a_lone_dot(
    transport: SmtpTransport, relay: ScriptedRelay
) -> None:
    """B13, RFC 2920 §3.1: a relay that accepts DATA without a recipient gets an empty body."""
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    relay.say(MAIL.recipient, "DATA", "354 go ahead")
    assert await send(transport) == NO_SUCH_USER
    assert await send(transport, OTHER) == SENT
    assert relay.connections == 1
    assert "RSET" not in relay.commands
    assert [mail.recipient for mail in relay.received] == [OTHER.recipient]


@pytest.mark.parametrize("reply", ["250 2.0.0 queued", "450 4.0.0 later", "354 go on", DROP, "421 4.3.2 closing"])
@pipelined
async def test_a_lone_dot_that_is_not_refused_ends_the_connection(
    transport: SmtpTransport, relay: ScriptedRelay, reply: str
) -> None:
    """RFC 2920 §3.1: any reply to an empty body but 5yz closes the connection; the recipient stays refused."""
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    relay.say(MAIL.recipient, "DATA", "354 go ahead")
    relay.say(MAIL.recipient, "DOT", reply)
    assert await send(transport) == NO_SUCH_USER
    await relay.wait_until_silent()
    assert await send(transport, OTHER) == SENT
    assert WIRE not in [mail.data for mail in relay.received if mail.recipient == MAIL.recipient]


@pipelined
async def test_a_refused_sender_needs_no_reset(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Without MAIL there is no transaction, so the connection carries the next mail at once."""
    relay.say(MAIL.sender, "MAIL", "450 4.7.1 greylisted")
    assert await send(transport) == Deferred(
        phase=SmtpPhase.MAIL, reply=SmtpReply(code=450, enhanced="4.7.1", text="greylisted")
    )
    assert await send(transport, OTHER) == SENT
    assert relay.connections == 1
    assert "RSET" not in relay.commands


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
@pipelined
async def test_a_refusal_is_reset(transport: SmtpTransport, relay: ScriptedRelay, step: str) -> None:
    """After MAIL a refused transaction is ended with RSET."""
    relay.say(MAIL.recipient, step, "450 4.7.1 later")
    assert isinstance(await send(transport), Deferred)
    assert relay.commands.count("RSET") == 1
    assert await send(transport, OTHER) == SENT
    assert relay.connections == 1


@pipelined
async def test_a_refusal_stands_when_the_relay_then_hangs_up(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A refusal at RCPT stays valid if the relay closes instead of answering DATA."""
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    relay.say(MAIL.recipient, "DATA", DROP)
    assert await send(transport) == NO_SUCH_USER
    relay.say(MAIL.recipient, "RCPT", "550 5.1.1 no such user")
    relay.say(MAIL.recipient, "DATA", "421 4.3.2 closing")
    assert await send(transport) == NO_SUCH_USER
    assert await send(transport, OTHER) == SENT
    assert relay.connections == 3


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
@pipelined
async def test_an_extra_reply_makes_all_of_them_invalid(
    transport: SmtpTransport, relay: ScriptedRelay, step: str
) -> None:
    """B9: with an extra reply no reply belongs surely to a command, so none is believed."""
    who = MAIL.sender if step == "MAIL" else MAIL.recipient
    relay.say(who, step, "250 ok\r\n550 5.1.1 for somebody else", times=2)
    assert not isinstance(await send(transport), Rejected)
    await relay.wait_until_silent()
    assert relay.received == []


@pipelined
async def test_a_late_reply_to_data_makes_the_refusal_invalid(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """B9: if RSET gets DATA's 354, the refusal before it belonged to another command."""
    relay.say(MAIL.recipient, "DATA", "550 5.1.1 for somebody else", times=2)
    relay.say("*", "RSET", "354 go ahead", times=2)
    outcome = await send(transport)
    assert isinstance(outcome, Deferred)
    assert "unexpected reply: 354" in outcome.detail


@pipelined
async def test_an_idle_connection_with_an_unsolicited_line_is_closed(
    transport: SmtpTransport, relay: ScriptedRelay
) -> None:
    """B9: the connection is closed at once; a 421 is a normal end."""
    for word in ("250 2.0.0 hello?", "421 4.4.2 idle for too long", "2"):
        assert await send(transport) == SENT
        await relay.interject(word)
        await relay.wait_until_silent()
    assert relay.connections == 3


@pipelined
async def test_an_address_is_never_a_command(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """An address with CR or LF is refused before anything is sent, and the connection stays usable."""
    for bad in ("eve@example.com>\r\nRCPT TO:<bob@example.com", "a\x00@example.com", "a\x7f@example.com"):
        with pytest.raises(ValueError, match="control character"):
            await send(transport, OutgoingMail(sender=MAIL.sender, recipient=bad, data=WIRE))
    await asyncio.sleep(0)
    assert not any("bob" in command or "eve" in command for command in relay.commands)


@pipelined
async def test_a_relay_that_says_more_than_its_greeting_is_not_used(
    transport: SmtpTransport, relay: ScriptedRelay
) -> None:
    """B9: if extra lines follow the last reply of the opening, the connection is closed."""
    relay.say("*", "EHLO", "250-relay.example\r\n250 PIPELINING\r\n250 2.1.0 ok", times=3)
    outcome = await send(transport)
    assert isinstance(outcome, NotTried)
    assert "more than was asked" in outcome.detail
    assert relay.connections == 3
    assert not any(command.startswith("MAIL") for command in relay.commands)
