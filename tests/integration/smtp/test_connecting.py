"""Relays that cannot be reached use no attempt, and mail flows as soon as they are back."""

import pytest
from support.body_permit import grant_permit
from support.scripted_relay import DROP, ENDLESS, ScriptedRelay

from notifier.outcomes import Accepted, NotTried, OutageScope
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings

MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")


async def test_a_relay_that_refuses_connections(relay: ScriptedRelay, transport: SmtpTransport) -> None:
    """B1: if nobody listens, the mail was not tried, and no person is needed."""
    await relay.stop()
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, NotTried)
    assert (outcome.scope, outcome.needs_person) == (OutageScope.RELAY, False)
    assert "refused" in outcome.detail or "Connect call failed" in outcome.detail


async def test_mail_flows_with_the_first_try_after_the_outage(relay: ScriptedRelay, transport: SmtpTransport) -> None:
    """B1: one probe finds that the relay is back, and its connection carries the next mail."""
    await relay.stop()
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), NotTried)
    assert await transport.probe() is not None
    await relay.start()
    assert await transport.probe() is None
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert relay.connections == 1


async def test_a_relay_whose_name_is_unknown() -> None:
    """B1: a name that does not resolve is an outage; the test uses no real resolver."""
    transport = SmtpTransport(SmtpSettings(host="-.invalid", security=SmtpSecurity.NONE))
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, NotTried)
    assert not outcome.needs_person
    assert "-.invalid" in outcome.detail


@pytest.mark.parametrize(
    ("greeting", "tries"),
    [("554 5.3.2 no service", 1), ("421 4.3.2 too busy", 3), (DROP, 3), ("garbage", 1), (ENDLESS, 1), ("250 ok", 1)],
)
async def test_a_relay_with_a_bad_greeting(
    relay: ScriptedRelay, transport: SmtpTransport, greeting: str, tries: int
) -> None:
    """B1: a temporary bad greeting is tried three times, a permanent one once; no command is sent."""
    relay.greeting = greeting
    outcome = await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert isinstance(outcome, NotTried)
    assert (outcome.scope, outcome.needs_person) == (OutageScope.RELAY, False)
    assert relay.connections == tries
    assert relay.commands == []
    await relay.wait_until_silent()


async def test_a_bad_greeting_may_be_followed_by_a_good_one(relay: ScriptedRelay, transport: SmtpTransport) -> None:
    """B1: a relay that is busy for a moment delays a mail only for that moment."""
    relay.say("*", "EHLO", "421 4.3.2 too busy")
    relay.say("*", "EHLO", DROP)
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert relay.connections == 3


@pytest.mark.parametrize(
    ("reply", "tries"), [("502 what", 1), ("garbage", 1), (ENDLESS, 1), ("421 busy", 3), (DROP, 3)]
)
async def test_a_relay_that_refuses_ehlo(
    relay: ScriptedRelay, transport: SmtpTransport, reply: str, tries: int
) -> None:
    """B1: no mail is tried on a relay that refuses EHLO."""
    relay.say("*", "EHLO", reply, times=3)
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), NotTried)
    assert relay.connections == tries
    await relay.wait_until_silent()
