"""The plans of the trip on PostgreSQL: none reads a whole table, whatever the server believes about the data.

The statements are those that a submit, a sender and its rescuer really execute; each is then explained with generic
and with custom plans, over tables that are empty, that have grown since they were looked at, and that are large.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from chaos.size import size
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from support import api_caller
from support.executed_statements import record_statements
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.key_admin import NewKey
from notifier.db.engine import Database
from notifier.outbox import entry_store, queue_counts
from notifier.outbox.entry_store import LeaseSelection
from notifier.runtime import wiring
from notifier.states import EntryKind
from notifier.status import batch_cancellation

ROWS = size(20_000, 1_000_000)
SMALL = {"api_key", "service", "webhook_endpoint", "template", "template_version", "sender_process", "alembic_version"}
"""Tables that do not grow with the mails."""
WORKING_SET = {"ix_outbox_entry_leased", "ix_outbox_entry_held"}
"""Partial indexes with only the entries in progress; rescue reads one of them completely."""
Executed = dict[str, tuple[Any, ...]]


@pytest.fixture
async def trip(postgres_installation: Installation) -> AsyncIterator[tuple[Executed, Database]]:
    """The statements of one mail from POST to settle, and those of a rescuer."""
    async with postgres_installation.open_parts() as parts:
        with record_statements(parts.database) as executed_statements:
            async with postgres_installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
                path = await api_caller.submit_mail(client, "bob@example.com")
                for _ in range(2):  # the second is answered from the first
                    await client.post("/v1/notifications", json=WELCOME, headers={"Idempotency-Key": "order-4711"})
                await api_caller.wait_for_status(client, path, "sent")
                await sender.worker._rescuer._check_leases()
                await sender.worker._claimer.claim_suspect([], [])
                async with parts.database.read() as connection:
                    await queue_counts.count_due(connection, EntryKind.EMAIL, most=1000)
        yield dict(executed_statements), parts.database


async def test_no_statement_of_the_trip_reads_a_table(trip: tuple[Executed, Database]) -> None:
    """No statement reads a whole table: empty or large, with stale or fresh statistics."""
    statements, database = trip
    assert any("AS waiting" in statement for statement in statements)
    hot = {statement: values for statement, values in statements.items() if not _is_light(statement)}
    assert len(hot) >= 8, sorted(statements)
    async with database._writer.connect() as connection:
        for said in ("TRUNCATE outbox_entry, notification CASCADE", None, "ANALYZE"):
            if said:
                await connection.execute(text(said))
            else:
                await _fill(connection)
            for mode in ("force_generic_plan", "force_custom_plan"):
                await connection.execute(text(f"SET plan_cache_mode = {mode}"))
                for statement, values in hot.items():
                    plan = await _plan(connection, statement, values)
                    whole = [node for node in _nodes(plan) if _reads_all(node)]
                    assert not whole, f"{said}, {mode}: {statement}\n{json.dumps(whole, indent=1)}"
                    if "SET marked_at" in statement:  # an old snapshot keeps every lease there has been in that index
                        assert WORKING_SET.isdisjoint(node.get("Index Name") for node in _nodes(plan)), plan
        await connection.rollback()


async def test_each_search_walks_the_index_of_what_is_asked(postgres_installation: Installation) -> None:
    """Each search uses its index, with a generic plan, in tables that the server thinks are empty."""
    tomorrow = "2099-01-01T00:00:00Z"
    batch = "0192f0c1-2345-7000-8000-000000000000"
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        for index, query in (
            ("ix_notification_service_id_id", {}),
            ("ix_notification_service_id_id", {"status": "sent", "created_before": tomorrow}),
            ("ix_notification_batch", {"batch_id": batch, "status": "failed", "to": "a@example.com"}),
            ("ix_notification_address", {"to": "a@example.com", "status": "failed", "tag": "a"}),
            ("ix_status_index_status", {"status": "delivered", "tag": "a"}),
            ("ix_outbox_entry_subject", {"status": "queued", "template": "welcome"}),
            ("ix_outbox_entry_subject", {"status": "scheduled", "tag": "a"}),
            ("pk_notification_tag", {"tag": "a", "template": "welcome"}),
            ("ix_notification_template", {"template": "welcome", "status": "sent", "copies": "true"}),
        ):
            with record_statements(parts.database) as statements:
                assert (await client.get("/v1/notifications", params=query)).status_code == 200
            ((statement, values),) = [
                executed_statement for executed_statement in statements if ") AS w" in executed_statement[0]
            ]
            async with parts.database._writer.connect() as connection:
                for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off"):
                    await connection.execute(text(f"SET LOCAL {setting}"))
                nodes = list(_nodes(await _plan(connection, statement, values)))
                await connection.rollback()
            (walked,) = [node for node in nodes if "Scan Direction" in node and "ROW(" in node.get("Index Cond", "")]
            assert (walked["Index Name"], walked["Scan Direction"]) == (index, "Backward"), query
            assert not any(node["Node Type"] in ("Sort", "Hash Join", "Merge Join") for node in nodes), query


async def test_a_search_of_all_services_walks_an_index(postgres_installation: Installation) -> None:
    """A status has an index over all services; an address is one short walk for each service, never a whole table."""
    scopes = (KeyScope.READ,)
    async with postgres_installation.open_parts() as parts:
        async with parts.database.write() as connection:
            _, key = await key_admin.insert_key(connection, None, NewKey(scopes=scopes), now=parts.clock.now())
        async with postgres_installation.open_client(parts, key) as client:
            for index, query in (
                ("pk_notification", {}),
                ("ix_status_index_all", {"status": "failed"}),
                ("ix_notification_address", {"to": "a@example.com"}),
                ("pk_notification_tag", {"tag": "a"}),
                ("ix_notification_template", {"template": "welcome"}),
                ("ix_outbox_entry_subject", {"status": "queued"}),
                ("uq_notification_service_id_idempotency_key", {"idempotency_key": "order-7"}),
                ("uq_notification_service_id_idempotency_key", {"idempotency_key": "order-7", "service": "shop"}),
            ):
                with record_statements(parts.database) as statements:
                    assert (await client.get("/v1/notifications", params=query)).status_code == 200
                ((statement, values),) = [each for each in statements if ") AS w" in each[0]]
                async with parts.database._writer.connect() as connection:
                    for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off"):
                        await connection.execute(text(f"SET LOCAL {setting}"))
                    nodes = list(_nodes(await _plan(connection, statement, values)))
                    await connection.rollback()
                assert index in {node.get("Index Name") for node in nodes}, (query, nodes)
                whole = [node for node in nodes if _reads_all(node) and node.get("Relation Name") != "service"]
                assert not whole, (query, whole)


async def test_lost_and_stopped_claims_are_looked_for_once(postgres_installation: Installation) -> None:
    """A rescue and a release look for their claims once, then entries up by id; also when the queue seems empty."""
    ids = [UUID(int=number) for number in (1, 2)]
    async with postgres_installation.open_parts() as parts:
        with record_statements(parts.database) as statements:
            async with parts.database.write() as connection:
                for selection in (
                    LeaseSelection(kind=EntryKind.EMAIL),
                    LeaseSelection(kind=EntryKind.EMAIL, holder=ids[0]),
                    LeaseSelection(kind=EntryKind.EMAIL, all=True),
                ):
                    await entry_store.rescue_unmarked(connection, selection)
                await batch_cancellation.release_claimed(connection, *ids)
        async with parts.database._writer.connect() as connection:
            for said in ("TRUNCATE outbox_entry CASCADE", None, "ANALYZE"):
                if said:
                    await connection.execute(text(said))
                else:
                    await _fill(connection)
                    await connection.execute(text("UPDATE outbox_entry SET state = 'leased' WHERE due_at < now()"))
                for mode in ("force_generic_plan", "force_custom_plan"):
                    await connection.execute(text(f"SET plan_cache_mode = {mode}"))
                    for statement, values in statements:
                        (changed,) = (await _plan(connection, statement, values))["Plans"][-1:]
                        assert changed["Parent Relationship"] == "Outer", changed
                        assert "Index Cond" in changed or "Bitmap" in changed["Node Type"], (said, statement, changed)
                        assert "Nested Loop" not in {node["Node Type"] for node in _nodes(changed)}, changed
            await connection.rollback()
    assert len(statements) == 4, statements


def _is_light(statement: str) -> bool:
    return not statement.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))


async def _plan(connection: AsyncConnection, statement: str, values: tuple[Any, ...]) -> dict[str, Any]:
    await connection.exec_driver_sql(f"PREPARE hot AS {statement}")
    arguments = f"({', '.join(_literal(value) for value in values)})" if values else ""
    result = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE hot {arguments}")
    plan = result.scalar_one()
    await connection.exec_driver_sql("DEALLOCATE hot")
    plans: list[dict[str, Any]] = json.loads(plan) if isinstance(plan, str) else plan
    return plans[0]["Plan"]  # type: ignore[no-any-return]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "'{" + ",".join(map(str, value)) + "}'"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    return "'" + str(value).replace("'", "''") + "'"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in plan.items() if name != "Plans"}
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def _reads_all(node: dict[str, Any]) -> bool:
    if node.get("Relation Name") in SMALL or node.get("Index Name") in WORKING_SET:
        return False
    by_index = "Index" in node["Node Type"] and "Index Cond" in node
    return (
        "Relation Name" in node and "Scan" in node["Node Type"] and not by_index and "Bitmap" not in node["Node Type"]
    )


async def _fill(connection: AsyncConnection) -> None:
    """Insert mails of one service, half of them due, without updating the server's statistics."""
    await connection.execute(
        text(f"""
INSERT INTO notification (id, service_id, template_version_id, recipient, from_address, envelope_from, priority, status,
  message_id, message_date, send_at, expires_at, created_at, updated_at, created_by)
SELECT gen_random_uuid(), '{"1" * 32}', '{"2" * 32}', 'user' || n || '@example.com', 'a@example.com', 'a@example.com',
  'normal', 'queued', n, now(), now(), now() + interval '3 days', now(), now(), 'key'
FROM generate_series(1, {ROWS}) AS n
""")
    )
    await connection.execute(text("INSERT INTO notification_content SELECT id, '{}', '{}' FROM notification"))
    await connection.execute(
        text("""
INSERT INTO outbox_entry (id, kind, subject_id, service_id, priority, state, due_at, lease_no, attempts, lost, faults)
SELECT gen_random_uuid(), 'email', id, service_id, 'normal', 'ready', now() + (random() - 0.5) * interval '2 days',
  0, 0, 0, 0 FROM notification
""")
    )
