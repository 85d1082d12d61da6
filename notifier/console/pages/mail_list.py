"""The search for mail: an address answered as a person, and the mails with the answer of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from notifier.auth import service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_session import StaffMember
from notifier.console.act import act, get_actor, open_change
from notifier.console.context import ConsoleDependencies, get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.mail_words import MAX_LENGTH, MailSearch, build_search_url, parse_search
from notifier.console.page import has_just_acted, redirect, render_page, render_part, require_member
from notifier.console.reading import ReadConnection
from notifier.console.search_menus import SearchMenu, build_search_menus
from notifier.console.words import choose_plural
from notifier.errors import NotFoundError
from notifier.ids import get_first_id
from notifier.lookup import notification_view, similar_addresses
from notifier.lookup.address_card import AddressCard, get_address_card
from notifier.lookup.answer import build_answer
from notifier.lookup.answer_table import Answer
from notifier.lookup.mail_titles import OWN_TEXT, MailTitle
from notifier.lookup.notification_search import MAX_ROWS_EXAMINED, NotificationPage, PageRequest, search_notifications
from notifier.lookup.notification_view import NotificationView
from notifier.status import notification_actions
from notifier.status.selected_changes import MAX_SELECTED, SelectedOutcome, change_selected
from notifier.templating import template_store
from notifier.templating.template_store import TemplateView

PAGE_SIZE = 50
NEW_MAIL = PageRequest(limit=50, max_rows=500)
"""Where new mail is looked for: it is asked often, so it looks at few rows."""
NO_CONTENT = 204
MAX_TEMPLATES = 200
NO_MAIL = NotificationPage(views=[], next=None)


@dataclass(frozen=True, kw_only=True)
class MailRow:
    """A mail in a list."""

    view: NotificationView
    title: MailTitle
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class MailResults:
    """What a search has found."""

    rows: list[MailRow] = field(default_factory=list)
    next: UUID | None = None
    card: AddressCard | None = None
    service_names: Mapping[UUID, str] = field(default_factory=dict)
    similar: list[str] = field(default_factory=list)  # addresses that begin alike
    templates: list[TemplateView] = field(default_factory=list)  # with a name like what was typed
    menus: list[SearchMenu] = field(default_factory=list)  # by which the search can be narrowed
    problems: tuple[str, ...] = ()


class SelectedForm(BaseModel):
    """The ticked mails."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[list[UUID], Field(title="at least one mail", min_length=1, max_length=MAX_SELECTED)] = []
    q: Annotated[str, Field(max_length=MAX_LENGTH)] = ""


async def list_mail(request: Request) -> Response:
    """Show the mails that match the search box, newest first."""
    session, console = await require_member(request), get_console(request)
    text, search = _read_search(request, session.member)
    zone = ZoneInfo(session.member.time_zone)
    if search.id is not None:
        async with console.read_slots.open() as connection:
            if await _exists(connection, search.id):
                return RedirectResponse(f"/console/mail/{search.id}", 303)

    async def find(connection: ReadConnection) -> MailResults:
        return await _find(connection, console, search, _parse_cursor(request), zone)

    if has_just_acted(request):
        async with console.read_slots.open() as connection:
            results = await find(connection)
    else:
        results = await console.read_slots.read_standby(find)
    return render_page(
        request,
        "mail_list",
        search=text,
        parsed=search,
        results=results,
        max_examined=MAX_ROWS_EXAMINED,
        max_selected=MAX_SELECTED,
        is_first="before" not in request.query_params,
        newest=results.rows[0].view.id if results.rows else get_first_id(console.clock.now()),
        kept_days=console.retention.settings.notification_days,
        build_search_url=build_search_url,
    )


async def show_new_mail(request: Request) -> Response:
    """Show how many mails match that were asked for after the list was shown; nothing if there are none."""
    session, console = await require_member(request), get_console(request)
    text, search = _read_search(request, session.member)
    since = _parse_cursor(request, "since")
    if since is None or not search.finds_mail:
        return Response(status_code=NO_CONTENT)

    async def find(connection: ReadConnection) -> NotificationPage:
        return (await _search(connection, search, NEW_MAIL, console.clock.now()))[0]

    page = await console.read_slots.read_standby(find)
    count = sum(view.id > since for view in page.views)
    if not count:
        return Response(status_code=NO_CONTENT)
    return render_part(request, "new_mail", count=count, has_more=count == NEW_MAIL.limit, url=build_search_url(text))


@act("cancel_notification", KeyScope.ACT)
async def cancel_selected(request: Request) -> Response:
    """Stop the ticked mails."""
    return await _change_selected(request, notification_actions.cancel_notification, "stopped")


@act("retry_notification", KeyScope.ACT)
async def retry_selected(request: Request) -> Response:
    """Send the ticked mails again."""
    return await _change_selected(request, notification_actions.retry_notification, "sent again")


async def _change_selected(request: Request, change: object, said: str) -> Response:
    form, actor = await read_form(request, SelectedForm), get_actor(request)
    if isinstance(form, FormErrors):
        actor.record_no_change()
        words = f"Nothing was changed: tick at least one mail, and at most {MAX_SELECTED}."
        return await redirect(request, build_search_url(str(form.values.get("q", ""))), flash=words)
    async with open_change(request) as connection:
        outcome = await change_selected(connection, form.id, change, actor=actor)  # type: ignore[arg-type]
    return await redirect(request, build_search_url(form.q), flash=describe_outcome(outcome, said))


def describe_outcome(outcome: SelectedOutcome, said: str) -> str:
    """Say how many mails were changed, and why the others were not."""
    if not outcome.refused:
        return f"{choose_plural(outcome.changed, 'mail')} {'is' if outcome.changed == 1 else 'are'} {said}."
    reasons = "; ".join(sorted(set(outcome.refused.values())))
    done = f"{choose_plural(outcome.changed, 'mail')} {said}, " if outcome.changed else ""
    return f"{done}{choose_plural(len(outcome.refused), 'mail')} not {said}: {reasons}."


async def _find(
    connection: ReadConnection, console: ConsoleDependencies, search: MailSearch, before: UUID | None, zone: ZoneInfo
) -> MailResults:
    now = console.clock.now()
    page, problems = await _search(connection, search, PageRequest(limit=PAGE_SIZE, before=before), now)
    titles = await console.mail_titles.load_titles(connection, page.views)
    card = None
    if search.filter.to is not None:
        card = await get_address_card(connection, search.filter.to, console.recipient_policy, now)
    letters = search.letters or (search.filter.to if not page.views and page.next is None else None)
    services = await service_admin.list_services(connection)
    rows = [
        MailRow(view=view, title=titles.get(view.id, OWN_TEXT), answer=build_answer(view, now=now, zone=zone))
        for view in page.views
    ]
    named = {(row.view.template, row.title.name) for row in rows if row.view.template is not None}
    menus = build_search_menus(
        search,
        services=[service.name for service in services],
        templates=sorted(named, key=lambda each: each[1].casefold()),
        today=now.astimezone(zone).date(),
    )
    return MailResults(
        rows=rows,
        next=page.next,
        card=card,
        service_names={service.id: service.name for service in services},
        similar=await _list_similar(connection, letters, search.filter.to) if letters else [],
        templates=await _list_templates(connection, search.letters) if search.letters else [],
        menus=menus if search.finds_mail and not problems else [],
        problems=problems,
    )


async def _search(
    connection: ReadConnection, search: MailSearch, page: PageRequest, now: datetime
) -> tuple[NotificationPage, tuple[str, ...]]:
    """Search, or find what is wrong with the search."""
    service_id = None
    if search.service is not None:
        try:
            service_id = await service_admin.find_service(connection, search.service)
        except NotFoundError:
            return NO_MAIL, (*search.problems, f"There is no service named {search.service}.")
    if not search.finds_mail:
        return NO_MAIL, search.problems
    filters = replace(search.filter, copies=search.filter.to is not None)
    return await search_notifications(connection, service_id, filters, page, now=now), ()


async def _list_similar(connection: ReadConnection, letters: str, address: str | None) -> list[str]:
    """List addresses that begin like what was typed; with fewer of its letters until there are some."""
    local = letters.lower().partition("@")[0] if address else letters.lower()
    for length in dict.fromkeys((len(local), min(3, len(local)), min(2, len(local)), 1)):
        found = await similar_addresses.list_similar_addresses(connection, local[:length])
        others = [one for one in found if one != address]
        if others or not address:
            return others
    return []


async def _list_templates(connection: ReadConnection, letters: str) -> list[TemplateView]:
    wanted = letters.casefold()
    views = await template_store.list_templates(connection, limit=MAX_TEMPLATES)
    return [view for view in views if wanted in view.slug or wanted in view.name.casefold()]


async def _exists(connection: ReadConnection, id_: UUID) -> bool:
    return bool(await notification_view.list_notifications(connection, [id_]))


def _read_search(request: Request, member: StaffMember) -> tuple[str, MailSearch]:
    """Read the search box: what was typed, and what it means."""
    text = request.query_params.get("q", "").replace("\0", "").strip()[:MAX_LENGTH]
    return text, parse_search(text, ZoneInfo(member.time_zone), get_console(request).clock.now())


def _parse_cursor(request: Request, name: str = "before") -> UUID | None:
    try:
        return UUID(request.query_params.get(name, ""))
    except ValueError:
        return None


routes = [
    Route("/mail", list_mail),
    Route("/mail/new", show_new_mail),
    Route("/mail/cancel", cancel_selected, methods=["POST"]),
    Route("/mail/retry", retry_selected, methods=["POST"]),
]
