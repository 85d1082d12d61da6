"""`PATCH /v1/notifications/{id}`, and its `/cancel`, `/retry`, `/resolve`: each answers with how it stands then."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.api.authentication import authenticate_service, parse_id
from notifier.api.body.model_reader import document_body, read_model, read_optional_model
from notifier.api.dependencies import ApiDependencies, Dependencies, open_change_transaction
from notifier.api.notifications import models, submission_models
from notifier.api.request_audit import AuditDependency
from notifier.auth.authenticated_key import Caller
from notifier.auth.key_scope import KeyScope
from notifier.auth.mail_rights import MailRights
from notifier.lookup import notification_view
from notifier.states import TransitionCause
from notifier.status import notification_actions
from notifier.status.notification_actions import ChangeRequest
from notifier.submission import notification_change

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


@router.post(
    "/{notification_id}/cancel",
    response_model=models.NotificationWithAttemptsOut,
    operation_id="cancel_notification",
    summary="Cancel a notification",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def cancel_notification(
    request: Request, notification_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """See that the mail is never sent. 409 once it may be on its way, or has ended; cancelling twice is no error."""
    caller = await authenticate_service(request, doors, KeyScope.SEND)
    wanted = await read_optional_model(request, submission_models.ChangeIn)
    id_, asked = parse_id(notification_id), build_change_request(caller, doors, wanted)
    async with open_change_transaction(doors) as connection:
        await audited.record_all(
            connection, caller, await notification_actions.cancel_notification(connection, id_, asked)
        )
        return await _build_changed_notification(connection, id_, asked)


@router.patch(
    "/{notification_id:notification}",
    response_model=models.NotificationWithAttemptsOut,
    operation_id="update_notification",
    summary="Change a notification before its first attempt",
    openapi_extra=document_body(submission_models.NotificationPatchIn, required=True),
)
async def update_notification(
    request: Request, notification_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Change when it is sent, or with which variables, before the first try; its copies change with it."""
    caller = await authenticate_service(request, doors, KeyScope.SEND)
    changes = submission_models.parse_changes(await read_model(request, submission_models.NotificationPatchIn))
    id_, asked = parse_id(notification_id), build_change_request(caller, doors, submission_models.ChangeIn())
    async with open_change_transaction(doors) as connection:
        await audited(
            connection, caller, await notification_change.change_notification(connection, id_, changes, asked)
        )
        return await _build_changed_notification(connection, id_, asked)


@router.post(
    "/{notification_id}/retry",
    response_model=models.NotificationWithAttemptsOut,
    operation_id="retry_notification",
    summary="Retry a notification that failed or expired",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def retry_notification(
    request: Request, notification_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Send a failed or expired notification again: the same bytes, for as long as they were worth sending at first."""
    caller = await authenticate_service(request, doors, KeyScope.SEND)
    wanted = await read_optional_model(request, submission_models.ChangeIn)
    id_, asked = parse_id(notification_id), build_change_request(caller, doors, wanted)
    async with open_change_transaction(doors) as connection:
        await audited.record_all(
            connection, caller, await notification_actions.retry_notification(connection, id_, asked)
        )
        return await _build_changed_notification(connection, id_, asked)


@router.post(
    "/{notification_id}/resolve",
    response_model=models.NotificationWithAttemptsOut,
    operation_id="resolve_notification",
    summary="Resolve a notification whose outcome is unknown",
    openapi_extra=document_body(submission_models.ResolveIn, required=True),
)
async def resolve_notification(
    request: Request, notification_id: str, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Decide about a mail whose status is `unknown`: it was sent, it failed, or send it again."""
    caller = await authenticate_service(request, doors, KeyScope.SEND)
    wanted = await read_model(request, submission_models.ResolveIn)
    id_, asked = parse_id(notification_id), build_change_request(caller, doors, wanted)
    async with open_change_transaction(doors) as connection:
        await audited.record_all(
            connection, caller, await notification_actions.resolve_notification(connection, id_, wanted.as_, asked)
        )
        return await _build_changed_notification(connection, id_, asked)


def build_change_request(caller: Caller, doors: ApiDependencies, wanted: submission_models.ChangeIn) -> ChangeRequest:
    """The change as the domain wants to hear of it."""
    return ChangeRequest(
        actor=caller.actor_name,
        cause=TransitionCause.CALLER,
        rights=MailRights(caller=caller, policy=doors.recipient_policy, own_sender=doors.default_sender.address),
        at=doors.clock.now(),
        comment=wanted.comment,
    )


async def _build_changed_notification(connection: AsyncConnection, id_: UUID, asked: ChangeRequest) -> dict[str, Any]:
    return models.build_notification_reply(
        await notification_view.get_notification(connection, None, id_), asked.at
    )  # that they may see it was found out before
