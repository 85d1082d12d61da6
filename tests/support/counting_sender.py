"""A sender whose jobs count, and which kills itself with SIGKILL at chosen places, each once.

Run as a program, it starts one process after the other until the run has ended:

    python -m support.counting_sender DATABASE_URL FOLDER RUN_ID

Each place in FOLDER/kills, a line such as `before 30` or `inside 30`, ends one process. `before`: the step before this
number is committed, and this one has not begun. `inside`: its rows are inserted, and not committed.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

from notifier.db import data_directory
from notifier.ids import generate_id
from notifier.job_states import ENDED_JOB_STATES
from notifier.jobs import job_store
from notifier.jobs.job_control import JobActions
from notifier.jobs.job_handler import JobHandler
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.worker import Worker
from notifier.runtime.process_parts import ProcessParts, open_process_parts
from notifier.settings import SenderSettings, Settings
from support.counting_action import CountingAction

MAX_PROCESSES = 400
LOOK_SECONDS = 0.02


class KillPlan:
    """The places at which a process ends, each once for all processes together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places = set((folder / "kills").read_text().split("\n"))

    async def kill_before(self, number: int) -> None:
        """End this process if it is planned before this number."""
        self._kill(f"before {number}")

    async def kill_inside(self, number: int) -> None:
        """End this process if it is planned inside the step of this number."""
        self._kill(f"inside {number}")

    def _kill(self, place: str) -> None:
        mark = self._folder / place.replace(" ", "-")
        if place in self._places and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def build_counting_actions(folder: Path) -> JobActions:
    """Build the action that counts, and kills its process as planned."""
    plan = KillPlan(folder)
    return {CountingAction.kind: CountingAction(before=plan.kill_before, inside=plan.kill_inside)}


async def run_until_ended(settings: Settings, run_id: UUID, actions: JobActions) -> None:
    """Run the worker of jobs, with its rescuer and heartbeat, until the run has ended."""
    journals, boot_id = settings.data_dir / "journal", generate_id()
    async with open_process_parts(settings) as parts:
        database, clock = parts.database, parts.clock
        beat = (
            None if database.is_sqlite else Heartbeat(database, boot_id, clock, dead_after=settings.sender.dead_after)
        )
        holder = SenderIdentity(boot_id=boot_id, journal=Journal(journals, boot_id), heartbeat=beat)
        handler = JobHandler(database, actions, clock)
        rescuer = Rescuer(database, [handler], holder=holder, journals=journals, clock=clock, on_rescue=parts.wakeup)
        worker = Worker(database, handler, holder=holder, rescuer=rescuer, clock=clock, wake=parts.wakeup)
        working = asyncio.create_task(worker.run())
        while not await _has_ended(parts, run_id):  # noqa: ASYNC110 - the run is in the database
            await asyncio.sleep(LOOK_SECONDS)
        worker.stop()
        await working


async def _has_ended(parts: ProcessParts, run_id: UUID) -> bool:
    async with parts.database.read() as connection:
        return (await job_store.get_run(connection, run_id, None)).state in ENDED_JOB_STATES


def run_processes(url: str, folder: Path, run_id: UUID) -> int:
    """Start one process after the other until the run has ended; return how many were killed."""
    sender = SenderSettings(schedules=False)
    settings = Settings(database_url=url, data_dir=folder, sender=sender)
    actions = build_counting_actions(folder)
    gc.freeze()
    for killed in range(MAX_PROCESSES):
        child = os.fork()
        if child == 0:
            with data_directory.lock_directory(folder) if settings.uses_sqlite else contextlib.nullcontext():
                asyncio.run(run_until_ended(settings, run_id, actions))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            return killed if os.WEXITSTATUS(status) == 0 else -1
    return MAX_PROCESSES


if __name__ == "__main__":
    sys.stdout.write(f"{run_processes(sys.argv[1], Path(sys.argv[2]), UUID(sys.argv[3]))}\n")
