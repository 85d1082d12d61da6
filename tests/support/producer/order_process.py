"""A caller's process that takes orders with mails, in transactions that end in every possible way.

Run `order_process.py URL WAY`; WAY says how the first transaction ends. It prints what it has done, and then waits
to be killed. `stream` goes on until its input ends.
"""

import asyncio
import random
import sqlite3
import sys
import threading
from uuid import UUID

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from notifier.client import producer
from support.producer.caller_database import MAIL, ORDERS, create_caller_engine

WAYS = ("commit", "rollback", "savepoint", "crash before commit", "crash after commit")


def _begin_explicitly(engine: Engine) -> None:
    """Begin transactions as SQLAlchemy documents for savepoints on SQLite, and immediately for writers."""

    @event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _order(mail: UUID, note: str) -> dict[str, object]:
    return {"mail": mail, "note": note}


def _take(connection: Connection, way: str, name: str) -> None:
    """Run one transaction with synchronous calls."""
    with connection.begin() as transaction:
        if way == "savepoint":
            savepoint = connection.begin_nested()
            mail = producer.enqueue(connection, **MAIL | {"to": f"never-{name}@example.com"})
            connection.execute(ORDERS.insert(), _order(mail, "never"))
            savepoint.rollback()
        mail = producer.enqueue(connection, **MAIL | {"to": f"{name}@example.com"})
        connection.execute(ORDERS.insert(), _order(mail, way))
        if way == "rollback":
            transaction.rollback()
        if way == "crash before commit":
            _wait()
    if way == "crash after commit":
        _wait()


async def _take_async(connection: AsyncConnection, way: str, name: str) -> None:
    """Run one transaction with asynchronous calls."""
    async with connection.begin() as transaction:
        if way == "savepoint":
            savepoint = await connection.begin_nested()
            mail = await producer.enqueue_async(connection, **MAIL | {"to": f"never-{name}@example.com"})
            await connection.execute(ORDERS.insert(), _order(mail, "never"))
            await savepoint.rollback()
        mail = await producer.enqueue_async(connection, **MAIL | {"to": f"{name}@example.com"})
        await connection.execute(ORDERS.insert(), _order(mail, way))
        if way == "rollback":
            await transaction.rollback()
        if way == "crash before commit":
            _wait()
    if way == "crash after commit":
        _wait()


def _wait() -> None:
    _say("waiting")
    sys.stdin.read()


def _until_input_ends() -> threading.Event:
    ended = threading.Event()

    def read() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    return ended


async def _run(url: str, way: str) -> None:
    engine = create_caller_engine(url)
    if url.startswith("sqlite"):
        _begin_explicitly(engine.sync_engine if isinstance(engine, AsyncEngine) else engine)
    ended = _until_input_ends() if way == "stream" else None
    count = 0
    while True:
        ending = way if ended is None else random.choice(WAYS[:3])
        if isinstance(engine, AsyncEngine):
            async with engine.connect() as connection:
                await _take_async(connection, ending, f"order-{count}")
        else:
            with engine.connect() as plain:
                _take(plain, ending, f"order-{count}")
        count += 1
        if ended is None or ended.is_set():
            break
        await asyncio.sleep(0.002)  # a shop also does other work
        if count == 1:
            _say("open")
    _say("done")


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2]))
