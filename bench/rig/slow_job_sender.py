"""A sender that works on jobs only, and whose steps take as long as a step may: `python -m bench.rig.slow_job_sender`.

The arguments are the seconds of each step without a transaction, and within it.
"""

import asyncio
import signal
import sys
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.ids import generate_id
from notifier.jobs.job_action import JobAction, JobRunView, StepContext, StepResult
from notifier.jobs.job_handler import JobHandler
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.worker import Worker
from notifier.runtime.process_parts import ProcessParts, open_process_parts
from notifier.settings import Settings
from notifier.states import JobKind
from notifier.telemetry import logging


class SlowAction(JobAction):
    """Waits, and counts its steps; it never ends by itself."""

    kind = JobKind.NOTIFY

    def __init__(self, seconds_before: float, seconds_within: float) -> None:
        self._before, self._within = seconds_before, seconds_within

    async def prepare(self, run: JobRunView, context: StepContext) -> None:  # noqa: ARG002 - it only waits
        """Wait without a transaction."""
        await asyncio.sleep(self._before)

    async def apply(
        self,
        connection: AsyncConnection,  # noqa: ARG002
        run: JobRunView,
        prepared: Any,  # noqa: ARG002
        context: StepContext,  # noqa: ARG002
    ) -> StepResult:
        """Wait within the transaction."""
        await asyncio.sleep(self._within)
        return StepResult(cursor={"step": (run.cursor or {"step": 0})["step"] + 1}, counts={"steps": 1})


def build_worker(parts: ProcessParts, action: JobAction) -> Worker:
    """Build the worker of jobs as a sender has it."""
    database, clock, boot_id = parts.database, parts.clock, generate_id()
    journals = parts.settings.data_dir / "journal"
    beat = Heartbeat(database, boot_id, clock, dead_after=parts.settings.sender.dead_after)
    holder = SenderIdentity(boot_id=boot_id, journal=Journal(journals, boot_id), heartbeat=beat)
    handler = JobHandler(database, {action.kind: action}, clock)
    rescuer = Rescuer(database, [handler], holder=holder, journals=journals, clock=clock, on_rescue=parts.wakeup)
    return Worker(database, handler, holder=holder, rescuer=rescuer, clock=clock, wake=parts.wakeup)


async def run(action: JobAction) -> None:
    """Work on jobs until SIGTERM."""
    settings, stop = Settings(), asyncio.Event()
    logging.configure_logging(json=True, level=settings.log_level)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_process_parts(settings) as parts:
        worker = build_worker(parts, action)
        working = asyncio.create_task(worker.run())
        print("sender ready", flush=True)
        await stop.wait()
        worker.stop()
        await working


if __name__ == "__main__":
    asyncio.run(run(SlowAction(float(sys.argv[1]), float(sys.argv[2]))))
