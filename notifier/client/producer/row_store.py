"""The table `notifier_producer` in the caller's own database, and its SQL in the order of a row's life.

A row is a mail that is not confirmed yet. A writer, in any language, has to set `id` and `body` only. No function here
commits. A claim is a lease that ends by itself. Its end, in `due_at`, is the fence of every later write but the
deletion: a row that the API has can be deleted by any forwarder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Update,
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
    text,
    update,
)

TABLE_NAME = "notifier_producer"
UNCONFIRMED = "unconfirmed"
"""The problem code of a row that the API may have and that can no longer be repeated safely."""


def define_table(metadata: MetaData) -> Table:
    """Define the table in your metadata, so that your migrations create it."""
    now = func.current_timestamp()
    refused_at = Column("refused_at", DateTime(timezone=True))
    definition = Table(
        TABLE_NAME,
        metadata,
        Column("id", Uuid, primary_key=True),  # also the idempotency key
        Column("body", Text, nullable=False),  # one notification, as JSON
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("due_at", DateTime(timezone=True), nullable=False, server_default=now),  # next try, or end of the lease
        Column("tries", Integer, nullable=False, server_default=text("0")),  # failures that may be this row's fault
        Column("first_tried_at", DateTime(timezone=True)),  # since when the API may have it
        refused_at,
        Column("problem", Text),  # why it was refused, as JSON
    )
    is_waiting = refused_at.is_(None)
    columns = (definition.c.due_at, definition.c.id)
    Index(f"{TABLE_NAME}_due", *columns, postgresql_where=is_waiting, sqlite_where=is_waiting)
    return definition


metadata = MetaData()
"""Metadata with this table only, for `metadata.create_all(engine)`."""

TABLE = define_table(metadata)


@dataclass(frozen=True, kw_only=True)
class ClaimSize:
    """How much to claim, and for how long."""

    max_rows: int  # at most
    max_bytes: int  # of all bodies; a single row may be larger
    lease: timedelta  # then another forwarder may claim the rows
    key_lifetime: timedelta  # after the first attempt; a later repetition could make a second mail


@dataclass(frozen=True, kw_only=True)
class ClaimedRow:
    """A claimed row."""

    id: UUID
    body: str  # JSON, unless its writer made a mistake
    tries: int  # including this one
    is_first: bool  # it was never tried before


@dataclass(frozen=True, kw_only=True)
class RowClaim:
    """Rows under one lease."""

    rows: Sequence[ClaimedRow]
    until: datetime | None  # the end of the lease; None without rows
    unconfirmed: int = 0  # rows that were too old and are now marked


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The state of the table."""

    waiting: int
    refused: int
    oldest: datetime | None  # when the oldest waiting row was written


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """A row that the API refused, or that may or may not have arrived there."""

    id: UUID
    created_at: datetime
    refused_at: datetime
    problem: dict[str, Any]  # `code`, and `errors` with `pointer`, `code`, `detail`
    body: str


def claim_rows(connection: Connection, share: ClaimSize, table: Table = TABLE) -> RowClaim:
    """Claim the rows that have been due longest; rows of other forwarders are skipped."""
    row = table.c
    due = (
        select(
            row.id,
            _count_bytes(connection, row.body).label("size"),
            row.first_tried_at.is_(None).label("is_first"),
            func.coalesce(row.first_tried_at <= _time_from_now(connection, -share.key_lifetime), False).label(
                "is_late"
            ),
        )
        .where(row.refused_at.is_(None), row.due_at <= _time_from_now(connection))
        .order_by(row.due_at, row.id)
        .limit(share.max_rows)
        .with_for_update(skip_locked=True)  # SQLAlchemy leaves it out on SQLite, where one forwarder runs
    )
    candidates = connection.execute(due).all()
    late = [candidate.id for candidate in candidates if candidate.is_late]
    if late:
        problem = json.dumps({"code": UNCONFIRMED, "errors": []})
        mark = update(table).where(_is_in(connection, row.id, late), row.refused_at.is_(None))
        connection.execute(mark.values(refused_at=_time_from_now(connection), problem=problem))
    claimable = [candidate for candidate in candidates if not candidate.is_late]
    first = {candidate.id: bool(candidate.is_first) for candidate in claimable}
    chosen = _limit_size([(candidate.id, candidate.size) for candidate in claimable], share.max_bytes)
    if not chosen:
        return RowClaim(rows=(), until=None, unconfirmed=len(late))
    claimed = connection.execute(
        update(table)
        .where(_is_in(connection, row.id, chosen), row.refused_at.is_(None), row.due_at <= _time_from_now(connection))
        .values(
            due_at=_time_from_now(connection, share.lease),
            tries=row.tries + 1,
            first_tried_at=func.coalesce(row.first_tried_at, _time_from_now(connection)),
        )
        .returning(row.id, row.body, row.tries, row.due_at)
    ).all()
    rows = [ClaimedRow(id=item.id, body=item.body, tries=item.tries, is_first=first[item.id]) for item in claimed]
    rows.sort(key=lambda item: item.id)
    return RowClaim(rows=rows, until=claimed[0].due_at if claimed else None, unconfirmed=len(late))


def delete_rows(connection: Connection, ids: Sequence[UUID], table: Table = TABLE) -> set[UUID]:
    """Delete rows that the API has. Returns the ids that this call deleted."""
    if not ids:
        return set()
    statement = delete(table).where(_is_in(connection, table.c.id, ids)).returning(table.c.id)
    return set(connection.execute(statement).scalars())


def mark_refused(
    connection: Connection, claim: RowClaim, problems: Sequence[tuple[UUID, str]], table: Table = TABLE
) -> int:
    """Mark rows as refused, unless the lease is lost: then the next forwarder sends them. Returns how many."""
    row = table.c
    statement = update(table).where(row.id == bindparam("refused"), row.due_at == claim.until, row.refused_at.is_(None))
    values = {"refused_at": _time_from_now(connection), "problem": bindparam("why")}
    return sum(
        connection.execute(statement.values(values), {"refused": id_, "why": problem}).rowcount
        for id_, problem in problems
    )


def return_rows(
    connection: Connection, claim: RowClaim, ids: Sequence[UUID], *, after: timedelta, table: Table = TABLE
) -> None:
    """End the lease of rows that may have reached the API or caused the failure; they are due again after `after`."""
    statement = _update_claimed(connection, claim, ids, table)
    connection.execute(statement.values(due_at=_time_from_now(connection, after)))


def return_rows_untouched(
    connection: Connection, claim: RowClaim, ids: Sequence[UUID], *, reached: bool, table: Table = TABLE
) -> None:
    """End the lease of rows as if they had not been claimed. `reached`: the API may have them already."""
    row = table.c
    values: dict[str, Any] = {"due_at": _time_from_now(connection), "tries": row.tries - 1}
    if not reached:
        first = [item.id for item in claim.rows if item.is_first]
        values["first_tried_at"] = case((_is_in(connection, row.id, first), null()), else_=row.first_tried_at)
    connection.execute(_update_claimed(connection, claim, ids, table).values(values))


def count_backlog(connection: Connection, table: Table = TABLE) -> Backlog:
    """Count the rows that wait and those that were refused."""
    is_waiting = table.c.refused_at.is_(None)
    statement = select(
        func.count().filter(is_waiting).label("waiting"),
        func.count().filter(~is_waiting).label("refused"),
        func.min(table.c.created_at).filter(is_waiting).label("oldest"),
    ).select_from(table)
    counts = connection.execute(statement).one()
    oldest = _to_utc(counts.oldest) if counts.oldest else None
    return Backlog(waiting=counts.waiting, refused=counts.refused, oldest=oldest)


def list_refused(connection: Connection, *, limit: int = 100, table: Table = TABLE) -> list[RefusedRow]:
    """List the refused rows, newest first."""
    row = table.c
    statement = (
        select(row.id, row.created_at, row.refused_at, row.problem, row.body)
        .where(row.refused_at.is_not(None))
        .order_by(row.refused_at.desc(), row.id)
        .limit(limit)
    )
    return [
        RefusedRow(
            id=item.id,
            created_at=_to_utc(item.created_at),
            refused_at=_to_utc(item.refused_at),
            problem=json.loads(item.problem),
            body=item.body,
        )
        for item in connection.execute(statement)
    ]


def retry_refused(connection: Connection, ids: Sequence[UUID], table: Table = TABLE) -> int:
    """Let refused rows be tried again, as if for the first time. Returns how many.

    For a row whose problem is `unconfirmed` this accepts that a second mail may be sent.
    """
    statement = update(table).where(_is_in(connection, table.c.id, ids), table.c.refused_at.is_not(None))
    fresh = {
        "refused_at": None,
        "problem": None,
        "first_tried_at": None,
        "tries": 0,
        "due_at": _time_from_now(connection),
    }
    return connection.execute(statement.values(fresh)).rowcount


def _update_claimed(connection: Connection, claim: RowClaim, ids: Sequence[UUID], table: Table) -> Update:
    """The UPDATE of rows whose lease is still that of the claim."""
    row = table.c
    return update(table).where(_is_in(connection, row.id, ids), row.due_at == claim.until, row.refused_at.is_(None))


def _limit_size(sizes: Sequence[tuple[UUID, int]], max_bytes: int) -> list[UUID]:
    """The first rows with at most this many bytes together, but at least one row."""
    total, chosen = 0, list[UUID]()
    for id_, size in sizes:
        total += size
        if chosen and total > max_bytes:
            break
        chosen.append(id_)
    return chosen


def _time_from_now(connection: Connection, after: timedelta = timedelta(0)) -> ColumnElement[datetime]:
    """A time relative to now, by the clock that all forwarders share: that of the database server or the host."""
    if connection.dialect.name == "sqlite":
        return literal(datetime.now(UTC).replace(tzinfo=None) + after, DateTime())
    return cast(func.now() + after, DateTime(timezone=True))


def _count_bytes(connection: Connection, column: ColumnElement[str]) -> ColumnElement[int]:
    if connection.dialect.name == "sqlite":
        return func.length(cast(column, LargeBinary))
    return func.octet_length(column)


def _is_in(connection: Connection, column: ColumnElement[UUID], ids: Sequence[UUID]) -> ColumnElement[bool]:
    """The condition that the id is one of these; on PostgreSQL an array, so that any number has the same statement."""
    if connection.dialect.name == "sqlite":
        return column.in_(ids)
    return column == any_(literal(list(ids), ARRAY(Uuid())))


def _to_utc(time: datetime) -> datetime:
    """Add the time zone, which SQLite does not store."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
