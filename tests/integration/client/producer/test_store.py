"""Claims on the producer table: who may claim a row, for how long, and what may be written after the lease."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from support.producer.caller_database import PRODUCER, CallerDatabase

from notifier.client.producer import row_store
from notifier.client.producer.row_store import ClaimSize, RowClaim

SHARE = ClaimSize(max_rows=1000, max_bytes=1 << 20, lease=timedelta(seconds=30), key_lifetime=timedelta(days=6))


def _claim(connection: Connection, rows: int = 1000, octets: int = 1 << 20) -> RowClaim:
    share = ClaimSize(max_rows=rows, max_bytes=octets, lease=SHARE.lease, key_lifetime=SHARE.key_lifetime)
    return row_store.claim_rows(connection, share)


async def test_what_one_holds_is_passed_over_until_its_lease_is_over(caller: CallerDatabase) -> None:
    """The oldest rows are claimed first; a second forwarder gets the others, and an expired lease frees its rows."""
    ids = await caller.several(5)
    first_claim = await caller.do(lambda connection: _claim(connection, rows=3))
    second_claim = await caller.do(_claim)
    assert [row.id for row in first_claim.rows] == ids[:3]
    assert [row.id for row in second_claim.rows] == ids[3:]
    assert (await caller.do(_claim)).rows == ()
    await caller.backdate("due_at", timedelta(seconds=1))
    again = await caller.do(_claim)
    assert [(row.id, row.is_first, row.tries) for row in again.rows] == [(id_, False, 2) for id_ in ids]


async def test_claims_at_the_same_moment_never_wait_and_never_share(empty_postgres: str) -> None:
    """On PostgreSQL a second transaction claims other rows while the first is still open."""
    caller = await CallerDatabase(f"postgresql+asyncpg:{empty_postgres.partition(':')[2]}").create()
    ids = await caller.several(4)
    assert isinstance(caller.engine, AsyncEngine)
    async with asyncio.timeout(50), caller.engine.connect() as connection, caller.engine.connect() as other:
        first = await connection.run_sync(_claim, 2)
        second = await other.run_sync(_claim, 2)
        await other.commit()
        await connection.commit()
    await caller.close()
    assert [row.id for row in (*first.rows, *second.rows)] == ids


async def test_a_claim_is_no_larger_than_a_request_may_be(caller: CallerDatabase) -> None:
    """A claim stays within the maximum bytes of a request; a row that exceeds them is claimed alone."""
    ids = [await caller.enqueue(variables={"text": "ä" * 1000}) for _ in range(3)]
    body = next(iter((await caller.rows()).values())).body
    size = len(body.encode())
    assert size > len(body) + 900
    claim = await caller.do(lambda connection: _claim(connection, octets=2 * size))
    assert [row.id for row in claim.rows] == ids[:2]
    single = await caller.do(lambda connection: _claim(connection, octets=10))
    assert [row.id for row in single.rows] == ids[2:]


async def test_a_late_holder_neither_refuses_nor_gives_back(caller: CallerDatabase) -> None:
    """A holder with an expired lease neither refuses nor releases a row that has a new holder."""
    (id_,) = await caller.several(1)
    expired_claim = await caller.do(_claim)
    await caller.backdate("due_at", timedelta(seconds=1))
    holder = await caller.do(_claim)
    problem = '{"code": "unknown_template", "errors": []}'
    assert await caller.do(lambda connection: row_store.mark_refused(connection, expired_claim, [(id_, problem)])) == 0
    await caller.do(lambda connection: row_store.return_rows(connection, expired_claim, [id_], after=timedelta(0)))
    await caller.do(lambda connection: row_store.return_rows_untouched(connection, expired_claim, [id_], reached=False))
    row = (await caller.rows())[id_]
    assert (row.refused_at, row.due_at, row.tries) == (None, holder.until, 2)
    assert row.first_tried_at is not None
    assert await caller.do(lambda connection: row_store.mark_refused(connection, holder, [(id_, problem)])) == 1
    assert (await caller.do(_claim)).rows == ()
    await caller.backdate("due_at", timedelta(seconds=1))
    assert (await caller.do(_claim)).rows == ()


async def test_whoever_heard_that_the_api_has_a_row_deletes_it(caller: CallerDatabase) -> None:
    """A row that the API has accepted is deleted without a lease, and even after a refusal."""
    ids = await caller.several(2)
    await caller.do(_claim)
    await caller.backdate("due_at", timedelta(seconds=1))
    holder = await caller.do(_claim)
    await caller.do(
        lambda connection: row_store.mark_refused(connection, holder, [(ids[0], '{"code": "x", "errors": []}')])
    )
    assert await caller.do(lambda connection: row_store.delete_rows(connection, [*ids, uuid4()])) == set(ids)
    assert await caller.do(lambda connection: row_store.delete_rows(connection, ids)) == set()
    assert await caller.rows() == {}


async def test_a_request_that_never_left_leaves_no_trace(caller: CallerDatabase) -> None:
    """A row counts as tried from the first request that may have arrived."""
    ids = await caller.several(2)
    claim = await caller.do(_claim)
    await caller.do(lambda connection: row_store.return_rows_untouched(connection, claim, ids, reached=False))
    rows = await caller.rows()
    assert [(row.first_tried_at, row.tries) for row in rows.values()] == [(None, 0)] * 2

    claim = await caller.do(_claim)
    await caller.do(lambda connection: row_store.return_rows_untouched(connection, claim, ids, reached=True))
    since = {id_: row.first_tried_at for id_, row in (await caller.rows()).items()}
    assert None not in since.values()

    claim = await caller.do(_claim)
    await caller.do(lambda connection: row_store.return_rows_untouched(connection, claim, ids, reached=False))
    assert {id_: row.first_tried_at for id_, row in (await caller.rows()).items()} == since


async def test_a_row_whose_key_the_api_may_have_forgotten_is_not_repeated(caller: CallerDatabase) -> None:
    """A tried row whose key may have expired at the API is kept and marked; an untried row is sent at any age."""
    (tried,) = await caller.several(1)
    await caller.do(_claim)
    await caller.backdate("first_tried_at", timedelta(days=6, seconds=1))
    (fresh,) = await caller.several(1)
    await caller.backdate("created_at", timedelta(days=30))
    await caller.backdate("due_at", timedelta(seconds=1))
    claim = await caller.do(_claim)
    assert ([row.id for row in claim.rows], claim.unconfirmed) == ([fresh], 1)
    (refused,) = await caller.do(row_store.list_refused)
    assert (refused.id, refused.problem["code"]) == (tried, row_store.UNCONFIRMED)
    assert (await caller.do(_claim)).unconfirmed == 0


async def test_a_row_that_is_not_yet_too_old_is_repeated(caller: CallerDatabase) -> None:
    """Within six days a row is repeated, because the API still knows its key."""
    (tried,) = await caller.several(1)
    await caller.do(_claim)
    await caller.backdate("first_tried_at", timedelta(days=5, hours=23))
    await caller.backdate("due_at", timedelta(seconds=1))
    assert [row.id for row in (await caller.do(_claim)).rows] == [tried]


async def test_refused_rows_are_counted_shown_and_released(caller: CallerDatabase) -> None:
    """Refused rows are counted, listed, and released by a person."""
    ids = await caller.several(3)
    claim = await caller.do(lambda connection: _claim(connection, rows=1))
    problem = '{"code": "invalid_address", "errors": [{"pointer": "/to", "code": "invalid_address", "detail": "no"}]}'
    await caller.do(lambda connection: row_store.mark_refused(connection, claim, [(ids[0], problem)]))
    backlog = await caller.backlog()
    assert (backlog.waiting, backlog.refused) == (2, 1)
    assert backlog.oldest is not None
    (refused,) = await caller.do(row_store.list_refused)
    assert (refused.id, refused.problem["errors"][0]["pointer"]) == (ids[0], "/to")
    assert refused.refused_at.utcoffset() == refused.created_at.utcoffset() == timedelta(0)
    assert "user0@example.com" in refused.body
    assert await caller.do(lambda connection: row_store.retry_refused(connection, [ids[0], ids[1]])) == 1
    assert sorted(row.id for row in (await caller.do(_claim)).rows) == sorted(ids)
    assert (await caller.backlog()).refused == 0


async def test_a_row_written_by_hand_needs_an_id_and_a_body(caller: CallerDatabase) -> None:
    """A row written with plain SQL needs an id and a body; the other columns have defaults."""
    id_ = uuid4()
    await caller.do(lambda connection: connection.execute(PRODUCER.insert().values(id=id_, body="{}")))
    (row,) = (await caller.do(_claim)).rows
    assert (row.id, row.body, row.tries, row.is_first) == (id_, "{}", 1, True)
