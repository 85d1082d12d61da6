"""Inserting a row unless it is there, on both databases."""

from datetime import UTC, datetime

from sqlalchemy import select

from notifier.db.dialect import insert_if_absent
from notifier.db.tables import Template, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring


async def test_only_the_first_of_two_rows_with_one_key_is_inserted(parts: wiring.ProcessParts) -> None:
    """The second insert changes nothing and says so."""
    row = {"id": generate_id(), "slug": "new_slug", "created_at": datetime.now(UTC)}
    template = get_columns(Template)
    async with parts.database.write() as connection:
        assert await insert_if_absent(connection, Template, row)
        assert not await insert_if_absent(connection, Template, row | {"id": generate_id()})
        result = await connection.execute(select(template.id).where(template.slug == "new_slug"))
        assert result.scalars().all() == [row["id"]]


async def test_a_direct_connection_inserts_as_well(parts: wiring.ProcessParts) -> None:
    """The connections that do without SQLAlchemy give the same answer."""
    row = {"id": generate_id(), "slug": "direct_slug", "created_at": datetime.now(UTC)}
    async with parts.database.direct_transaction() as connection:
        assert await insert_if_absent(connection, Template, row)
        assert not await insert_if_absent(connection, Template, row | {"id": generate_id()})
