"""Worker processes that one entry kills: `python -m support.poisoned_worker URL FOLDER SUBJECT_ID`.

Each line on stdin starts one, and `ended STATUS` is printed when it has ended. They are forks of this process, because
the imports take a second.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from notifier.clock import SystemClock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.ids import generate_id
from notifier.outbox.entry_handler import ClaimedEntry, FinishEntry, LostClaim, Settlement, WorkerContext
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.wakeup import Wakeup
from notifier.outbox.worker import Worker
from support.plain_handler import PlainHandler


class PoisonedHandler(PlainHandler):
    """Finishes all entries, except one that kills the process."""

    def __init__(self, poison: str) -> None:
        self._poison = poison

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        await asyncio.sleep(0.05)  # so that others are also under way, if the quarantine fails
        for entry in sorted(batch, key=lambda entry: str(entry.subject_id) != self._poison):
            if str(entry.subject_id) == self._poison:
                os._exit(9)
            desk.settle(Settlement(entry=entry, action=FinishEntry()))

    async def recover_lost(self, _connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        for claim in lost:
            sys.stdout.write(f"poison {claim.entry.subject_id}\n")
            sys.stdout.flush()
        return [Settlement(entry=claim.entry, action=FinishEntry()) for claim in lost]


async def _work(url: str, folder: Path, poison: str) -> None:
    database, clock, boot_id = Database(url), SystemClock(), generate_id()
    life = None if database.is_sqlite else Heartbeat(database, boot_id, clock, dead_after=30)
    holder = SenderIdentity(boot_id=boot_id, journal=Journal(folder, boot_id), heartbeat=life)
    handler, wake = PoisonedHandler(poison), Wakeup()
    rescuer = Rescuer(database, [handler], holder=holder, journals=folder, clock=clock, on_rescue=wake)
    worker = Worker(database, handler, holder=holder, rescuer=rescuer, clock=clock, wake=wake)
    running = asyncio.create_task(worker.run())
    await worker.drain()
    worker.stop()
    await running
    holder.journal.close()
    await database.close()


if __name__ == "__main__":
    for _ in sys.stdin:
        if os.fork() == 0:
            asyncio.run(_work(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
            os._exit(0)
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(os.wait()[1])}\n")
        sys.stdout.flush()
