"""`/v1/batches/{id}`: the progress of a batch, once or as a stream, and its cancellation."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from notifier.api import schema
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import Doors, TheDoors
from notifier.api.request import authenticated, id_of, recognised
from notifier.api.request_body import read_model_if_any
from notifier.auth.keys import Caller, InsufficientScopeError, UnauthenticatedError
from notifier.auth.scope import Scope
from notifier.errors import DatabaseUnavailableError
from notifier.notification import batch
from notifier.notification.batch import BatchView
from notifier.notification.batch_watch import MAX_WATCH_SECONDS
from notifier.sse import Event, EventStream, end_event
from notifier.states import Status

router = APIRouter(prefix="/v1/batches", tags=["batches"])


class BatchProgressOut(BaseModel):
    """The progress of a batch."""

    id: UUID
    created_at: datetime
    size: int = Field(description="How many notifications the request had.")
    accepted: int = Field(description="How many of them were written.")
    ended: int = Field(description="How many of those have ended.")
    progress: int = Field(ge=0, le=100, description="The share of the accepted ones that has ended, in percent.")
    statuses: dict[Status, int] = Field(description="How many have each status.")
    cancelled_at: datetime | None = Field(description="When it was cancelled: from then on no mail of it is begun.")
    cancelling: bool = Field(description="Some of its mails are stopped, but do not have the status `cancelled` yet.")


class BatchCancelledOut(BatchProgressOut):
    """The progress of a batch when the rest of it was cancelled."""

    cancelled: int = Field(
        description="How many mails, including copies, this request cancelled. While the batch is `cancelling`, a "
        "sender cancels the others; none of them is sent."
    )


@router.get(
    "/{batch_id}", response_model=BatchProgressOut, operation_id="get_batch", summary="Get the progress of a batch"
)
async def get_one(request: Request, batch_id: str, doors: TheDoors) -> dict[str, Any]:
    """The progress of a batch."""
    caller = await authenticated(request, doors, Scope.READ)
    return _shown(await _look(doors, caller.service_id, id_of(batch_id, "batch")))


@router.get(
    "/{batch_id}/progress",
    response_class=StreamingResponse,
    operation_id="watch_batch",
    summary="Stream the progress of a batch",
    responses={
        200: {
            "content": {"text/event-stream": {}},
            "description": "Each change, as `get_batch` shows it. The event `end` has `code` and `detail`.",
        }
    },
)
async def watch(request: Request, batch_id: str, doors: TheDoors) -> StreamingResponse:
    """The same as server-sent events: one at once, and one for each change, until all notifications have ended.

    A stream that ends earlier gives the reason in an event named `end`: after ten minutes (`time_limit`), when the key
    has ended (`unauthenticated`), when the server stops (`shutting_down`), or when its database is out of reach.
    """
    caller = await authenticated(request, doors, Scope.READ)
    first = await _look(doors, caller.service_id, id_of(batch_id, "batch"))
    return EventStream(_changes(request, doors, caller, first), doors.streams, caller.key_id)


@router.post(
    "/{batch_id}/cancel",
    response_model=BatchCancelledOut,
    operation_id="cancel_batch",
    summary="Cancel a batch",
    openapi_extra=with_body(schema.ChangeIn, required=False),
)
async def cancel(request: Request, batch_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Stop every mail of the batch that is not on its way yet. The request may be repeated."""
    caller = await authenticated(request, doors, Scope.SEND)
    wanted = await read_model_if_any(request, schema.ChangeIn)
    id_ = id_of(batch_id, "batch")
    async with changing(doors) as connection:
        actor, reach = audited.doer(caller), caller.reach
        step = await batch.cancel(connection, caller.service_id, id_, actor=actor, reach=reach, comment=wanted.comment)
    if step.last is not None:
        async with changing(doors) as connection:
            await batch.release(connection, caller.service_id, id_)
    return _shown(await _look(doors, caller.service_id, id_)) | {"cancelled": step.stopped}


async def _look(doors: Doors, service_id: UUID, id_: UUID) -> BatchView:
    async with doors.database.read() as connection:
        return await batch.look(connection, service_id, id_)


async def _changes(request: Request, doors: Doors, caller: Caller, view: BatchView) -> AsyncIterator[Event | str]:
    """Each change as the text of an event, and the event that ends the stream early."""
    until = doors.clock.monotonic() + MAX_WATCH_SECONDS
    yield _text(view)
    while view.ended < view.accepted:
        await asyncio.sleep(doors.batch_watch.seconds)
        if doors.clock.monotonic() >= until:
            yield end_event("time_limit", "a stream lasts ten minutes: connect again to see more")
            return
        try:
            (await recognised(request, doors)).require(Scope.READ)
            seen, view = view, await doors.batch_watch.look(caller.service_id, view)
        except (UnauthenticatedError, InsufficientScopeError):
            yield end_event("unauthenticated", "the API key of this stream has ended")
            return
        except DatabaseUnavailableError:
            yield end_event("database_unavailable", "the database is out of reach: connect again in a moment")
            return
        if view != seen:
            yield _text(view)


def _text(view: BatchView) -> str:
    return msgspec.json.encode(_shown(view)).decode()


def _shown(view: BatchView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in BatchProgressOut.model_fields}
