"""Combines many lookups into few queries: one query runs at a time, and the next has all names that came meanwhile.

So authentication uses one database connection, however many unknown keys are tried.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

MAX_LOOKUPS_IN_A_QUERY = 500
"""Keys that one query looks up; more wait for the next query."""

Value = TypeVar("Value")


class LookupQueue(Generic[Value]):
    """Looks names up with `read`, which takes many names and returns the values of those that exist."""

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, Value]]]) -> None:
        self._read = read
        self._waiting: dict[str, asyncio.Future[Value | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def look_up(self, name: str) -> Value | None:
        """Look up the value of a name; None if there is none. Raises what the query raised."""
        answer = self._waiting.get(name)
        if answer is None:
            answer = self._waiting[name] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._answer_all())
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        while self._waiting:
            batch = dict(islice(self._waiting.items(), MAX_LOOKUPS_IN_A_QUERY))
            for name in batch:
                del self._waiting[name]
            try:
                values = await self._read(list(batch))
            except Exception as error:  # noqa: BLE001 - raised by `look_up`
                for answer in batch.values():
                    answer.set_exception(error)
            else:
                for name, answer in batch.items():
                    answer.set_result(values.get(name))
