"""Enqueueing in the caller's own transaction, with each kind of session: the mail commits or rolls back with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session, sessionmaker
from support.producer.caller_database import MAIL, METADATA, ORDERS, PRODUCER, CallerDatabase

from notifier.client import producer
from notifier.client.producer import UnsendableError, enqueue, enqueue_async

Enqueue = Callable[..., Awaitable[UUID]]


class Base(DeclarativeBase):
    """The base class of the caller's models."""

    metadata = METADATA


class Order(Base):
    """A row of the caller, mapped by the ORM."""

    __table__ = ORDERS


@pytest.fixture
async def caller(caller_url: str) -> AsyncIterator[CallerDatabase]:
    """A caller whose SQLite begins transactions explicitly, as SQLAlchemy's documentation requires for savepoints."""
    database = CallerDatabase(caller_url)
    if "sqlite" in caller_url:
        _begin_explicitly(database.engine.sync_engine if isinstance(database.engine, AsyncEngine) else database.engine)
    await database.create()
    yield database
    await database.close()


def _begin_explicitly(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


@asynccontextmanager
async def _connection(caller: CallerDatabase) -> AsyncIterator[tuple[Any, Enqueue]]:
    if isinstance(caller.engine, AsyncEngine):
        async with caller.engine.connect() as connection:
            yield connection, enqueue_async
    else:
        with caller.engine.connect() as connection:
            yield connection, _awaitable(enqueue)


@asynccontextmanager
async def _session(caller: CallerDatabase) -> AsyncIterator[tuple[Any, Enqueue]]:
    if isinstance(caller.engine, AsyncEngine):
        async with async_sessionmaker(caller.engine)() as session:
            yield session, enqueue_async
    else:
        with sessionmaker(caller.engine)() as session:
            yield session, _awaitable(enqueue)


def _awaitable(function: Callable[..., UUID]) -> Enqueue:
    async def call(*arguments: Any, **fields: Any) -> UUID:
        return function(*arguments, **fields)

    return call


async def _done(result: Any) -> None:
    if hasattr(result, "__await__"):
        await result


WAYS = pytest.mark.parametrize("way", [_connection, _session])


@WAYS
async def test_committed_it_is_there_rolled_back_it_never_was(caller: CallerDatabase, way: Any) -> None:
    """A committed mail exists, a rolled-back mail does not; enqueueing does not commit by itself."""
    async with way(caller) as (session, put):
        await put(session, **MAIL)
        await _done(session.rollback())
        id_ = await put(session, **MAIL)
        await _done(session.commit())
        await put(session, **MAIL)
    rows = await caller.rows()
    assert list(rows) == [id_]
    assert rows[id_].body == (
        '{"to":"ada@example.com","template":"welcome","variables":{"name":"Ada","product":"Larkspur"}}'
    )


@WAYS
async def test_a_savepoint_that_is_rolled_back_takes_its_mail_with_it(caller: CallerDatabase, way: Any) -> None:
    """Rolling back a savepoint removes only the mails that were enqueued inside it."""
    async with way(caller) as (session, put):
        before = await put(session, **MAIL)
        savepoint = session.begin_nested()
        savepoint = await savepoint if hasattr(savepoint, "__await__") else savepoint
        await put(session, **MAIL)
        await _done(savepoint.rollback())
        savepoint = session.begin_nested()
        savepoint = await savepoint if hasattr(savepoint, "__await__") else savepoint
        inside = await put(session, **MAIL)
        await _done(savepoint.commit())
        after = await put(session, **MAIL)
        await _done(session.commit())
    assert set(await caller.rows()) == {before, inside, after}


async def test_a_savepoint_that_is_all_of_a_transaction(caller: CallerDatabase) -> None:
    """Rolling back the outer transaction also removes the mail of a released savepoint."""
    async with _connection(caller) as (connection, put):
        outer = connection.begin()
        outer = await outer if hasattr(outer, "__await__") else outer
        savepoint = connection.begin_nested()
        savepoint = await savepoint if hasattr(savepoint, "__await__") else savepoint
        await put(connection, **MAIL)
        await _done(savepoint.commit())
        await _done(outer.rollback())
    assert await caller.rows() == {}


@WAYS
async def test_a_bad_call_leaves_the_transaction_as_it_was(caller: CallerDatabase, way: Any) -> None:
    """A bad call raises in the caller's code before any statement reaches the database."""
    async with way(caller) as (session, put):
        id_ = await put(session, **MAIL)
        with pytest.raises(UnsendableError):
            await put(session, **MAIL | {"variables": {"price": object()}})
        with pytest.raises(TypeError, match="recipient"):
            await put(session, **MAIL, recipient="x@example.com")
        await _done(session.commit())
    assert list(await caller.rows()) == [id_]


async def test_what_the_session_holds_is_not_flushed(caller: CallerDatabase) -> None:
    """Enqueueing does not flush an incomplete order; the commit writes both the order and the mail."""
    async with _session(caller) as (session, put):
        order: Any = Order(number=1)
        session.add(order)
        order.mail = await put(session, **MAIL)
        assert order in session.new
        await _done(session.commit())
    mails = await caller.do(lambda connection: connection.execute(select(ORDERS.c.mail)).scalars().all())
    assert mails == list(await caller.rows())


async def test_the_wrong_kind_of_session_is_refused_at_once(caller: CallerDatabase) -> None:
    """A session of the wrong kind raises at once; otherwise a coroutine that nobody awaits would lose the mail."""
    async with _session(caller) as (session, _):
        if isinstance(session, AsyncSession):
            with pytest.raises(TypeError, match="await enqueue_async"):
                enqueue(session, **MAIL)  # type: ignore[arg-type]
        else:
            with pytest.raises(TypeError, match="call enqueue"):
                await enqueue_async(session, **MAIL)
    async with _connection(caller) as (connection, _):
        if isinstance(connection, AsyncConnection):
            with pytest.raises(TypeError, match="await enqueue_async"):
                enqueue(connection, **MAIL)  # type: ignore[arg-type]


def test_scoped_sessions() -> None:
    """`scoped_session` works like a session."""
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    scoped = scoped_session(sessionmaker(engine))
    id_ = enqueue(scoped, **MAIL)
    scoped.commit()
    assert scoped.execute(select(PRODUCER.c.id)).scalars().all() == [id_]
    scoped.remove()
    engine.dispose()


async def test_in_a_synchronous_function_of_an_asynchronous_session(caller: CallerDatabase) -> None:
    """`run_sync` passes a plain session, on either driver, and `enqueue` accepts it."""
    if isinstance(caller.engine, AsyncEngine):
        async with AsyncSession(caller.engine) as session:
            id_ = await session.run_sync(lambda plain: enqueue(plain, **MAIL))
            await session.commit()
    else:
        with Session(caller.engine) as plain:
            id_ = enqueue(plain, **MAIL)
            plain.commit()
    assert list(await caller.rows()) == [id_]
    assert (await caller.backlog()).waiting == 1
    assert producer.metadata.tables.keys() == {"notifier_producer"}
