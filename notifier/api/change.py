"""`PATCH /v1/notifications/{id}`, and its `/cancel`, `/retry`, `/resolve`: each answers with the notification."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.api import reply, schema
from notifier.api.audited import Audited
from notifier.api.doors import Doors, TheDoors
from notifier.api.request import authenticated, id_of
from notifier.api.request_body import read_model, read_model_if_any
from notifier.api.request_model import RequestModel
from notifier.auth.keys import Caller
from notifier.auth.scope import Scope
from notifier.db.unavailable import unavailable_as_such
from notifier.notification import change, find, patch
from notifier.notification.rights import MailRights

CHANGE_SECONDS = 2.5
"""Longest transaction; the driver takes two more to give up a server that hangs. The caller gets 503 within five."""
router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


def with_body(model: type[RequestModel], *, required: bool) -> dict[str, Any]:
    """OpenAPI for a body that the route parses itself."""
    content = {"application/json": {"schema": model.model_json_schema(by_alias=True)}}
    return {"requestBody": {"description": model.limits.describe(), "required": required, "content": content}}


@router.post(
    "/{notification_id}/cancel",
    response_model=reply.NotificationWithAttemptsOut,
    operation_id="cancel_notification",
    summary="Cancel a notification",
    openapi_extra=with_body(schema.ChangeIn, required=False),
)
async def cancel(request: Request, notification_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Stop the mail before it is sent. 409 if it may be on its way, or has ended; cancelling twice is no error."""
    caller = await authenticated(request, doors, Scope.SEND)
    wanted = await read_model_if_any(request, schema.ChangeIn)
    id_, actor, rights = id_of(notification_id), audited.doer(caller), rights_of(caller, doors)
    async with changing(doors) as connection:
        await change.cancel(connection, id_, actor=actor, rights=rights, comment=wanted.comment)
        return await _shown(connection, id_, actor.at)


@router.patch(
    "/{notification_id:notification}",
    response_model=reply.NotificationWithAttemptsOut,
    operation_id="update_notification",
    summary="Change a notification before its first attempt",
    openapi_extra=with_body(schema.NotificationPatchIn, required=True),
)
async def patch_one(request: Request, notification_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Change its times, priority or variables before the first attempt; its copies change with it."""
    caller = await authenticated(request, doors, Scope.SEND)
    changes = schema.changes_of(await read_model(request, schema.NotificationPatchIn))
    id_, actor, rights = id_of(notification_id), audited.doer(caller), rights_of(caller, doors)
    async with changing(doors) as connection:
        await patch.patch(connection, id_, changes, actor=actor, rights=rights)
        return await _shown(connection, id_, actor.at)


@router.post(
    "/{notification_id}/retry",
    response_model=reply.NotificationWithAttemptsOut,
    operation_id="retry_notification",
    summary="Retry a notification that failed or expired",
    openapi_extra=with_body(schema.ChangeIn, required=False),
)
async def retry(request: Request, notification_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Send a failed or expired notification again: the same bytes, with the same lifetime as at first."""
    caller = await authenticated(request, doors, Scope.SEND)
    wanted = await read_model_if_any(request, schema.ChangeIn)
    id_, actor, rights = id_of(notification_id), audited.doer(caller), rights_of(caller, doors)
    async with changing(doors) as connection:
        await change.retry(connection, id_, actor=actor, rights=rights, comment=wanted.comment)
        return await _shown(connection, id_, actor.at)


@router.post(
    "/{notification_id}/resolve",
    response_model=reply.NotificationWithAttemptsOut,
    operation_id="resolve_notification",
    summary="Resolve a notification whose outcome is unknown",
    openapi_extra=with_body(schema.ResolveIn, required=True),
)
async def resolve(request: Request, notification_id: str, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Decide about a mail whose status is `unknown`: it was sent, it failed, or send it again."""
    caller = await authenticated(request, doors, Scope.SEND)
    wanted = await read_model(request, schema.ResolveIn)
    id_, actor, rights = id_of(notification_id), audited.doer(caller), rights_of(caller, doors)
    async with changing(doors) as connection:
        await change.resolve(connection, id_, wanted.as_, actor=actor, rights=rights, comment=wanted.comment)
        return await _shown(connection, id_, actor.at)


@asynccontextmanager
async def changing(doors: Doors) -> AsyncIterator[AsyncConnection]:
    """A transaction with a time limit; after it the sender of this process is woken."""
    with unavailable_as_such():
        async with asyncio.timeout(CHANGE_SECONDS), doors.database.write() as connection:
            yield connection
    doors.wake()


def rights_of(caller: Caller, doors: Doors) -> MailRights:
    """What the caller may do with mail."""
    return MailRights(caller=caller, policy=doors.policy, own_sender=doors.own_sender.address)


async def _shown(connection: AsyncConnection, id_: UUID, now: datetime) -> dict[str, Any]:
    return reply.show(await find.one(connection, None, id_), now)  # the operation checked the rights
