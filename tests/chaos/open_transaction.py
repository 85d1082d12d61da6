"""A sender that is settling entries at the moment at which its machine loses its power.

Run it as `python -m chaos.open_transaction URL`; it prints its id once it has claimed some entries and locked them.
"""

import asyncio
import sys

from sqlalchemy import select
from support.queue_driver import claim_of

from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.db.tables import OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.outbox import claim_sql
from notifier.outbox.heartbeat import Heartbeat
from notifier.states import EntryKind

ENTRIES = 5
DEAD_AFTER = 30.0  # seconds; it beats only once
_entry = get_columns(OutboxEntry)


async def hold_transaction(url: str) -> None:
    """Claim entries, and lock them until the process is killed."""
    database, boot_id = Database(url), generate_id()
    await Heartbeat(database, boot_id, SystemClock(), dead_after=DEAD_AFTER).beat()
    async with database.write() as connection:
        backlogs = await claim_sql.list_backlogs(connection, EntryKind.EMAIL)
        assert await claim_sql.claim_entries(connection, claim_of(boot_id, backlogs, ENTRIES))
    async with database.write() as connection:
        await connection.execute(select(_entry.id).where(_entry.leased_by == boot_id).with_for_update())
        print(boot_id, flush=True)  # noqa: T201 - for the process that started this one
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold_transaction(sys.argv[1]))
