"""The audit of one request: routes that change something depend on it.

If such a route answers and neither wrote a record nor said that nothing changed, the answer is 500, so that no test of
the route can pass. tests/guards/test_audited.py finds the routes that do not depend on it.
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
"""Timeout of the transaction that records a view; the driver needs two seconds more to leave a hanging server."""


class NothingSaidError(RuntimeError):
    """A route neither wrote an audit record nor said that it changed nothing."""


class Recorder:
    """The audit of one request."""

    def __init__(self, request: Request, doors: Doors) -> None:
        self._request_id = request_id(request)
        self._doors = doors
        self._doers: list[Doer] = []
        self._changed_nothing = False

    async def __call__(self, connection: AsyncConnection, caller: Keyholder, deed: Deed) -> None:
        """Write a record in the transaction of the change."""
        await audit.record(connection, deed, self.doer(caller))

    def doer(self, caller: Keyholder) -> Doer:
        """Get the actor for an operation, which writes its own record."""
        doer = Doer(actor=caller.actor, at=self._doors.clock.now(), request_id=self._request_id)
        self._doers.append(doer)
        return doer

    @property
    def told(self) -> bool:
        """Whether a record was written, or an operation said that nothing changed."""
        return self._changed_nothing or any(doer.has_answered for doer in self._doers)

    async def all(self, connection: AsyncConnection, caller: Keyholder, deeds: Iterable[Deed]) -> None:
        """Write a record for each change of the request, which may be none."""
        self.nothing()
        for deed in deeds:
            await self(connection, caller, deed)

    async def seen(self, caller: Keyholder, deed: Deed) -> None:
        """Record a view in a transaction of its own, which is committed before anything is shown."""
        with unavailable_as_such():
            async with asyncio.timeout(VIEW_SECONDS), self._doors.database.write() as connection:
                await self(connection, caller, deed)

    def nothing(self) -> None:
        """Say that the request was fine and changed nothing, such as a second cancel."""
        self._changed_nothing = True


async def recorder(request: Request) -> AsyncIterator[Recorder]:
    """The audit of a request; raises `NothingSaidError` if the route answers without having reported to it."""
    request_audit = Recorder(request, doors_of(request))
    yield request_audit
    if not request_audit.told:
        raise NothingSaidError(f"{request.method} {request.scope['route'].path}")


# It ends with the route's function, before the answer is sent.
Audited = Annotated[Recorder, Depends(recorder, scope="function")]


def asks(dependant: Any) -> bool:
    """Whether a route depends on the audit, directly or through another dependency."""
    return dependant.call is recorder or any(asks(dependency) for dependency in dependant.dependencies)
