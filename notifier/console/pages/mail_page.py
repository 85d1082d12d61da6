"""One mail: did it arrive, why not, what now, what happened, and what it looks like."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier import email_address, suppression
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_session import StaffMember
from notifier.console.act import get_actor
from notifier.console.context import ConsoleDependencies, get_console
from notifier.console.form import FormErrors
from notifier.console.page import render_page, render_part, require_member
from notifier.console.reading import ReadConnection
from notifier.lookup import notification_view, wait_explanation
from notifier.lookup.actor_names import get_actor_names
from notifier.lookup.answer import build_answer
from notifier.lookup.answer_table import Answer, AnswerAction
from notifier.lookup.content_preview import ContentGoneError, ContentReach, ContentView, UnrenderableError
from notifier.lookup.customer_words import build_customer_words
from notifier.lookup.mail_titles import OWN_TEXT, MailTitle
from notifier.lookup.notification_view import NotificationView, TimelineItem
from notifier.lookup.wait_explanation import Because, WaitCause
from notifier.retention import content_expiry
from notifier.states import WAITING_STATUSES, Category, KeyKind, SuppressionScope
from notifier.suppression import SuppressionFilter, SuppressionView

MAIL_VIEWS = ("html", "text", "source", "headers", "values", "files")
MAX_SOURCE = 512 * 1024
"""Characters of a mail's source that a page shows."""
NO_CONTENT = 204
REACH_OF_STAFF = ContentReach(service_id=None, kinds=tuple(KeyKind))


@dataclass(frozen=True, kw_only=True)
class MailState:
    """What is known about one mail now."""

    view: NotificationView
    title: MailTitle
    answer: Answer
    causes: list[WaitCause]  # why it waits
    timeline: list[TimelineItem]
    names: Mapping[str, str]  # of the actors
    barriers: list[SuppressionView]  # suppressions of its address that concern it
    content_until: datetime | None
    customer_words: str  # what support may tell the recipient

    @property
    def is_waiting(self) -> bool:
        """Whether it changes by itself."""
        return self.view.status in WAITING_STATUSES and self.view.entry_state is not None

    @property
    def actions(self) -> list[AnswerAction]:
        """What can be done now. A suppressed address is lifted before a mail is sent again, or it would be in vain."""
        barred = {AnswerAction.RETRY} if self.barriers else {AnswerAction.LIFT}
        return [action for action in self.answer.actions if action not in barred]

    @property
    def fingerprint(self) -> str:
        """A short text that changes with what the page shows."""
        shown = (self.answer, self.causes, len(self.timeline), self.view.updated_at, [one.id for one in self.barriers])
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


async def show_mail(request: Request) -> Response:
    """Show one mail."""
    return await show_mail_page(request)


async def show_mail_page(request: Request, errors: FormErrors | None = None) -> Response:
    """Show one mail, and what is wrong with a form that was sent from its page."""
    session, console = await require_member(request), get_console(request)
    async with console.read_slots.open() as connection:
        state = await load_state(connection, console, session.member, request.path_params["id"])
    wanted = request.query_params.get("view", MAIL_VIEWS[0])
    view_name = wanted if wanted in MAIL_VIEWS else MAIL_VIEWS[0]
    content, missing = None, None
    if view_name != MAIL_VIEWS[0] and session.member.has_scope(KeyScope.CONTENT):
        content, missing = await load_content(request, state.view.id)
    return render_page(
        request,
        "mail_page",
        status=422 if errors else 200,
        state=state,
        errors=errors,
        view_name=view_name,
        content=content,
        missing=missing,
        headers_text=_cut_headers(content.source) if content is not None and view_name == "headers" else "",
        source_text=_decode(content.source) if content is not None and view_name == "source" else "",
        values_text=json.dumps(content.variables, indent=2, ensure_ascii=False) if content is not None else "",
        max_source=MAX_SOURCE,
    )


async def show_state(request: Request) -> Response:
    """Show the part of the page that changes while the mail waits; nothing if it is as `seen`."""
    session, console = await require_member(request), get_console(request)
    async with console.read_slots.open() as connection:
        state = await load_state(connection, console, session.member, request.path_params["id"])
    if request.query_params.get("seen") == state.fingerprint:
        return Response(status_code=NO_CONTENT)
    return render_part(request, "mail_state", state=state, errors=None, is_update=True)


async def load_state(
    connection: ReadConnection, console: ConsoleDependencies, member: StaffMember, id_: UUID
) -> MailState:
    """Load what is known about a mail. Raises `NotFoundError`."""
    now, zone = console.clock.now(), ZoneInfo(member.time_zone)
    explanation = await wait_explanation.explain_notification(connection, None, id_, console.recipient_policy, now)
    view = explanation.view
    timeline = await notification_view.get_timeline(connection, view)
    titles = await console.mail_titles.load_titles(connection, [view])
    filters = SuppressionFilter(address=email_address.get_address_key(view.recipient), lasting_after=now)
    found = await suppression.list_all_suppressions(connection, filters, before=None, limit=100)
    return MailState(
        view=view,
        title=titles.get(id_, OWN_TEXT),
        answer=build_answer(view, now=now, causes=explanation.causes, zone=zone),
        causes=[cause for cause in explanation.causes if cause.code is not Because.ENDED],
        timeline=timeline,
        names=await get_actor_names(
            connection, [*(item.actor for item in timeline), *(one.created_by for one in found)]
        ),
        barriers=[one for one in found if _concerns(one, view)],
        content_until=await content_expiry.get_content_expiry(connection, id_, console.retention),
        customer_words=build_customer_words(view, now=now, causes=explanation.causes, zone=zone),
    )


async def load_content(request: Request, id_: UUID) -> tuple[ContentView | None, str | None]:
    """Load the content of a mail, which is recorded; or why there is none."""
    try:
        view = await get_console(request).previewer.view_content(REACH_OF_STAFF, id_, actor=get_actor(request))
    except (ContentGoneError, UnrenderableError) as error:
        return None, str(error)
    return view, None


def _concerns(barrier: SuppressionView, view: NotificationView) -> bool:
    is_owner = barrier.is_instance_wide or barrier.service_id == view.service_id
    return is_owner and (barrier.scope is SuppressionScope.ALL or view.category is Category.MARKETING)


def _decode(source: bytes) -> str:
    return source.decode("utf-8", "replace")[:MAX_SOURCE]


def _cut_headers(source: bytes) -> str:
    return source.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8", "replace")


routes = [
    Route("/mail/{id:uuid}", show_mail),
    Route("/mail/{id:uuid}/state", show_state),
]
