"""Counts how many connections and statements of a database are in use at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from notifier.db.engine import Database


@dataclass
class ConnectionLoad:
    """The connections and statements that were in use at the same time."""

    statements: list[str] = field(default_factory=list)
    out: int = 0  # connections that are checked out now
    most_out: int = 0


@contextmanager
def measure_load(database: Database) -> Iterator[ConnectionLoad]:
    """Count the connections and statements of callers; readiness and metrics are not counted."""
    load = ConnectionLoad()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        load.statements.append(statement)

    def take(*_: Any) -> None:
        load.out += 1
        load.most_out = max(load.most_out, load.out)

    def give_back(*_: Any) -> None:
        load.out -= 1

    engines = [database._writer.sync_engine]
    if database.is_sqlite:
        engines.append(database._reader.sync_engine)
    listening: list[tuple[Any, str, Any]] = []
    for engine in engines:
        listening.append((engine, "before_cursor_execute", note))
        listening += [(engine.pool, "checkout", take), (engine.pool, "checkin", give_back)]
    if not database.is_sqlite:
        listening.append((database._direct._engine.sync_engine, "connect", take))
    for target, name, act in listening:
        event.listen(target, name, act)
    try:
        yield load
    finally:
        for target, name, act in listening:
            event.remove(target, name, act)
