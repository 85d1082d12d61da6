"""Writing a mail into the caller's own database, in the caller's own transaction.

It is sent if that transaction commits, and never if it does not. Nothing here commits, and no network is touched.
"""

import contextlib
from typing import Any, Unpack
from uuid import UUID

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from notifier.client.producer.row_body import build_row_body
from notifier.client.producer.row_table import TABLE, generate_row_id
from notifier.client.request_fields import Mail

Transaction = Session | Connection | scoped_session[Session]
AsyncTransaction = AsyncSession | AsyncConnection | async_scoped_session[AsyncSession]
_ASYNC = (AsyncSession, AsyncConnection, async_scoped_session)


def enqueue(session: Transaction, *, into: Table = TABLE, **mail: Unpack[Mail]) -> UUID:
    """Write a mail with what the session writes; its id, which is also its idempotency key.

    The fields are those of `Notifier.send`. Raises `UnsendableError` before anything is written.
    """
    if isinstance(session, _ASYNC):
        raise TypeError("this session is asynchronous: await enqueue_async(…)")
    id_, row = _row(into, mail)
    with _unflushed(session):
        session.execute(row)
    return id_


async def enqueue_async(session: AsyncTransaction, *, into: Table = TABLE, **mail: Unpack[Mail]) -> UUID:
    """The same with an asynchronous session."""
    if not isinstance(session, _ASYNC):
        raise TypeError("this session is not asynchronous: call enqueue(…)")
    id_, row = _row(into, mail)
    with _unflushed(session):
        await session.execute(row)
    return id_


def _unflushed(session: Transaction | AsyncTransaction) -> contextlib.AbstractContextManager[object]:
    """What else the session holds goes to the database when its owner wants it to, perhaps incomplete until then."""
    if isinstance(session, Connection | AsyncConnection):
        return contextlib.nullcontext()
    return session.no_autoflush


def _row(into: Table, mail: Any) -> tuple[UUID, Insert]:
    body = build_row_body(mail)
    id_ = generate_row_id()
    return id_, into.insert().values(id=id_, body=body)
