"""What people do about one mail: stop it, send it again, change its time, decide about it, lift a suppression."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier import suppression
from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.form import FormErrors, read_form
from notifier.console.page import redirect, require_member
from notifier.console.pages.mail_page import show_mail_page
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.states import Resolution
from notifier.status import notification_actions
from notifier.status.notification_actions import MAX_COMMENT_LENGTH, NotPossibleError
from notifier.submission import notification_change
from notifier.submission.notification_change import NotificationChanges

_SAID = {
    Resolution.SENT: "Decided: it arrived.",
    Resolution.FAILED: "Decided: it did not arrive.",
    Resolution.RESEND: "It is sent once more.",
}


class CommentForm(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    comment: Annotated[str, Field(title="the comment", max_length=MAX_COMMENT_LENGTH)] = ""


class DecisionForm(BaseModel):
    """What is decided about an unknown mail, and how one knows."""

    model_config = ConfigDict(extra="forbid")

    decision: Annotated[Resolution, Field(title="what happened to the mail")]
    comment: Annotated[str, Field(title="how you know", min_length=3, max_length=MAX_COMMENT_LENGTH)]


class TimeForm(BaseModel):
    """When a scheduled mail is sent instead, in the reader's zone."""

    model_config = ConfigDict(extra="forbid")

    send_at: Annotated[datetime, Field(title="a day and a time")]


class LiftForm(BaseModel):
    """The suppression that ends."""

    model_config = ConfigDict(extra="forbid")

    suppression: UUID
    back: Annotated[str, Field(max_length=2000)] = "/console/mail"
    comment: Annotated[str, Field(title="the comment", max_length=suppression.MAX_DETAIL_LENGTH)] = ""


@act("cancel_notification", KeyScope.ACT)
async def cancel_mail(request: Request) -> Response:
    """Stop a mail and its copies."""
    form = await read_form(request, CommentForm)
    if isinstance(form, FormErrors):
        return await show_mail_page(request, form)
    change = partial(notification_actions.cancel_notification, comment=form.comment)
    return await _change_mail(request, change, "Stopped. It is not sent.")


@act("retry_notification", KeyScope.ACT)
async def retry_mail(request: Request) -> Response:
    """Send a mail again that failed or expired."""
    form = await read_form(request, CommentForm)
    if isinstance(form, FormErrors):
        return await show_mail_page(request, form)
    change = partial(notification_actions.retry_notification, comment=form.comment)
    return await _change_mail(request, change, "It is sent again.")


@act("resolve_notification", KeyScope.ACT)
async def decide_mail(request: Request) -> Response:
    """Decide about a mail of which nobody knows whether it arrived."""
    form = await read_form(request, DecisionForm)
    if isinstance(form, FormErrors):
        return await show_mail_page(request, form)
    change = partial(notification_actions.resolve_notification, resolution=form.decision, comment=form.comment)
    return await _change_mail(request, change, _SAID[form.decision])


@act("update_notification", KeyScope.ACT)
async def change_time(request: Request) -> Response:
    """Change when a scheduled mail is sent."""
    form = await read_form(request, TimeForm)
    if isinstance(form, FormErrors):
        return await show_mail_page(request, form)
    zone = ZoneInfo((await require_member(request)).member.time_zone)
    changes = NotificationChanges(send_at=form.send_at.replace(tzinfo=zone))
    change = partial(notification_change.change_notification, changes=changes)
    return await _change_mail(request, change, "The time was changed.", field="send_at")


@act("lift_suppression", KeyScope.SUPPRESSIONS)
async def lift_suppression(request: Request) -> Response:
    """Allow mail to an address again."""
    form, actor = await read_form(request, LiftForm), get_actor(request)
    if isinstance(form, FormErrors):
        raise NotFoundError
    back = form.back if form.back.startswith("/console/mail") and form.back.isprintable() else "/console/mail"
    try:
        async with open_change(request) as connection:
            await suppression.lift_suppression(connection, None, form.suppression, actor=actor, comment=form.comment)
    except NotFoundError:
        actor.record_no_change()
        return await redirect(request, back, flash="It was lifted already.")
    return await redirect(request, back, flash="Lifted. Mail from now on is sent to this address.")


async def _change_mail(
    request: Request, change: Callable[..., Awaitable[Any]], said: str, *, field: str = ""
) -> Response:
    """Make a change that the page offered; if it is not possible any more, say why."""
    id_, actor = request.path_params["id"], get_actor(request)
    try:
        async with open_change(request) as connection:
            await change(connection, id_, actor=actor, rights=None)
    except InvalidRequestError as error:
        return await show_mail_page(request, FormErrors(values={}, messages={field: _word(error.faults[0].detail)}))
    except NotPossibleError as error:
        return await show_mail_page(request, FormErrors(values={}, messages={"": _word(str(error))}))
    return await redirect(request, f"/console/mail/{id_}", flash=said)


def _word(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


routes = [
    Route("/mail/{id:uuid}/cancel", cancel_mail, methods=["POST"]),
    Route("/mail/{id:uuid}/retry", retry_mail, methods=["POST"]),
    Route("/mail/{id:uuid}/decide", decide_mail, methods=["POST"]),
    Route("/mail/{id:uuid}/time", change_time, methods=["POST"]),
    Route("/mail/lift", lift_suppression, methods=["POST"]),
]
