"""The wake-up between processes: whoever commits work tells those who listen, over PostgreSQL's NOTIFY.

A hint is sent after the commit and apart from it, because NOTIFY in a transaction takes a lock that all commits share.
Losing one costs a poll interval, nothing more.
"""

import asyncio
import contextlib
from uuid import UUID

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.wake import Wakeup

CHANNEL = "notifier_outbox"
DEBOUNCE_SECONDS = 0.01
"""At least so long between two hints of one process."""
CLOSE_TIMEOUT_SECONDS = 1.0
RECONNECT_SECONDS = 5.0


class WakeupNotifier:
    """Wakes this process's own sender at once, and the others by a hint; call it after each commit."""

    def __init__(self, database: Database, wake: Wakeup) -> None:
        self._database = database
        self._wake = wake
        self._announcing: asyncio.Task[None] | None = None
        self._again = False

    def __call__(self) -> None:
        """Something may have become due."""
        self._wake()
        if self._database.is_sqlite:  # there is no other process
            return
        self._again = True
        if self._announcing is None or self._announcing.done():
            self._announcing = asyncio.create_task(self._announce())

    async def close(self) -> None:
        """Let the last hint out, while there is still a connection for it."""
        if self._announcing is not None:
            await asyncio.wait({self._announcing}, timeout=CLOSE_TIMEOUT_SECONDS)
            self._announcing.cancel()
            await asyncio.wait({self._announcing})

    async def _announce(self) -> None:
        while self._again:
            self._again = False
            with contextlib.suppress(DatabaseUnavailableError):
                await self._database.notify(CHANNEL, "")
            await asyncio.sleep(DEBOUNCE_SECONDS)


async def listen_for_wakeups(database: Database, wake: Wakeup, boot_id: UUID) -> None:
    """Turn the hints of other processes into wake-ups, until cancelled; whatever is lost is listened for again.

    `wake.hinted` tells whether hints arrive. Behind a pooler, which may take LISTEN and deliver nothing, none come.
    """

    def hint(payload: str) -> None:
        wake.hears_others = wake.hears_others or payload == str(boot_id)
        wake()

    while True:
        with contextlib.suppress(DatabaseUnavailableError):
            if await database.is_pooled():
                return
            async with database.listen(CHANNEL, hint) as lost:
                await database.notify(CHANNEL, str(boot_id))
                await lost.wait()
        wake.hears_others = False
        await asyncio.sleep(RECONNECT_SECONDS)
