"""`/v1/notifications` except submitting: list, get, explain; change, cancel, retry and resolve one."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.convertors import StringConvertor, register_url_convertor

from notifier.api import pagination
from notifier.api.dependencies import AuditDependency, RequestAudit, get_dependencies, open_change_transaction
from notifier.api.fields import parse_id
from notifier.api.notifications import models, submission_models
from notifier.api.notifications.models import NotificationQuery
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.api.service_choice import ServiceName, authenticate_chooser
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope, MailRights
from notifier.lookup import notification_search, notification_view, wait_explanation
from notifier.lookup.actor_names import get_actor_names
from notifier.lookup.answer import build_answer
from notifier.lookup.content_preview import ContentReach
from notifier.lookup.notification_search import NotificationPage, PageRequest
from notifier.retention import content_expiry
from notifier.states import WAITING_STATUSES
from notifier.status import notification_actions
from notifier.submission import notification_change

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


class _NotificationConvertor(StringConvertor):
    """The id of a notification in a path: any text except `batch`, which is a route of its own."""

    regex = "(?!batch$)[^/]+"


# At import, because paths are compiled where routes are declared.
register_url_convertor("notification", _NotificationConvertor())


@router.get(
    "/{notification_id:notification}", response_model=models.NotificationWithAttemptsOut, summary="Get a notification"
)
async def get_notification(request: Request, notification_id: str, service: ServiceName = None) -> dict[str, Any]:
    """Get a notification with every attempt to deliver it."""
    dependencies = get_dependencies(request)
    _, service_id = await authenticate_chooser(request, KeyScope.READ, service)
    async with dependencies.database.read() as connection:
        view = await notification_view.get_notification(connection, service_id, parse_id(notification_id))
        until = await content_expiry.get_content_expiry(connection, view.id, dependencies.retention)
    return models.build_notification_reply(view, dependencies.clock.now(), until)


@router.get("/{notification_id}/events", response_model=models.TimelineOut, summary="List the events of a notification")
async def get_notification_events(
    request: Request, notification_id: str, service: ServiceName = None
) -> dict[str, Any]:
    """List the events of a notification, oldest first: every attempt, and every change by a person or a caller."""
    _, service_id = await authenticate_chooser(request, KeyScope.READ, service)
    async with get_dependencies(request).database.read() as connection:
        view = await notification_view.get_notification(connection, service_id, parse_id(notification_id))
        items = await notification_view.get_timeline(connection, view)
        names = await get_actor_names(connection, (item.actor for item in items))
    return {"events": [models.build_event_reply(item, names) for item in items]}


@router.get("", response_model=models.PageOut, summary="List notifications")
async def list_notifications(
    request: Request, response: Response, query: Annotated[NotificationQuery, Query()]
) -> dict[str, Any]:
    """List the service's notifications, or with an admin key those of all services, newest first.

    Every filter must match.
    """
    dependencies = get_dependencies(request)
    key, service_id = await authenticate_chooser(request, KeyScope.READ, query.service)
    now = dependencies.clock.now()

    async def search(connection: AsyncConnection) -> NotificationPage:
        part = PageRequest(limit=query.limit, before=query.before)
        return await notification_search.search_notifications(
            connection, service_id, query.build_filter(), part, now=now
        )

    if isinstance(key, Caller) or query.is_lookup:  # a service finds what it has submitted, at once
        async with dependencies.database.read() as connection:
            page = await search(connection)
    else:
        page = await dependencies.standby.read(search, dependencies.database.read)
    if page.next is not None:
        pagination.add_next_link(request, response, page.next)
    return {"notifications": [models.build_notification_reply(view, now) for view in page.views], "next": page.next}


@router.get(
    "/{notification_id}/explain", response_model=models.ExplanationOut, summary="Explain why a notification waits"
)
async def explain_notification(request: Request, notification_id: str, service: ServiceName = None) -> dict[str, Any]:
    """Explain whether a notification arrived, why it is not sent yet, and when it is tried next."""
    dependencies = get_dependencies(request)
    _, service_id = await authenticate_chooser(request, KeyScope.READ, service)
    now, id_ = dependencies.clock.now(), parse_id(notification_id)
    async with dependencies.database.read() as connection:
        explanation = await wait_explanation.explain_notification(
            connection, service_id, id_, dependencies.recipient_policy, now
        )
    view = explanation.view
    return {
        "id": view.id,
        "status": models.get_shown_status(view.status, view.send_at, now),
        "answer": vars(build_answer(view, now=now, causes=explanation.causes)),
        "waiting": view.status in WAITING_STATUSES and view.entry_state is not None,
        "next_attempt_at": explanation.next_attempt_at,
        "expires_at": view.expires_at,
        "because": [vars(cause) for cause in explanation.causes],
    }


@router.get(
    "/{notification_id}/content",
    response_model=models.ContentOut,
    summary="Get the mail of a notification",
    responses={200: {"content": {"message/rfc822": {}}, "description": "The mail; with `format=eml` as it is sent."}},
)
async def get_notification_content(
    request: Request,
    notification_id: str,
    audit: AuditDependency,
    format_: Annotated[Literal["json", "eml"], Query(alias="format")] = "json",
    service: ServiceName = None,
) -> Any:
    """Get the mail, as it was sent or will be. Each view is recorded.

    404 if your key may not read it, 410 if its content was erased.
    """
    key, service_id = await authenticate_chooser(request, KeyScope.CONTENT, service)
    id_, actor = parse_id(notification_id), audit.get_actor(key)
    reach = ContentReach(service_id=service_id, kinds=key.kinds_in_reach)
    view = await get_dependencies(request).previewer.view_content(reach, id_, actor=actor)
    if format_ == "eml":
        return Response(view.source, media_type="message/rfc822")
    return models.build_content_reply(view)


@router.post(
    "/{notification_id}/cancel",
    response_model=models.NotificationWithAttemptsOut,
    summary="Cancel a notification",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def cancel_notification(
    request: Request, notification_id: str, audit: AuditDependency, service: ServiceName = None
) -> dict[str, Any]:
    """Stop the mail before it is sent. 409 if it may be on its way, or has ended; cancelling twice is no error."""
    key, service_id = await authenticate_chooser(request, KeyScope.ACT, service)
    body = await read_optional_model(request, submission_models.ChangeIn)
    change = partial(notification_actions.cancel_notification, comment=body.comment)
    return await _change_notification(request, audit, _Change(key, service_id, notification_id, change))


@router.patch(
    "/{notification_id:notification}",
    response_model=models.NotificationWithAttemptsOut,
    summary="Change a notification before its first attempt",
    openapi_extra=document_body(submission_models.NotificationPatchIn),
)
async def update_notification(
    request: Request, notification_id: str, audit: AuditDependency, service: ServiceName = None
) -> dict[str, Any]:
    """Change its times, priority or variables before the first attempt; its copies change with it."""
    key, service_id = await authenticate_chooser(request, KeyScope.ACT, service)
    changes = submission_models.parse_changes(await read_model(request, submission_models.NotificationPatchIn))
    change = partial(notification_change.change_notification, changes=changes)
    return await _change_notification(request, audit, _Change(key, service_id, notification_id, change))


@router.post(
    "/{notification_id}/retry",
    response_model=models.NotificationWithAttemptsOut,
    summary="Retry a notification that failed or expired",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def retry_notification(
    request: Request, notification_id: str, audit: AuditDependency, service: ServiceName = None
) -> dict[str, Any]:
    """Send a failed or expired notification again: the same bytes, with the same lifetime as at first."""
    key, service_id = await authenticate_chooser(request, KeyScope.ACT, service)
    body = await read_optional_model(request, submission_models.ChangeIn)
    change = partial(notification_actions.retry_notification, comment=body.comment)
    return await _change_notification(request, audit, _Change(key, service_id, notification_id, change))


@router.post(
    "/{notification_id}/resolve",
    response_model=models.NotificationWithAttemptsOut,
    summary="Resolve a notification whose outcome is unknown",
    openapi_extra=document_body(submission_models.ResolveIn),
)
async def resolve_notification(
    request: Request, notification_id: str, audit: AuditDependency, service: ServiceName = None
) -> dict[str, Any]:
    """Decide about a mail whose status is `unknown`: it was sent, it failed, or send it again."""
    key, service_id = await authenticate_chooser(request, KeyScope.ACT, service)
    body = await read_model(request, submission_models.ResolveIn)
    change = partial(notification_actions.resolve_notification, resolution=body.as_, comment=body.comment)
    return await _change_notification(request, audit, _Change(key, service_id, notification_id, change))


class _Change(NamedTuple):
    """A change of a notification: by which key, of which service (None: any), and what."""

    key: AuthenticatedKey
    service_id: UUID | None
    id: str
    change: Callable[..., Awaitable[Any]]


async def _change_notification(request: Request, audit: RequestAudit, change: _Change) -> dict[str, Any]:
    """Make the change with the key's rights in a transaction, and return the notification as it is afterwards."""
    dependencies, id_, actor = get_dependencies(request), parse_id(change.id), audit.get_actor(change.key)
    policy, own_sender = dependencies.recipient_policy, dependencies.default_sender.address
    caller = change.key if isinstance(change.key, Caller) else None
    rights = MailRights(caller=caller, policy=policy, own_sender=own_sender) if caller is not None else None
    async with open_change_transaction(request) as connection:
        if rights is None:  # an admin key, for the service that it names
            await notification_view.get_notification(connection, change.service_id, id_)
        await change.change(connection, id_, actor=actor, rights=rights)
        view = await notification_view.get_notification(connection, None, id_)  # the rights were checked
        until = await content_expiry.get_content_expiry(connection, id_, dependencies.retention)
        return models.build_notification_reply(view, actor.at, until)
