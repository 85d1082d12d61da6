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
from notifier.api.dependencies import ApiDependencies, get_dependencies
from notifier.api.errors.problem_responses import get_request_id
from notifier.audit import Actor, AuditRecord
from notifier.auth.authenticated_key import AuthenticatedKey
from notifier.db.unavailability import convert_database_errors

MAX_VIEW_SECONDS = 2.5
"""Timeout of the transaction that records a view; the driver needs two seconds more to leave a hanging server."""


class MissingAuditRecordError(RuntimeError):
    """A route neither wrote an audit record nor said that it changed nothing."""


class RequestAudit:
    """The audit of one request."""

    def __init__(self, request: Request, doors: ApiDependencies) -> None:
        self._request_id = get_request_id(request)
        self._doors = doors
        self._doers: list[Actor] = []
        self._changed_nothing = False

    async def __call__(self, connection: AsyncConnection, caller: AuthenticatedKey, deed: AuditRecord) -> None:
        """Write a record in the transaction of the change."""
        await audit.write_audit_record(connection, deed, self.get_actor(caller))

    def get_actor(self, caller: AuthenticatedKey) -> Actor:
        """Get the actor for an operation, which writes its own record."""
        doer = Actor(name=caller.actor_name, at=self._doors.clock.now(), request_id=self._request_id)
        self._doers.append(doer)
        return doer

    @property
    def has_answered(self) -> bool:
        """Whether a record was written, or an operation said that nothing changed."""
        return self._changed_nothing or any(doer.has_answered for doer in self._doers)

    async def record_all(
        self, connection: AsyncConnection, caller: AuthenticatedKey, deeds: Iterable[AuditRecord]
    ) -> None:
        """Write a record for each change of the request, which may be none."""
        self.record_no_change()
        for deed in deeds:
            await self(connection, caller, deed)

    async def record_view(self, caller: AuthenticatedKey, deed: AuditRecord) -> None:
        """Record a view in a transaction of its own, which is committed before anything is shown."""
        with convert_database_errors():
            async with asyncio.timeout(MAX_VIEW_SECONDS), self._doors.database.write() as connection:
                await self(connection, caller, deed)

    def record_no_change(self) -> None:
        """Say that the request was fine and changed nothing, such as a second cancel."""
        self._changed_nothing = True


async def get_request_audit(request: Request) -> AsyncIterator[RequestAudit]:
    """The audit of a request; raises `NothingSaidError` if the route answers without having reported to it."""
    request_audit = RequestAudit(request, get_dependencies(request))
    yield request_audit
    if not request_audit.has_answered:
        raise MissingAuditRecordError(f"{request.method} {request.scope['route'].path}")


# It ends with the route's function, before the answer is sent.
AuditDependency = Annotated[RequestAudit, Depends(get_request_audit, scope="function")]


def requires_audit(dependant: Any) -> bool:
    """Whether a route depends on the audit, directly or through another dependency."""
    return dependant.call is get_request_audit or any(
        requires_audit(dependency) for dependency in dependant.dependencies
    )
