"""How large the tables are, without counting them at each scrape."""

from datetime import datetime

from sqlalchemy import text
from support.aged_rows import AgedMail, AgedRows
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.health.table_sizes import measure_database
from notifier.outbox import entry_store
from notifier.runtime.process_parts import ProcessParts
from notifier.states import EntryState, Status


async def test_rows_are_estimated_and_bytes_measured(
    installation: Installation, rows: AgedRows, database: Database, now: datetime
) -> None:
    """The estimate of a table that has only grown is close to its rows; the database has a size."""
    await rows.add_mails([AgedMail(service_id=await rows.get_service(), ended_at=now)] * 40)
    async with database.write() as connection:
        await connection.execute(text("ANALYZE"))
    async with database.inspect() as connection:
        sizes = await measure_database(connection)
    by_name = {table.name: table for table in sizes.tables}
    assert by_name["notification"].rows == 40 == by_name["attempt"].rows
    assert by_name["webhook_delivery"].rows == 0
    assert sizes.bytes > 100_000
    if not installation.settings.uses_sqlite:
        assert (by_name["notification"].bytes or 0) > 8192


async def test_metrics_show_the_sizes(installation: Installation, parts: ProcessParts) -> None:
    """`/metrics` has the estimated rows of each table, and the size of the database."""
    async with installation.open_client(parts) as client:
        body = (await client.get("/metrics")).text
    assert 'notifier_table_rows{table="notification"}' in body
    assert "notifier_database_bytes " in body


async def test_a_long_queue_is_counted_up_to_a_limit(rows: AgedRows, database: Database, now: datetime) -> None:
    """A state with more entries than the limit is shown as the limit, and each other state as it is."""
    mail = AgedMail(service_id=await rows.get_service(), ended_at=now, status=Status.QUEUED, has_entry=True)
    await rows.add_mails([mail] * 5)
    for limit, shown in ((3, 3), (5, 5), (100, 5)):
        async with database.inspect() as connection:
            counts = await entry_store.count_by_state(connection, most=limit)
        assert counts == {EntryState.READY: shown, EntryState.LEASED: 0, EntryState.HELD: 0}
