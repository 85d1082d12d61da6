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
from notifier.api.dependencies import ApiDependencies, get_dependencies
from notifier.api.errors.problem_responses import get_request_id
from notifier.audit import Actor, AuditRecord
from notifier.auth.authenticated_key import AuthenticatedKey
from notifier.db.unavailability import convert_database_errors

MAX_VIEW_SECONDS = 2.5
"""Longest transaction of a deed that only looks; the driver takes two more to let go of a server that hangs."""


class MissingAuditRecordError(RuntimeError):
    """A route changed something, or nothing, and did not tell the audit which."""


class RequestAudit:
    """The audit as one request sees it."""

    def __init__(self, request: Request, doors: ApiDependencies) -> None:
        self._request_id = get_request_id(request)
        self._doors = doors
        self._doers: list[Actor] = []
        self._changed_nothing = False

    async def __call__(self, connection: AsyncConnection, caller: AuthenticatedKey, deed: AuditRecord) -> None:
        """Write down what the caller did, in the transaction in which it is done."""
        await audit.write_audit_record(connection, deed, self.get_actor(caller))

    def get_actor(self, caller: AuthenticatedKey) -> Actor:
        """The caller as operations take it: they write their own audit record."""
        doer = Actor(name=caller.actor_name, at=self._doors.clock.now(), request_id=self._request_id)
        self._doers.append(doer)
        return doer

    @property
    def has_answered(self) -> bool:
        """True once an audit record was written, or an operation said that it changed nothing."""
        return self._changed_nothing or any(doer.has_answered for doer in self._doers)

    async def record_all(
        self, connection: AsyncConnection, caller: AuthenticatedKey, deeds: Iterable[AuditRecord]
    ) -> None:
        """The same for all that one request has done, which may be nothing."""
        self.record_no_change()
        for deed in deeds:
            await self(connection, caller, deed)

    async def record_view(self, caller: AuthenticatedKey, deed: AuditRecord) -> None:
        """The same for who only looks: in a transaction of its own, over before anything is shown."""
        with convert_database_errors():
            async with asyncio.timeout(MAX_VIEW_SECONDS), self._doors.database.write() as connection:
                await self(connection, caller, deed)

    def record_no_change(self) -> None:
        """The request was fine and changed nothing, such as a second cancel."""
        self._changed_nothing = True


async def get_request_audit(request: Request) -> AsyncIterator[RequestAudit]:
    """The audit for one request; raises `NothingSaidError` if the route answers and has not told it anything."""
    made = RequestAudit(request, get_dependencies(request))
    yield made
    if not made.has_answered:
        raise MissingAuditRecordError(f"{request.method} {request.scope['route'].path}")


# At the end of the function and not of the request: until then nothing is answered.
AuditDependency = Annotated[RequestAudit, Depends(get_request_audit, scope="function")]


def requires_audit(dependant: Any) -> bool:
    """True if a route, or what it depends on, asks for the audit."""
    return dependant.call is get_request_audit or any(requires_audit(one) for one in dependant.dependencies)
