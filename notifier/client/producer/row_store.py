"""What the forwarder says to the caller's database, in the order of a row's way.

No function commits. A claim is a lease that ends by itself: its end, in `due_at`, is the fence of every later write but
the deletion, which needs none, because whoever heard that the API has the row is right.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    DateTime,
    LargeBinary,
    Table,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    null,
    select,
    update,
)

from notifier.client.producer.row_table import TABLE

UNCONFIRMED = "unconfirmed"
"""The problem of a row that may be at the API and can no longer be repeated safely."""


@dataclass(frozen=True, kw_only=True)
class ClaimSize:
    """How much to claim, and for how long."""

    max_rows: int  # at most
    max_bytes: int  # of bodies together; a single row is taken whatever its size
    lease: timedelta  # after which others may take the rows
    key_lifetime: timedelta  # after the first try; later a repetition might be a second mail


@dataclass(frozen=True, kw_only=True)
class ClaimedRow:
    """A claimed row."""

    id: UUID
    body: str  # JSON, if whoever wrote it kept to that
    tries: int  # this one included
    is_first: bool  # nobody has tried it before


@dataclass(frozen=True, kw_only=True)
class RowClaim:
    """Rows under one lease."""

    rows: Sequence[ClaimedRow]
    until: datetime | None  # the end of the lease; None without rows
    unconfirmed: int = 0  # rows that were too old and are marked now


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What stands in the table."""

    waiting: int
    refused: int
    oldest: datetime | None  # of those that wait: when it was written


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """A row that is kept because the API will not have it, or because nobody knows whether it has."""

    id: UUID
    created_at: datetime
    refused_at: datetime
    problem: dict[str, Any]  # `code`, and `errors` with `pointer`, `code`, `detail`
    body: str


def claim_rows(connection: Connection, share: ClaimSize, table: Table = TABLE) -> RowClaim:
    """Take the rows that have been due longest; what others hold is passed over."""
    row = table.c
    due = (
        select(
            row.id,
            _octets(connection, row.body).label("octets"),
            row.first_tried_at.is_(None).label("is_first"),
            func.coalesce(row.first_tried_at <= _moment(connection, -share.key_lifetime), False).label("is_late"),
        )
        .where(row.refused_at.is_(None), row.due_at <= _moment(connection))
        .order_by(row.due_at, row.id)
        .limit(share.max_rows)
        .with_for_update(skip_locked=True)  # SQLite, where one forwarder runs, has no such words: they are left out
    )
    found = connection.execute(due).all()
    late = [one.id for one in found if one.is_late]
    if late:
        problem = json.dumps({"code": UNCONFIRMED, "errors": []})
        marked = update(table).where(_among(connection, row.id, late), row.refused_at.is_(None))
        connection.execute(marked.values(refused_at=_moment(connection), problem=problem))
    first = {one.id: bool(one.is_first) for one in found if not one.is_late}
    chosen = _fitting([(one.id, one.octets) for one in found if not one.is_late], share.max_bytes)
    if not chosen:
        return RowClaim(rows=(), until=None, unconfirmed=len(late))
    taken = connection.execute(
        update(table)
        .where(_among(connection, row.id, chosen), row.refused_at.is_(None), row.due_at <= _moment(connection))
        .values(
            due_at=_moment(connection, share.lease),
            tries=row.tries + 1,
            first_tried_at=func.coalesce(row.first_tried_at, _moment(connection)),
        )
        .returning(row.id, row.body, row.tries, row.due_at)
    ).all()
    rows = [ClaimedRow(id=one.id, body=one.body, tries=one.tries, is_first=first[one.id]) for one in taken]
    rows.sort(key=lambda one: one.id)
    return RowClaim(rows=rows, until=taken[0].due_at if taken else None, unconfirmed=len(late))


def delete_rows(connection: Connection, ids: Sequence[UUID], table: Table = TABLE) -> set[UUID]:
    """Delete rows that the API has; those that this call deleted."""
    if not ids:
        return set()
    gone = delete(table).where(_among(connection, table.c.id, ids)).returning(table.c.id)
    return set(connection.execute(gone).scalars())


def mark_refused(
    connection: Connection, claim: RowClaim, problems: Sequence[tuple[UUID, str]], table: Table = TABLE
) -> int:
    """Mark rows as refused, unless the lease is lost: the next holder asks the API itself."""
    row = table.c
    marked = update(table).where(row.id == bindparam("refused"), row.due_at == claim.until, row.refused_at.is_(None))
    values = {"refused_at": _moment(connection), "problem": bindparam("why")}
    return sum(
        connection.execute(marked.values(values), {"refused": id_, "why": problem}).rowcount
        for id_, problem in problems
    )


def return_rows(
    connection: Connection, claim: RowClaim, ids: Sequence[UUID], *, after: timedelta, table: Table = TABLE
) -> None:
    """End the lease of rows that may have reached the API, or spoiled the try; they are due again `after` that."""
    row = table.c
    mine = update(table).where(_among(connection, row.id, ids), row.due_at == claim.until, row.refused_at.is_(None))
    connection.execute(mine.values(due_at=_moment(connection, after)))


def return_rows_untouched(
    connection: Connection, claim: RowClaim, ids: Sequence[UUID], *, reached: bool, table: Table = TABLE
) -> None:
    """End the lease of rows as if they had not been claimed; `reached` says that the API may have them all the same."""
    row = table.c
    mine = update(table).where(_among(connection, row.id, ids), row.due_at == claim.until, row.refused_at.is_(None))
    values: dict[str, Any] = {"due_at": _moment(connection), "tries": row.tries - 1}
    if not reached:
        first = [one.id for one in claim.rows if one.is_first]
        values["first_tried_at"] = case((_among(connection, row.id, first), null()), else_=row.first_tried_at)
    connection.execute(mine.values(values))


def count_backlog(connection: Connection, table: Table = TABLE) -> Backlog:
    """How many rows wait, since when, and how many were refused."""
    waits = table.c.refused_at.is_(None)
    counted = select(
        func.count().filter(waits).label("waiting"),
        func.count().filter(~waits).label("refused"),
        func.min(table.c.created_at).filter(waits).label("oldest"),
    ).select_from(table)
    one = connection.execute(counted).one()
    return Backlog(waiting=one.waiting, refused=one.refused, oldest=_utc(one.oldest) if one.oldest else None)


def list_refused(connection: Connection, *, limit: int = 100, table: Table = TABLE) -> list[RefusedRow]:
    """The rows that were refused, the latest first."""
    row = table.c
    found = (
        select(row.id, row.created_at, row.refused_at, row.problem, row.body)
        .where(row.refused_at.is_not(None))
        .order_by(row.refused_at.desc(), row.id)
        .limit(limit)
    )
    return [
        RefusedRow(
            id=one.id,
            created_at=_utc(one.created_at),
            refused_at=_utc(one.refused_at),
            problem=json.loads(one.problem),
            body=one.body,
        )
        for one in connection.execute(found)
    ]


def retry_refused(connection: Connection, ids: Sequence[UUID], table: Table = TABLE) -> int:
    """Let refused rows be tried again, as if for the first time; how many that are.

    For a row whose problem is `unconfirmed` this is the decision that a second mail is better than none.
    """
    freed = update(table).where(_among(connection, table.c.id, ids), table.c.refused_at.is_not(None))
    fresh = {"refused_at": None, "problem": None, "first_tried_at": None, "tries": 0, "due_at": _moment(connection)}
    return connection.execute(freed.values(fresh)).rowcount


def _fitting(sizes: Sequence[tuple[UUID, int]], octets: int) -> list[UUID]:
    """The first ones that have no more than `octets` together, and at least one."""
    total, chosen = 0, list[UUID]()
    for id_, size in sizes:
        total += size
        if chosen and total > octets:
            break
        chosen.append(id_)
    return chosen


def _moment(connection: Connection, after: timedelta = timedelta(0)) -> ColumnElement[datetime]:
    """A time from now by the clock that all forwarders share: the server's, or the host's."""
    if connection.dialect.name == "sqlite":
        return literal(datetime.now(UTC).replace(tzinfo=None) + after, DateTime())
    return cast(func.now() + after, DateTime(timezone=True))


def _octets(connection: Connection, text: ColumnElement[str]) -> ColumnElement[int]:
    if connection.dialect.name == "sqlite":
        return func.length(cast(text, LargeBinary))
    return func.octet_length(text)


def _among(connection: Connection, column: ColumnElement[UUID], ids: Sequence[UUID]) -> ColumnElement[bool]:
    """One of these; on PostgreSQL an array, so that the statement is the same for any number."""
    if connection.dialect.name == "sqlite":
        return column.in_(ids)
    return column == any_(literal(list(ids), ARRAY(Uuid())))


def _utc(time: datetime) -> datetime:
    """The time with its zone, which SQLite does not keep."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
