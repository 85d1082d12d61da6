"""Processes that only begin the runs of schedules, at the time of a shared clock, and that a test kills.

Run as a program, it forks a process for each line that it reads, and prints the id of each:

    python -m support.ticker_processes DATABASE_URL CLOCK_FILE

The processes end when the program ends.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Self

from sqlalchemy import make_url

from notifier.db.engine import Database
from notifier.jobs import schedule_ticker
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.outbox.wakeup import Wakeup
from notifier.telemetry import logging
from support import notifier_process
from support.shared_clock import SharedClock

TESTS = Path(__file__).parents[1]
TICK_SECONDS = 0.02
"""Between two looks, so that a test need not wait for a second."""
LOOK_SECONDS = 0.1


def get_session_name(pid: int) -> str:
    """Get the name under which PostgreSQL knows the connections of a process."""
    return f"ticker-{pid}"


class TickerProcesses:
    """A number of processes; one that is killed is replaced at once."""

    def __init__(self, count: int, url: str, clock: SharedClock, errors: IO[bytes]) -> None:
        command = [sys.executable, "-m", "support.ticker_processes", url, str(clock.path)]
        environment = notifier_process.without_coverage(dict(os.environ))
        self._program = subprocess.Popen(
            command, cwd=TESTS, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        self.pids = [self._start() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._program.communicate(timeout=100)

    def freeze(self, pid: int) -> None:
        """Stop a process where it is, until it is killed."""
        os.kill(pid, signal.SIGSTOP)

    def replace(self, pid: int) -> None:
        """Kill a process with SIGKILL, and start another one."""
        os.kill(pid, signal.SIGKILL)
        self.pids[self.pids.index(pid)] = self._start()

    def _start(self) -> int:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write("\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())


async def run_ticker(url: str, clock: SharedClock, parent: int) -> None:
    """Begin the runs of schedules as long as the parent process lives."""
    named = make_url(url).update_query_dict({"application_name": get_session_name(os.getpid())})
    database = Database(named.render_as_string(hide_password=False))
    ticker = ScheduleTicker(database, clock, Wakeup())
    running = asyncio.create_task(ticker.run())
    while os.getppid() == parent:  # noqa: ASYNC110 - the end of a parent process is no event
        await asyncio.sleep(LOOK_SECONDS)
    ticker.stop()
    await running
    await database.close()


def main(url: str, path: Path) -> None:
    """Fork for each line until the input ends."""
    clock, parent = SharedClock(path), os.getpid()
    schedule_ticker.TICK_SECONDS = TICK_SECONDS
    logging.configure_logging(json=True, level="WARNING")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(run_ticker(url, clock, parent))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
