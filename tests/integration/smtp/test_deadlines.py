"""Fixed deadlines on a clock that jumps to the next timer: silence at every step is given up in time."""

import asyncio
import selectors
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from support.body_permit import grant_permit, grant_until
from support.scripted_relay import HANG, TRICKLE, ScriptedRelay

from notifier.outcomes import Accepted, Deferred, NotTried, Uncertain
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings

MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")
SLOW = OutgoingMail(sender="slow@shop.example", recipient="slow@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")
THREAD_SECONDS = 0.002
"""Real seconds in which another thread of the loop may bring an event before the clock goes on."""


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that adds the timeout to its own clock instead of waiting for it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout != 0:
            events = super().select(timeout and min(timeout, THREAD_SECONDS))
            if not events and timeout:
                self.now += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on real sockets whose clock moves only while nobody has anything to do, to the next timer.

    Both ends of every connection are in this loop, so the clock is the same on any host.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_jumping(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end without waiting for its timers."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(work)


async def send_to(port: int, host: str = "127.0.0.1") -> object:
    """Send one mail and return its outcome."""
    transport = SmtpTransport(SmtpSettings(host=host, port=port, security=SmtpSecurity.NONE))
    try:
        return await transport.send(MAIL, seconds=100, before_body=grant_permit)
    finally:
        await transport.close()


@pytest.mark.parametrize(("where", "most"), [("greeting", 40), ("EHLO", 20)])
@pytest.mark.parametrize("how", [HANG, TRICKLE])
def test_a_relay_that_hangs_while_opening(where: str, most: float, how: str) -> None:
    """B1: a silent or dripping relay is given up after ten seconds a step and thirty in all."""

    async def work() -> None:
        relay = await ScriptedRelay(greeting=how if where == "greeting" else "220 hello").start()
        relay.say("*", "EHLO", how, times=9)
        started = asyncio.get_running_loop().time()
        outcome = await send_to(relay.port)
        passed = asyncio.get_running_loop().time() - started
        await relay.wait_until_silent()
        await relay.stop()
        assert isinstance(outcome, NotTried)
        assert not outcome.needs_person
        assert "timed out" in outcome.detail.lower()
        assert 9 < passed < most
        assert not any(command.startswith("MAIL") for command in relay.commands)

    run_jumping(work())


def test_a_relay_whose_host_does_not_answer() -> None:
    """B1: a connection that is neither accepted nor refused is given up in time."""

    async def work() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            with socket.create_connection(listener.getsockname()):  # the only place in the queue
                outcome = await send_to(listener.getsockname()[1])
        assert isinstance(outcome, NotTried)
        assert not outcome.needs_person
        assert "timed out" in outcome.detail.lower()

    run_jumping(work())


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
def test_a_connection_that_died_silently(step: str) -> None:
    """B8, B11: if a firewall dropped an idle connection, the mail uses a new one after a minute of silence.

    The silent connection is closed, so that another mail never gets its late reply.
    """

    async def work() -> None:
        relay = await ScriptedRelay().start()
        relay.say(SLOW.sender if step == "MAIL" else SLOW.recipient, step, HANG)
        transport = SmtpTransport(SmtpSettings(port=relay.port))
        started = asyncio.get_running_loop().time()
        outcomes = [await transport.send(mail, seconds=290, before_body=grant_permit) for mail in (MAIL, SLOW, MAIL)]
        assert 55 < asyncio.get_running_loop().time() - started < 150
        assert relay.connections == 2
        await transport.close()
        await relay.wait_until_silent()
        await relay.stop()
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert [mail.recipient for mail in relay.received] == [m.recipient for m in (MAIL, SLOW, MAIL)]

    run_jumping(work())


@pytest.mark.parametrize("pipelines", [False, True])
@pytest.mark.parametrize(("step", "least"), [("MAIL", 60), ("RCPT", 60), ("DATA", 120)])
def test_each_command_has_its_own_time(*, pipelines: bool, step: str, least: int) -> None:
    """B8: each command has its own timeout for its reply."""

    async def work() -> None:
        relay = await ScriptedRelay(pipelines=pipelines).start()
        relay.say(MAIL.sender if step == "MAIL" else MAIL.recipient, step, HANG, times=2)
        transport = SmtpTransport(SmtpSettings(port=relay.port))
        started = asyncio.get_running_loop().time()
        outcome = await transport.send(MAIL, seconds=290, before_body=grant_permit)
        passed = asyncio.get_running_loop().time() - started
        await relay.wait_until_silent()
        await relay.stop()
        assert isinstance(outcome, NotTried if step == "MAIL" else Deferred)
        assert 2 * least <= passed < 2 * least + 110  # on each of two connections
        assert relay.connections == 2

    run_jumping(work())


def test_the_final_dot_has_ten_minutes_and_more_for_a_large_body() -> None:
    """B7: silence after the dot is uncertain after 600 s, plus a second for each 32 KB."""

    async def work() -> None:
        relay = await ScriptedRelay(pipelines=True).start()
        relay.say(MAIL.recipient, "DOT", HANG)
        transport = SmtpTransport(SmtpSettings(port=relay.port))
        large = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=MAIL.data + b"\r\n" * (4 << 20))
        started = asyncio.get_running_loop().time()
        outcome = await transport.send(large, seconds=290, before_body=grant_until(6000))
        passed = asyncio.get_running_loop().time() - started
        await relay.wait_until_silent()
        await relay.stop()
        assert isinstance(outcome, Uncertain)
        assert 600 + 256 <= passed < 2000

    run_jumping(work())


def test_an_idle_connection_ends_with_quit() -> None:
    """After thirty idle seconds the relay gets QUIT, even if no other mail comes."""

    async def work() -> None:
        relay = await ScriptedRelay().start()
        transport = SmtpTransport(SmtpSettings(port=relay.port))
        outcomes = await asyncio.gather(
            *(transport.send(MAIL, seconds=290, before_body=grant_permit) for _ in range(2))
        )
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        transport._pool._idle[0].used_at -= 31
        await relay.wait_for_commands("QUIT", 1)
        assert len(transport._pool._idle) == 1
        assert isinstance(await transport.send(MAIL, seconds=290, before_body=grant_permit), Accepted)
        assert relay.connections == 2
        await transport.close()
        await relay.wait_until_silent()
        await relay.stop()

    run_jumping(work())
