"""Wake-ups: after a commit of new work the workers of this process are woken, and others by PostgreSQL's NOTIFY.

NOTIFY is a statement of its own after the commit, because inside a transaction it takes a lock that all commits share.
If a wake-up is lost, the work waits until the next poll.
"""

import asyncio
import contextlib
from collections.abc import Callable
from uuid import UUID

from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError

DELAY_SECONDS = 0.05
CHANNEL = "notifier_outbox"
DEBOUNCE_SECONDS = 0.01
"""The least time between two notifications of one process."""
CLOSE_TIMEOUT_SECONDS = 1.0
RECONNECT_SECONDS = 5.0


class Wakeup:
    """Tells the worker that work has become due."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.hears_others = False  # True: other processes tell this one when work has become due
        self.is_watched = False  # True: a `WorkWatch` wakes the worker when something is due
        self.followers: list[Wakeup] = []  # woken as well

    def __call__(self) -> None:
        """Wake the worker."""
        self._event.set()
        for follower in self.followers:
            follower()

    def wake_alone(self) -> None:
        """Wake the worker, and not the followers."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a wake-up, at most `seconds`; return True if there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._event.clear()


class DelayedWakeup(Wakeup):
    """A wake-up that waits 50 ms for others, so that a busy sender does not cause a poll at every commit."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Wake the worker a little later."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self._wake)

    def _wake(self) -> None:
        self._timer = None
        super().__call__()


class WakeupNotifier:
    """Wakes this process's own sender at once, and the others by NOTIFY; call it after each commit."""

    publish_hint: Callable[[], None] | None = None  # wakes the senders of Celery workers; must not block

    def __init__(self, database: Database, wake: Wakeup) -> None:
        self._database = database
        self._wake = wake
        self._notifying: asyncio.Task[None] | None = None
        self._has_more = False

    def __call__(self) -> None:
        """Tell the senders that work may have become due."""
        self._wake()
        if self._database.is_sqlite:  # there is no other process
            return
        if self.publish_hint is not None:
            self.publish_hint()
        self._has_more = True
        if self._notifying is None or self._notifying.done():
            self._notifying = asyncio.create_task(self._notify())

    async def close(self) -> None:
        """Wait for the last notification, while there is still a connection for it."""
        if self._notifying is not None:
            await asyncio.wait({self._notifying}, timeout=CLOSE_TIMEOUT_SECONDS)
            self._notifying.cancel()
            await asyncio.wait({self._notifying})

    async def _notify(self) -> None:
        while self._has_more:
            self._has_more = False
            with contextlib.suppress(DatabaseUnavailableError):
                await self._database.notify(CHANNEL, "")
            await asyncio.sleep(DEBOUNCE_SECONDS)


async def listen_for_wakeups(database: Database, wake: Wakeup, boot_id: UUID) -> None:
    """Turn the notifications of other processes into wake-ups until cancelled, and reconnect after a loss.

    `wake.hears_others` tells whether notifications arrive. A pooler may accept LISTEN and deliver nothing.
    """

    def on_notification(payload: str) -> None:
        wake.hears_others = wake.hears_others or payload == str(boot_id)
        wake()

    while True:
        with contextlib.suppress(DatabaseUnavailableError):
            if await database.is_pooled():
                return
            async with database.listen(CHANNEL, on_notification) as lost:
                await database.notify(CHANNEL, str(boot_id))
                await lost.wait()
        wake.hears_others = False
        await asyncio.sleep(RECONNECT_SECONDS)
