"""`PATCH /v1/notifications/{id}`, and its `/cancel`, `/retry`, `/resolve`: each answers with the notification."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.api.dependencies import (
    ApiDependencies,
    AuditDependency,
    Dependencies,
    authenticate_service,
    open_change_transaction,
    parse_id,
)
from notifier.api.notifications import models, submission_models
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.auth.authenticated_key import Caller
from notifier.auth.key_scope import KeyScope
from notifier.auth.mail_rights import MailRights
from notifier.lookup import notification_view
from notifier.status import notification_actions
from notifier.submission import notification_change

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.post(
    "/{notification_id}/cancel",
    response_model=models.NotificationWithAttemptsOut,
    summary="Cancel a notification",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def cancel_notification(
    request: Request, notification_id: str, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Stop the mail before it is sent. 409 if it may be on its way, or has ended; cancelling twice is no error."""
    caller = await authenticate_service(request, dependencies, KeyScope.SEND)
    body = await read_optional_model(request, submission_models.ChangeIn)
    id_, actor, rights = (
        parse_id(notification_id),
        audit.get_actor(caller),
        build_mail_rights(caller, dependencies),
    )
    async with open_change_transaction(dependencies) as connection:
        await notification_actions.cancel_notification(
            connection, id_, actor=actor, rights=rights, comment=body.comment
        )
        return await _build_changed_notification(connection, id_, actor.at)


@router.patch(
    "/{notification_id:notification}",
    response_model=models.NotificationWithAttemptsOut,
    summary="Change a notification before its first attempt",
    openapi_extra=document_body(submission_models.NotificationPatchIn, required=True),
)
async def update_notification(
    request: Request, notification_id: str, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Change its times, priority or variables before the first attempt; its copies change with it."""
    caller = await authenticate_service(request, dependencies, KeyScope.SEND)
    changes = submission_models.parse_changes(await read_model(request, submission_models.NotificationPatchIn))
    id_, actor, rights = (
        parse_id(notification_id),
        audit.get_actor(caller),
        build_mail_rights(caller, dependencies),
    )
    async with open_change_transaction(dependencies) as connection:
        await notification_change.change_notification(connection, id_, changes, actor=actor, rights=rights)
        return await _build_changed_notification(connection, id_, actor.at)


@router.post(
    "/{notification_id}/retry",
    response_model=models.NotificationWithAttemptsOut,
    summary="Retry a notification that failed or expired",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def retry_notification(
    request: Request, notification_id: str, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Send a failed or expired notification again: the same bytes, with the same lifetime as at first."""
    caller = await authenticate_service(request, dependencies, KeyScope.SEND)
    body = await read_optional_model(request, submission_models.ChangeIn)
    id_, actor, rights = (
        parse_id(notification_id),
        audit.get_actor(caller),
        build_mail_rights(caller, dependencies),
    )
    async with open_change_transaction(dependencies) as connection:
        await notification_actions.retry_notification(connection, id_, actor=actor, rights=rights, comment=body.comment)
        return await _build_changed_notification(connection, id_, actor.at)


@router.post(
    "/{notification_id}/resolve",
    response_model=models.NotificationWithAttemptsOut,
    summary="Resolve a notification whose outcome is unknown",
    openapi_extra=document_body(submission_models.ResolveIn, required=True),
)
async def resolve_notification(
    request: Request, notification_id: str, dependencies: Dependencies, audit: AuditDependency
) -> dict[str, Any]:
    """Decide about a mail whose status is `unknown`: it was sent, it failed, or send it again."""
    caller = await authenticate_service(request, dependencies, KeyScope.SEND)
    body = await read_model(request, submission_models.ResolveIn)
    id_, actor, rights = (
        parse_id(notification_id),
        audit.get_actor(caller),
        build_mail_rights(caller, dependencies),
    )
    async with open_change_transaction(dependencies) as connection:
        await notification_actions.resolve_notification(
            connection, id_, body.as_, actor=actor, rights=rights, comment=body.comment
        )
        return await _build_changed_notification(connection, id_, actor.at)


def build_mail_rights(caller: Caller, dependencies: ApiDependencies) -> MailRights:
    """Build the rights of the caller on this instance."""
    return MailRights(
        caller=caller, policy=dependencies.recipient_policy, own_sender=dependencies.default_sender.address
    )


async def _build_changed_notification(connection: AsyncConnection, id_: UUID, now: datetime) -> dict[str, Any]:
    return models.build_notification_reply(
        await notification_view.get_notification(connection, None, id_), now
    )  # the operation checked the rights
