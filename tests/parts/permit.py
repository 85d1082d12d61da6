"""Permits to begin a body, for tests in which the queue has no say."""

import asyncio
import time

from notifier.outbox.handler import Permit
from notifier.smtp.mail import BeforeBody


async def at_once() -> Permit:
    """A permit that is there at once and lasts longer than any test."""
    return permit()


def ending_in(seconds: float) -> BeforeBody:
    """Gives permits that are there at once and end so many seconds later."""

    async def ask() -> Permit:
        return permit(ends_in=seconds)

    return ask


def permit(*, first_byte_in: float = 60.0, ends_in: float = 600.0) -> Permit:
    """A permit that may be used to its end; seconds from now."""
    now = time.monotonic()
    return Permit(first_byte_by=now + first_byte_in, ends=now + ends_in, may_go_on=lambda: True)


class Queue:
    """Gives the permits it is told to give, when it is told to, and knows what was asked of it."""

    def __init__(self, gives: Permit | Exception | None = None) -> None:
        self.gives = gives
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.times = 0
        self.cancelled = 0

    async def ask(self) -> Permit | None:
        self.times += 1
        self.asked.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives
