"""A worker process that one entry kills: `python -m parts.poisoned URL FOLDER SUBJECT_ID`; it says whom it mourned."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from notifier.clock import SystemClock
from notifier.db.direct import Connection
from notifier.db.engine import Database
from notifier.ids import new_id
from notifier.outbox.handler import Claimed, Desk, Finish, Lost, Settlement
from notifier.outbox.holder import Holder
from notifier.outbox.journal import Journal
from notifier.outbox.life import Life
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.wake import Wake
from notifier.outbox.worker import Worker
from parts.handler import Plain


class Poisoned(Plain):
    """Finishes all but one, which it does not survive."""

    def __init__(self, poison: str) -> None:
        self._poison = poison

    async def process(self, batch: Sequence[Claimed], desk: Desk) -> None:
        await asyncio.sleep(0.05)  # so that others are under way as well, if anything lets them
        for entry in sorted(batch, key=lambda one: str(one.subject_id) != self._poison):
            if str(entry.subject_id) == self._poison:
                os._exit(9)
            desk.settle(Settlement(entry=entry, action=Finish()))

    async def mourn(self, _connection: Connection, lost: Sequence[Lost]) -> list[Settlement]:
        for one in lost:
            sys.stdout.write(f"poison {one.entry.subject_id}\n")
            sys.stdout.flush()
        return [Settlement(entry=one.entry, action=Finish()) for one in lost]


async def _work(url: str, folder: Path, poison: str) -> None:
    database, clock, boot_id = Database(url), SystemClock(), new_id()
    life = None if database.is_sqlite else Life(database, boot_id, clock, dead_after=30)
    holder = Holder(boot_id=boot_id, journal=Journal(folder, boot_id), life=life)
    handler, wake = Poisoned(poison), Wake()
    rescuer = Rescuer(database, [handler], holder=holder, journals=folder, clock=clock, on_rescue=wake)
    worker = Worker(database, handler, holder=holder, rescuer=rescuer, clock=clock, wake=wake)
    running = asyncio.create_task(worker.run())
    await worker.drain()
    worker.stop()
    await running
    holder.journal.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
