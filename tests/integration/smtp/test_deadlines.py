"""Deadlines that no caller can set, on a clock that goes faster: silence at every step is given up in time."""

import asyncio
import selectors
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from parts.relay import HANG, TRICKLE, Relay

from notifier.outcomes import Accepted, NotTried
from notifier.settings import Security, SmtpSettings
from notifier.smtp.session import Mail
from notifier.smtp.transport import Transport

MAIL = Mail(sender="shop@shop.example", recipient="ada@example.com", wire=b"Subject: Hi\r\n\r\nHello\r\n")
SLOW = Mail(sender="slow@shop.example", recipient="slow@example.com", wire=b"Subject: Hi\r\n\r\nHello\r\n")
HASTE = 40
"""How much faster than the world's the clock of a hasty loop goes: a minute passes in a second and a half."""


class _HastySelector(selectors.DefaultSelector):
    """Waits for a fraction of the time that it is asked to wait."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout / HASTE if timeout else timeout)


class HastyLoop(asyncio.SelectorEventLoop):
    """A real event loop, on real sockets, for which time passes faster: for the deadlines that cannot be set."""

    def __init__(self) -> None:
        super().__init__(_HastySelector())

    def time(self) -> float:
        return super().time() * HASTE


def hastily(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end on a hasty loop."""
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        return runner.run(work)


async def send_to(port: int, host: str = "127.0.0.1") -> object:
    """The outcome of one mail."""
    transport = Transport(SmtpSettings(host=host, port=port, security=Security.NONE))
    try:
        return await transport.send(MAIL, seconds=100)
    finally:
        await transport.close()


@pytest.mark.parametrize(("where", "most"), [("greeting", 40), ("EHLO", 20)])
@pytest.mark.parametrize("how", [HANG, TRICKLE])
def test_a_relay_that_hangs_while_opening(where: str, most: float, how: str) -> None:
    """B1: silence, or a byte now and then, is given up after ten seconds a step and thirty in all."""

    async def work() -> None:
        relay = await Relay(greeting=how if where == "greeting" else "220 hello").start()
        relay.say("*", "EHLO", how, times=9)
        started = asyncio.get_running_loop().time()
        outcome = await send_to(relay.port)
        passed = asyncio.get_running_loop().time() - started
        await relay.wait_until_silent(seconds=60)
        await relay.stop()
        assert isinstance(outcome, NotTried)
        assert not outcome.needs_person
        assert "timed out" in outcome.detail.lower()
        assert 9 < passed < most
        assert not any(command.startswith("MAIL") for command in relay.commands)

    hastily(work())


def test_a_relay_whose_host_does_not_answer() -> None:
    """B1: a connection that is neither taken nor refused is given up in time."""

    async def work() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            with socket.create_connection(listener.getsockname()):  # the only place in the queue
                outcome = await send_to(listener.getsockname()[1])
        assert isinstance(outcome, NotTried)
        assert not outcome.needs_person
        assert "timed out" in outcome.detail.lower()

    hastily(work())


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
def test_a_connection_that_went_dead_without_a_word(step: str) -> None:
    """B8, B11: where a firewall forgot an idle connection, the mail goes over a fresh one after a minute of silence.

    The silent one is closed, so that its late reply is never given to another mail.
    """

    async def work() -> None:
        relay = await Relay().start()
        relay.say(SLOW.sender if step == "MAIL" else SLOW.recipient, step, HANG)
        transport = Transport(SmtpSettings(port=relay.port))
        started = asyncio.get_running_loop().time()
        outcomes = [await transport.send(mail, seconds=290) for mail in (MAIL, SLOW, MAIL)]
        assert 55 < asyncio.get_running_loop().time() - started < 150
        assert relay.connections == 2
        await transport.close()
        await relay.wait_until_silent(seconds=60)
        await relay.stop()
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert [mail.recipient for mail in relay.received] == [m.recipient for m in (MAIL, SLOW, MAIL)]

    hastily(work())
