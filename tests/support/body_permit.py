"""Permits to begin a body, for tests without a queue."""

import asyncio
import time

from notifier.outbox.entry_handler import BodyPermit
from notifier.smtp.mail_transaction import RequestPermit


async def grant_permit() -> BodyPermit:
    """Give a permit that lasts longer than any test."""
    return build_permit()


def grant_until(seconds: float) -> RequestPermit:
    """Give permits that end after so many seconds."""

    async def ask() -> BodyPermit:
        return build_permit(ends_in=seconds)

    return ask


def build_permit(*, first_byte_in: float = 60.0, ends_in: float = 600.0) -> BodyPermit:
    """Build a permit that is valid for so many seconds."""
    now = time.monotonic()
    return BodyPermit(first_byte_by=now + first_byte_in, ends=now + ends_in, may_continue=lambda: True)


class PermitQueue:
    """Gives permits on command, and records the requests for them."""

    def __init__(self, gives: BodyPermit | Exception | None = None) -> None:
        self.gives = gives
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.times = 0
        self.cancelled = 0

    async def ask(self) -> BodyPermit | None:
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
