"""Audit records cannot be changed or deleted, on both databases, except that an address can be removed."""

from uuid import UUID

import pytest
from sqlalchemy import Executable, delete, select, text, update
from sqlalchemy.exc import DBAPIError
from support.seeded_installation import Installation

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.db.tables import AuditEntry, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring

_entry = get_columns(AuditEntry)
ADDRESS = "ada@example.com"
OTHER_VALUES = {
    "id": generate_id(),
    "at": text("'2020-01-01 00:00:00.000000'"),
    "actor": "key:somebody else",
    "service_id": generate_id(),
    "action": "notification.retried",
    "object_kind": "suppression",
    "object_id": "another",
    "address": "bob@example.com",
    "before": {"status": 1.0},  # was 1, which PostgreSQL's JSON takes for equal
    "after": {"status": "sent"},
    "request_id": "another",
}


async def _written(database: Database, address: str | None = ADDRESS) -> UUID:
    deed = AuditRecord(
        action=AuditAction.NOTIFICATION_CANCELLED,
        object_id=generate_id(),
        service_id=generate_id(),
        address=address,
        before={"status": 1},
        after={"status": "cancelled"},
    )
    async with database.write() as connection:
        return await audit.write_audit_record(
            connection, deed, Actor(name="key:17", at=SystemClock().now(), request_id="r")
        )


async def _rows(database: Database) -> list[tuple[object, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(select(*_entry).order_by(_entry.id))]


@pytest.mark.parametrize("name", sorted(OTHER_VALUES))
async def test_no_column_can_be_changed(parts: wiring.ProcessParts, name: str) -> None:
    """An UPDATE of any column is refused, alone and together with removing the address."""
    id_ = await _written(parts.database)
    before = await _rows(parts.database)
    changes = {name: OTHER_VALUES[name]}
    for values in (changes, {"address": None} | changes):
        with pytest.raises(DBAPIError, match="only added to"):
            async with parts.database.write() as connection:
                await connection.execute(update(AuditEntry).where(_entry.id == id_).values(values))
    assert await _rows(parts.database) == before


async def test_an_address_can_be_taken_out(parts: wiring.ProcessParts) -> None:
    """Removing the address is allowed; it cannot be set again."""
    id_ = await _written(parts.database)
    (before,) = await _rows(parts.database)
    forget = update(AuditEntry).where(_entry.id == id_)
    async with parts.database.write() as connection:
        await connection.execute(forget.values(address=None))
    assert await _rows(parts.database) == [tuple(None if value == ADDRESS else value for value in before)]
    with pytest.raises(DBAPIError, match="only added to"):
        async with parts.database.write() as connection:
            await connection.execute(forget.values(address=ADDRESS))


async def test_nothing_can_be_taken_away(parts: wiring.ProcessParts) -> None:
    """DELETE and every other way to remove a row are refused."""
    await _written(parts.database)
    before = await _rows(parts.database)
    copied = "SELECT id, at, 'nobody', action, object_kind, object_id FROM audit_entry"
    into = "INTO audit_entry (id, at, actor, action, object_kind, object_id)"
    ways: list[Executable] = [delete(AuditEntry)]
    ways += (
        [text(f"INSERT OR REPLACE {into} {copied}"), text(f"REPLACE {into} {copied}")]
        if parts.database.is_sqlite
        else [
            text("TRUNCATE audit_entry"),
            text("TRUNCATE audit_entry, suppression CASCADE"),
            text(f"INSERT {into} {copied} ON CONFLICT (id) DO UPDATE SET actor = excluded.actor"),
        ]
    )
    for way in ways:
        with pytest.raises(DBAPIError, match="only added to"):
            async with parts.database.write() as connection:
                await connection.execute(way)
    assert await _rows(parts.database) == before


async def test_a_replica_role_does_not_switch_it_off(postgres_installation: Installation) -> None:
    """On PostgreSQL no session setting disables the triggers."""
    async with postgres_installation.open_parts() as parts:
        await _written(parts.database)
        for statement in ("DELETE FROM audit_entry", "TRUNCATE audit_entry"):
            async with parts.database.write() as connection:
                await connection.execute(text("SET LOCAL session_replication_role = replica"))
                with pytest.raises(DBAPIError, match="only added to"):
                    await connection.execute(text(statement))
                await connection.rollback()
