"""Answers to many questions by few queries: one query runs at a time, and the next asks all that came meanwhile.

However many strangers try keys, recognising them takes one connection of the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

MAX_LOOKUPS_IN_A_QUERY = 500
"""Keys that one query looks up; more wait for the next query."""

Value = TypeVar("Value")


class LookupQueue(Generic[Value]):
    """Look names up by `read`, which is given many and returns those that there are."""

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, Value]]]) -> None:
        self._read = read
        self._waiting: dict[str, asyncio.Future[Value | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def look_up(self, name: str) -> Value | None:
        """What there is under the name; None: nothing. Raises what the query raised."""
        answer = self._waiting.get(name)
        if answer is None:
            answer = self._waiting[name] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._answer_all())
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        while self._waiting:
            taken = dict(islice(self._waiting.items(), MAX_LOOKUPS_IN_A_QUERY))
            for name in taken:
                del self._waiting[name]
            try:
                found = await self._read(list(taken))
            except Exception as error:  # noqa: BLE001 - raised where it was asked
                for answer in taken.values():
                    answer.set_exception(error)
            else:
                for name, answer in taken.items():
                    answer.set_result(found.get(name))
