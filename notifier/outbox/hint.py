"""The wake-up between processes, over PostgreSQL's NOTIFY.

NOTIFY is sent after the commit, on a statement of its own, because inside a transaction it takes a lock that all
commits share. Losing one costs one poll interval, nothing more.
"""

import asyncio
import contextlib
from uuid import UUID

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.wake import Wake

CHANNEL = "notifier_outbox"
DEBOUNCE_SECONDS = 0.01
"""The least time between two notifications of one process."""
LAST_HINT_SECONDS = 1.0
RECONNECT_SECONDS = 5.0


class Announcer:
    """Wakes this process's own sender at once, and the others by NOTIFY; call it after each commit."""

    def __init__(self, database: Database, wake: Wake) -> None:
        self._database = database
        self._wake = wake
        self._notifying: asyncio.Task[None] | None = None
        self._has_more = False

    def __call__(self) -> None:
        """Tell the senders that work may have become due."""
        self._wake()
        if self._database.is_sqlite:  # there is no other process
            return
        self._has_more = True
        if self._notifying is None or self._notifying.done():
            self._notifying = asyncio.create_task(self._notify())

    async def close(self) -> None:
        """Wait for the last notification, while there is still a connection for it."""
        if self._notifying is not None:
            await asyncio.wait({self._notifying}, timeout=LAST_HINT_SECONDS)
            self._notifying.cancel()
            await asyncio.wait({self._notifying})

    async def _notify(self) -> None:
        while self._has_more:
            self._has_more = False
            with contextlib.suppress(DatabaseUnavailableError):
                await self._database.notify(CHANNEL, "")
            await asyncio.sleep(DEBOUNCE_SECONDS)


async def hear(database: Database, wake: Wake, boot_id: UUID) -> None:
    """Turn the notifications of other processes into wake-ups until cancelled, and reconnect after a loss.

    `wake.hinted` tells whether notifications arrive. A pooler may accept LISTEN and deliver nothing.
    """

    def on_notification(payload: str) -> None:
        wake.hinted = wake.hinted or payload == str(boot_id)
        wake()

    while True:
        with contextlib.suppress(DatabaseUnavailableError):
            if await database.is_pooled():
                return
            async with database.listening(CHANNEL, on_notification) as lost:
                await database.notify(CHANNEL, str(boot_id))
                await lost.wait()
        wake.hinted = False
        await asyncio.sleep(RECONNECT_SECONDS)
