"""The watch of a sender process: one statement asks for all kinds of work whether anything is due.

Without it each idle worker would ask for its own kind. A worker that has work asks for itself.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import claim_sql
from notifier.outbox.wakeup import Wakeup
from notifier.states import EntryKind
from notifier.telemetry.logging import get_logger

WATCH_SECONDS = 1.0
"""Between two looks where other processes send wake-ups: then it only matters for entries that become due later."""
DEAF_WATCH_SECONDS = 0.5
"""Between two looks where no other process sends wake-ups."""
MIN_INTERVAL_FACTOR = 20.0
"""A slow look is repeated less often: after this many times its own duration."""


class WorkWatch:
    """Wakes the worker of each kind of which something is due, until told to stop."""

    def __init__(self, database: Database, wakeups: Mapping[EntryKind, Wakeup], clock: Clock) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._leading = wakeups[EntryKind.EMAIL]
        self._stopping = asyncio.Event()
        self._log = get_logger()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Look again and again; meanwhile idle workers hardly ask for themselves."""
        self._set_watched(is_watched=True)
        failed = False
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            try:
                await self.look()
                failed = False
            except DatabaseUnavailableError:
                pass  # the workers report it
            except Exception as error:  # noqa: BLE001 - the next look may succeed, and the workers ask for themselves
                if not failed:
                    self._log.exception("watch_failed", error=type(error).__name__)
                failed = True
            pause = WATCH_SECONDS if self._leading.hears_others else DEAF_WATCH_SECONDS
            pause = max(pause, MIN_INTERVAL_FACTOR * (self._clock.monotonic() - started))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
        self._set_watched(is_watched=False)

    async def look(self) -> None:
        """Wake the workers of the kinds of which something is due now."""
        async with self._database.read_statement() as connection:
            kinds = await claim_sql.list_due_kinds(connection)
        for kind in kinds & self._wakeups.keys():
            self._wakeups[kind].wake_alone()

    def _set_watched(self, *, is_watched: bool) -> None:
        for wakeup in self._wakeups.values():
            wakeup.is_watched = is_watched
