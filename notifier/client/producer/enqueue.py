"""Writes a mail into the caller's own database, in the caller's own transaction.

The mail is sent if that transaction commits, and never otherwise. Nothing here commits or uses the network. A mail is
checked as far as possible without the API, so that a wrong call raises at once.
"""

import contextlib
from typing import Any, Unpack
from uuid import UUID

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from notifier.client.producer.row_store import TABLE
from notifier.client.producer_row import build_row_body, generate_row_id
from notifier.client.request_fields import Mail

Transaction = Session | Connection | scoped_session[Session]
AsyncTransaction = AsyncSession | AsyncConnection | async_scoped_session[AsyncSession]
_ASYNC = (AsyncSession, AsyncConnection, async_scoped_session)


def enqueue(session: Transaction, *, into: Table = TABLE, **mail: Unpack[Mail]) -> UUID:
    """Write a mail in the transaction of the session. Returns its id, which is also its idempotency key.

    The fields are those of `Notifier.send`. Raises `UnsendableError` before anything is written.
    """
    if isinstance(session, _ASYNC):
        raise TypeError("this session is asynchronous: await enqueue_async(…)")
    id_, row = _build_row(into, mail)
    with _without_flush(session):
        session.execute(row)
    return id_


async def enqueue_async(session: AsyncTransaction, *, into: Table = TABLE, **mail: Unpack[Mail]) -> UUID:
    """Like `enqueue`, with an asynchronous session."""
    if not isinstance(session, _ASYNC):
        raise TypeError("this session is not asynchronous: call enqueue(…)")
    id_, row = _build_row(into, mail)
    with _without_flush(session):
        await session.execute(row)
    return id_


def _without_flush(session: Transaction | AsyncTransaction) -> contextlib.AbstractContextManager[object]:
    """Do not flush the other objects of the session: they may still be incomplete."""
    if isinstance(session, Connection | AsyncConnection):
        return contextlib.nullcontext()
    return session.no_autoflush


def _build_row(into: Table, mail: Any) -> tuple[UUID, Insert]:
    id_ = generate_row_id()
    return id_, into.insert().values(id=id_, body=build_row_body(mail))
