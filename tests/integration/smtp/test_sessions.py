"""Sessions: one connection carries many mails, and is closed before the relay closes it."""

import asyncio

import pytest
from support.body_permit import grant_permit
from support.scripted_relay import HANG, STALL, ScriptedRelay

from notifier.outcomes import Accepted, NotTried
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.session_pool import SessionPool
from notifier.smtp.smtp_session import SmtpSession
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings
from notifier.telemetry import metrics

MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")


async def test_one_connection_carries_many_mails(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Later mails need no new connection and no EHLO."""
    for _ in range(20):
        assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert relay.connections == 1
    assert sum(command.startswith("EHLO") for command in relay.commands) == 1


async def test_a_connection_carries_a_hundred_mails_and_no_more(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A connection is closed after a hundred mails, before the relay closes it."""
    for _ in range(100):
        await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert relay.connections == 1
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert relay.connections == 2


@pytest.mark.parametrize(("field", "seconds"), [("used_at", 30.0), ("opened_at", 300.0)])
async def test_a_connection_that_is_too_old_is_replaced(relay: ScriptedRelay, field: str, seconds: float) -> None:
    """After 30 idle seconds or 300 in all the next mail uses a new connection."""
    pool = SessionPool(SmtpSettings(port=relay.port))
    for age, connections in ((seconds - 2, 1), (seconds + 1, 2)):
        async with pool.acquire() as session:
            assert isinstance(await session.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
            setattr(session, field, getattr(session, field) - age)
        async with pool.acquire() as session:
            assert isinstance(await session.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
            assert relay.connections == connections
            session.opened_at = session.used_at
    await pool.close()
    await relay.wait_until_silent()


async def test_no_more_connections_than_the_setting_says(relay: ScriptedRelay) -> None:
    """At the maximum, mails wait for a free connection."""
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=2))
    outcomes = await asyncio.gather(*(transport.send(MAIL, seconds=60, before_body=grant_permit) for _ in range(20)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert relay.connections == 2
    await transport.close()


async def test_a_probe_is_one_of_the_connections(relay: ScriptedRelay) -> None:
    """If all connections are open and idle, one is closed for the probe."""
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=2))
    await asyncio.gather(*(transport.send(MAIL, seconds=60, before_body=grant_permit) for _ in range(2)))
    for probes in range(1, 4):
        assert await transport.probe() is None
        assert relay.connections == 2 + probes
        assert len(transport._pool._idle) == 2
    await transport.send(MAIL, seconds=60, before_body=grant_permit)
    assert len(relay._writers) == 2
    await transport.close()


async def test_a_lost_idle_connection_is_not_kept(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A closed idle connection leaves the pool and the gauge at once."""
    await transport.send(MAIL, seconds=60, before_body=grant_permit)
    open_ = metrics.SMTP_SESSIONS.labels(transport.relay)
    assert open_._value.get() == 1
    relay.hang_up()
    await relay.wait_until_silent()
    await asyncio.sleep(0)
    assert open_._value.get() == 0


async def test_mails_are_sent_at_the_same_time(relay: ScriptedRelay) -> None:
    """A mail with a slow reply does not delay another one."""
    transport = SmtpTransport(SmtpSettings(port=relay.port, max_connections=2))
    relay.say("slow@example.com", "RCPT", HANG)
    slow_mail = OutgoingMail(sender=MAIL.sender, recipient="slow@example.com", data=MAIL.data)
    slow = asyncio.create_task(transport.send(slow_mail, seconds=30, before_body=grant_permit))
    await relay.wait_for_commands("RCPT", 1)
    assert isinstance(await transport.send(MAIL, seconds=60, before_body=grant_permit), Accepted)
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])
    await transport.close()


async def test_the_connection_used_last_is_used_first(relay: ScriptedRelay) -> None:
    """The connection used last is used first, so that the others become idle and close."""
    pool = SessionPool(SmtpSettings(port=relay.port))
    async with pool.acquire() as first, pool.acquire() as second:
        assert first is not second
    async with pool.acquire() as third:
        assert third is first  # given back after the second
    async with pool.acquire(fresh=True) as fourth:
        assert fourth not in (first, second)
    await pool.close()


async def test_closing_sends_quit(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """Idle connections end with QUIT."""
    await transport.send(MAIL, seconds=60, before_body=grant_permit)
    await transport.close()
    await relay.wait_until_silent()
    assert relay.commands[-1] == "QUIT"


async def test_closing_does_not_wait_for_a_silent_relay(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A relay that does not answer QUIT does not delay the end."""
    await transport.send(MAIL, seconds=60, before_body=grant_permit)
    relay.say("*", "QUIT", HANG)
    async with asyncio.timeout(50):
        await transport.close()
    await relay.wait_until_silent()
    await transport.send(MAIL, seconds=60, before_body=grant_permit)
    await relay.stop()
    await transport.close()


async def test_an_error_inside_closes_the_session(relay: ScriptedRelay) -> None:
    """After any exception a session is closed and not given back."""
    pool = SessionPool(SmtpSettings(port=relay.port))
    with pytest.raises(KeyError):
        async with pool.acquire():
            raise KeyError
    await relay.wait_until_silent()
    async with pool.acquire() as session:
        assert isinstance(session, SmtpSession)
    assert relay.connections == 2
    await pool.close()


async def test_the_relays_size_is_known(relay: ScriptedRelay) -> None:
    """RFC 1870 §4: a numeric SIZE is the limit; none, zero or another value means no limit."""
    for extension, size in (("SIZE 1000", 1000), ("SIZE 0", None), ("SIZE", None), ("SIZE x", None), ("DSN", None)):
        relay.extensions = (extension,)
        pool = SessionPool(SmtpSettings(port=relay.port))
        async with pool.acquire() as session:
            assert session.size_limit == size
        await pool.close()


async def test_a_stop_cuts_a_body_that_the_relay_does_not_read(transport: SmtpTransport, relay: ScriptedRelay) -> None:
    """A stop cuts a body that cannot be written without waiting for its deadline; it is surely unsent."""
    relay.extensions = ()
    relay.say(MAIL.recipient, "DATA", STALL)
    big = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=MAIL.data + b"\r\n" * (7 << 20))
    sending = asyncio.create_task(transport.send(big, seconds=60, before_body=grant_permit))
    await relay.wait_for_commands("DATA", 1)
    for _ in range(10):
        await asyncio.sleep(0)  # let the body begin
    transport.abort()
    async with asyncio.timeout(50):
        assert isinstance(await sending, NotTried)
    relay.resume.set()
    await relay.wait_until_silent()
    assert relay.received == []
