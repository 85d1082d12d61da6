"""The step of a Celery worker that runs senders beside its pool, and the host of their processes.

The children of Celery's pool are daemons, which may start no processes, so rendering cannot run there.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import state

from notifier.cli.entry_point import refuse
from notifier.cli.process_supervisor import ProcessSupervisor

KILLED_SECONDS = 5.0
"""Seconds that killed senders may take to end."""
_LOOK_SECONDS = 0.2


class SenderHost:
    """Runs the senders of a worker, with their supervisor in a thread of the worker's main process.

    The main thread of Celery blocks while a broker is away; the thread goes on to restart senders.
    """

    def __init__(self, count: int) -> None:
        self._supervisor = ProcessSupervisor(count)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="senders", daemon=True)
        self.hints = 0

    def start(self) -> None:
        """Start the senders. Children that Celery forks later do not keep them running."""
        os.register_at_fork(after_in_child=self._supervisor.close_after_fork)
        self._thread.start()

    def wake(self) -> None:
        """Wake the senders because of a hint."""
        self.hints += 1
        self._supervisor.wake()

    def stop(self) -> None:
        """Let the senders finish what is in flight."""
        self._call(self._supervisor.stop)

    def kill(self) -> None:
        """End the senders at once, as if they had been killed."""
        self._call(self._supervisor.kill)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of all senders; return True if it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def describe(self) -> dict[str, Any]:
        """Describe the senders for `celery inspect stats`."""
        return {"senders": self._supervisor.list_processes(), "hints": self.hints}

    def _call(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: all senders have ended
            self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._supervisor.supervise())


class SenderStep(bootsteps.StartStopStep):
    """Starts the senders with the worker, and ends them with it.

    A warm shutdown waits for what is in flight; a cold one kills. A sender whose worker is killed gets the end of its
    pipe, and stops in order.
    """

    label = "Senders"
    requires = ("celery.worker.components:Pool",)  # stops before it, and its first children have no pipe of ours

    def __init__(self, worker: Any, **options: Any) -> None:
        settings = worker.app.settings
        if settings.uses_sqlite:
            refuse("a Celery worker needs PostgreSQL (NOTIFIER_DATABASE_URL); on SQLite use `notifier serve`")
        if worker.pool_cls.is_green:
            refuse("a Celery worker runs no senders beside green threads: use --pool prefork, threads or solo")
        worker.senders = SenderHost(settings.celery.senders)
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        """Start the senders, before the worker connects to the broker."""
        worker.senders.start()

    def close(self, worker: Any) -> None:
        """Let the senders finish: this is called first, before a broker that hangs can delay it."""
        worker.senders.stop()

    def stop(self, worker: Any) -> None:
        """Wait for the senders, until a second signal asks for a cold shutdown."""
        while not worker.senders.wait(_LOOK_SECONDS):
            if state.should_terminate not in (None, False):
                self.terminate(worker)
                return

    def terminate(self, worker: Any) -> None:
        """End the senders at once."""
        worker.senders.kill()
        worker.senders.wait(KILLED_SECONDS)

    def info(self, worker: Any) -> dict[str, Any]:
        """Describe the senders for `celery inspect stats`."""
        return {"notifier": worker.senders.describe()}
