"""The transaction over TLS, with its own buffers below ours, keeps the same promises."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.body_permit import grant_permit, grant_until
from support.certificate_authority import CertificateAuthority
from support.scripted_relay import DROP, HANG, STALL, ScriptedRelay

from notifier.outcomes import Accepted, Deferred, NotTried, SmtpPhase, Uncertain
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings

pytestmark = pytest.mark.parametrize("security", [SmtpSecurity.TLS, SmtpSecurity.STARTTLS])
WIRE = b"Subject: Hi\r\n\r\nHello\r\n"
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=WIRE)
OTHER = OutgoingMail(sender="shop@shop.example", recipient="bob@example.com", data=WIRE)
LARGE = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=WIRE + b"\r\n" * (7 << 20))


@pytest.fixture
async def protected(authority: CertificateAuthority, security: SmtpSecurity) -> AsyncIterator[ScriptedRelay]:
    """A relay with implicit TLS or STARTTLS that accepts mails of any size in one flight."""
    server = authority.issue_server_context()
    tls, starttls = (server, None) if security is SmtpSecurity.TLS else (None, server)
    relay = await ScriptedRelay(pipelines=True, extensions=(), tls=tls, starttls=starttls).start()
    yield relay
    await relay.stop()


@pytest.fixture
async def over_tls(
    authority: CertificateAuthority, security: SmtpSecurity, protected: ScriptedRelay
) -> AsyncIterator[SmtpTransport]:
    """A transport to the relay with TLS."""
    made = SmtpTransport(SmtpSettings(port=protected.port, security=security, ca_file=authority.ca_file))
    yield made
    await made.close()


@pytest.mark.parametrize("how", [DROP, "421 4.3.2 closing", "garbage"])
@pytest.mark.parametrize("step", ["RCPT", "DATA"])
async def test_a_drop_before_the_dot(over_tls: SmtpTransport, protected: ScriptedRelay, step: str, how: str) -> None:
    """B6: the mail is tried again at once on a new connection, and asyncio logs no error."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    protected.say(MAIL.recipient, step, how)
    assert isinstance(await over_tls.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert protected.connections == 2
    assert complaints == []


@pytest.mark.parametrize("how", [DROP, "garbage", HANG])
async def test_no_clear_word_after_the_dot(over_tls: SmtpTransport, protected: ScriptedRelay, how: str) -> None:
    """B7: without a valid reply the mail is uncertain, and the next mail uses a new connection."""
    protected.say(MAIL.recipient, "DOT", how)
    assert isinstance(await over_tls.send(MAIL, seconds=60, before_body=grant_until(0.3)), Uncertain)
    assert isinstance(await over_tls.send(OTHER, seconds=60, before_body=grant_permit), Accepted)
    assert protected.connections == 2


async def test_a_relay_that_stops_reading_in_the_body(over_tls: SmtpTransport, protected: ScriptedRelay) -> None:
    """B10: a body not written completely by the deadline is surely unsent and never arrives."""
    protected.say(MAIL.recipient, "DATA", STALL, times=2)
    outcome = await over_tls.send(LARGE, seconds=60, before_body=grant_until(1.5))
    assert outcome == Deferred(phase=SmtpPhase.BODY, detail="Timed out waiting for server response")
    protected.resume.set()
    await protected.wait_until_silent()
    assert protected.received == []


async def test_a_stop_in_the_body(over_tls: SmtpTransport, protected: ScriptedRelay) -> None:
    """A stop cuts a body that the relay does not read."""
    protected.say(MAIL.recipient, "DATA", STALL)
    sending = asyncio.create_task(over_tls.send(LARGE, seconds=60, before_body=grant_permit))
    await protected.wait_for_commands("DATA", 1)
    for _ in range(100):
        await asyncio.sleep(0)  # let the body begin
    over_tls.abort()
    async with asyncio.timeout(50):
        assert isinstance(await sending, NotTried)
    protected.resume.set()
    await protected.wait_until_silent()
    assert protected.received == []


@pytest.mark.parametrize("how", ["hang_up", "cut"])
async def test_an_idle_connection_that_was_closed(over_tls: SmtpTransport, protected: ScriptedRelay, how: str) -> None:
    """B11: a closed idle connection is replaced, whether the end was noticed or not."""
    for notice in (True, False):
        assert isinstance(await over_tls.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
        getattr(protected, how)()
        if notice:
            await protected.wait_until_silent()
        assert isinstance(await over_tls.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert len(protected.received) == 4
    assert protected.connections == 3


async def test_an_unsolicited_line_on_an_idle_connection(over_tls: SmtpTransport, protected: ScriptedRelay) -> None:
    """B9: an unsolicited line makes the connection unusable at once."""
    assert isinstance(await over_tls.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    await protected.interject("550 5.1.1 for nobody")
    await protected.wait_until_silent()
    assert isinstance(await over_tls.send(OTHER, seconds=60, before_body=grant_permit), Accepted)
    assert protected.connections == 2
