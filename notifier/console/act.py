"""What people do with the console: each act is an operation of the API, with its scope and its audit record."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from notifier.audit import Actor
from notifier.auth.authenticated_key import KeyScope
from notifier.console.context import get_console
from notifier.console.page import require_member
from notifier.console.session_gate import Endpoint
from notifier.db.timed_change import open_timed_change
from notifier.telemetry.request_observer import get_request_id

FIRST_ERROR_STATUS = 400


class TwinOperation(NamedTuple):
    """The operation of the API that an act is the twin of."""

    operation_id: str | None  # None: the act is on one's own account, which no key has
    scope: KeyScope | None


class UnrecordedActError(RuntimeError):
    """An act neither wrote an audit record nor reported that it changed nothing."""


def act(operation_id: str, scope: KeyScope) -> Callable[[Endpoint], Endpoint]:
    """Declare the handler of a form: the operation of the API that is its twin, and the scope that it needs.

    The person must have the scope. If the handler succeeds, its actor must have reported to the audit.
    """
    return _declare_act(TwinOperation(operation_id, scope))


def account_act(endpoint: Endpoint) -> Endpoint:
    """Declare the handler of a form about one's own account. It has no twin, because keys have no account.

    Some of what it calls writes its audit records by itself.
    """
    return _declare_act(TwinOperation(None, None))(endpoint)


def find_twin(endpoint: object) -> TwinOperation | None:
    """Find the twin of a handler; None if it is not declared as an act."""
    return getattr(endpoint, "twin", None)


def get_actor(request: Request) -> Actor:
    """Get the actor for an operation, which writes the audit record."""
    return create_actor(request, request.state.session.member.actor_name)


def create_actor(request: Request, name: str) -> Actor:
    """Create the actor of this request under a name, for acts of people who are not signed in yet."""
    actor = Actor(name=name, at=get_console(request).clock.now(), request_id=get_request_id(request))
    if not hasattr(request.state, "actors"):
        request.state.actors = []
    request.state.actors.append(actor)
    return actor


@asynccontextmanager
async def open_change(request: Request) -> AsyncIterator[AsyncConnection]:
    """Open a transaction with a time limit; after its commit, wake the sender of this process."""
    console = get_console(request)
    async with open_timed_change(console.database) as connection:
        yield connection
    console.wake_sender()


def _declare_act(twin: TwinOperation) -> Callable[[Endpoint], Endpoint]:
    def declare(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def run_act(request: Request) -> Response:
            if twin.scope is not None:
                (await require_member(request)).member.require_scope(twin.scope)
            response = await endpoint(request)
            actors = getattr(request.state, "actors", ())
            has_answered = twin.operation_id is None or any(actor.has_answered for actor in actors)
            if response.status_code < FIRST_ERROR_STATUS and not has_answered:
                raise UnrecordedActError(f"{request.method} {endpoint.__name__}")
            return response

        run_act.twin = twin  # type: ignore[attr-defined]
        return run_act

    return declare
