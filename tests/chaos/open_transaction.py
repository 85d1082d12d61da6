"""A process that settles entries of a sender and never commits, as if its machine lost its power in between.

Run it as `python -m chaos.open_transaction URL SENDER`; it prints a line once it has locked the entries.
"""

import asyncio
import sys
from uuid import UUID

from sqlalchemy import select

from notifier.db.engine import Database
from notifier.db.tables import OutboxEntry, get_columns

ENTRIES = 5
LOCKED = "locked"
_entry = get_columns(OutboxEntry)


async def hold_transaction(url: str, holder: UUID) -> None:
    """Lock entries of this holder until the process is killed."""
    statement = select(_entry.id).where(_entry.leased_by == holder).limit(ENTRIES).with_for_update()
    async with Database(url).write() as connection:
        assert (await connection.execute(statement)).all(), "the sender holds nothing"
        print(LOCKED, flush=True)  # noqa: T201 - for the process that started this one
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold_transaction(sys.argv[1], UUID(sys.argv[2])))
