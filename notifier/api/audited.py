"""What a route that changes something asks for: the audit, bound to its request.

A route that asked and then answered without a word about its deed is a fault of ours and ends in 500, so that no test
of the route can pass; tests/guards/test_audited.py finds the routes that do not ask.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.api.doors import Doors, doors_of
from notifier.api.problems import request_id
from notifier.audit import Deed, Doer
from notifier.auth.keys import Keyholder
from notifier.db.unavailable import unavailable_as_such

VIEW_SECONDS = 2.5
"""Longest transaction of a deed that only looks; the driver takes two more to let go of a server that hangs."""


class NothingSaidError(RuntimeError):
    """A route changed something, or nothing, and did not tell the audit which."""


class Recorder:
    """The audit as one request sees it."""

    def __init__(self, request: Request, doors: Doors) -> None:
        self._request_id = request_id(request)
        self._doors = doors
        self._doers: list[Doer] = []
        self._changed_nothing = False

    async def __call__(self, connection: AsyncConnection, caller: Keyholder, deed: Deed) -> None:
        """Write down what the caller did, in the transaction in which it is done."""
        await audit.record(connection, deed, self.doer(caller))

    def doer(self, caller: Keyholder) -> Doer:
        """The caller as operations take it: they write their own audit record."""
        doer = Doer(actor=caller.actor, at=self._doors.clock.now(), request_id=self._request_id)
        self._doers.append(doer)
        return doer

    @property
    def told(self) -> bool:
        """True once an audit record was written, or an operation said that it changed nothing."""
        return self._changed_nothing or any(doer.has_answered for doer in self._doers)

    async def all(self, connection: AsyncConnection, caller: Keyholder, deeds: Iterable[Deed]) -> None:
        """The same for all that one request has done, which may be nothing."""
        self.nothing()
        for deed in deeds:
            await self(connection, caller, deed)

    async def seen(self, caller: Keyholder, deed: Deed) -> None:
        """The same for who only looks: in a transaction of its own, over before anything is shown."""
        with unavailable_as_such():
            async with asyncio.timeout(VIEW_SECONDS), self._doors.database.write() as connection:
                await self(connection, caller, deed)

    def nothing(self) -> None:
        """The request was fine and changed nothing, such as a second cancel."""
        self._changed_nothing = True


async def recorder(request: Request) -> AsyncIterator[Recorder]:
    """The audit for one request; raises `NothingSaidError` if the route answers and has not told it anything."""
    made = Recorder(request, doors_of(request))
    yield made
    if not made.told:
        raise NothingSaidError(f"{request.method} {request.scope['route'].path}")


# At the end of the function and not of the request: until then nothing is answered.
Audited = Annotated[Recorder, Depends(recorder, scope="function")]


def asks(dependant: Any) -> bool:
    """True if a route, or what it depends on, asks for the audit."""
    return dependant.call is recorder or any(asks(one) for one in dependant.dependencies)
