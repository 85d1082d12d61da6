"""The audit of one request: routes that change something depend on it.

If such a route answers and neither wrote a record nor said that nothing changed, the answer is 500, so that no test of
the route can pass. tests/guards/test_audited.py finds the routes that do not depend on it.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request

from notifier.api.dependencies import get_dependencies
from notifier.api.errors.problem_responses import get_request_id
from notifier.audit import Actor
from notifier.auth.authenticated_key import AuthenticatedKey
from notifier.clock import Clock


class MissingAuditRecordError(RuntimeError):
    """A route neither wrote an audit record nor said that it changed nothing."""


class RequestAudit:
    """The actors of one request, and whether their operations reported to the audit."""

    def __init__(self, request_id: str, clock: Clock) -> None:
        self._request_id = request_id
        self._clock = clock
        self._actors: list[Actor] = []
        self._changed_nothing = False

    def get_actor(self, key: AuthenticatedKey) -> Actor:
        """Get the actor for an operation, which writes its own record."""
        actor = Actor(name=key.actor_name, at=self._clock.now(), request_id=self._request_id)
        self._actors.append(actor)
        return actor

    def record_no_change(self) -> None:
        """Say that the route changes nothing, such as a preview."""
        self._changed_nothing = True

    @property
    def has_answered(self) -> bool:
        """Whether a record was written, or an operation said that nothing changed."""
        return self._changed_nothing or any(actor.has_answered for actor in self._actors)


async def get_request_audit(request: Request) -> AsyncIterator[RequestAudit]:
    """Yield the audit of a request; raises `MissingAuditRecordError` if the route answers without a report to it."""
    request_audit = RequestAudit(get_request_id(request), get_dependencies(request).clock)
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
