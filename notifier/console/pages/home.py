"""The first page: what waits for the person who opens it, and what went out today."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.console.context import get_console
from notifier.console.page import render_page, require_member
from notifier.console.reading import ReadConnection
from notifier.console.words import choose_plural
from notifier.lookup import notification_view
from notifier.lookup.mail_titles import MailTitle
from notifier.lookup.notification_view import NotificationView
from notifier.states import Status
from notifier.statistics import statistics_query
from notifier.statistics.roll_up import Period
from notifier.statistics.statistics_query import PeriodFigures, StatisticsFilter
from notifier.templating import template_store
from notifier.templating.template_store import TemplateView

MAX_LISTED = 10
MAX_TEMPLATES = 200
_FIGURES = {
    "Still waiting": (Status.QUEUED, Status.DEFERRED),
    "Nobody can know": (Status.UNKNOWN,),
    "Could not be sent": (Status.FAILED,),
    "Ran out of time": (Status.EXPIRED,),
    "Stopped, or not allowed": (Status.CANCELLED, Status.SUPPRESSED),
}
"""What else became of mails, in words, and the statuses that mean it."""


@dataclass(frozen=True, kw_only=True)
class HomeContents:
    """What the first page shows."""

    undecided: list[NotificationView]  # unknown mails that wait for a person, oldest first
    titles: Mapping[UUID, MailTitle]  # of those mails
    drafts: list[TemplateView]  # of the person
    today: PeriodFigures
    counted_at: datetime | None  # since when the figures may be out of date
    today_date: date  # of the person
    has_more: bool  # more mails wait for a person than are listed

    @property
    def answer(self) -> str:
        """What waits for the person, in one sentence."""
        mails = choose_plural(len(self.undecided), "mail")
        parts = []
        if self.undecided:
            many = f"more than {mails} wait" if self.has_more else f"{mails} wait{'s' * (len(self.undecided) == 1)}"
            parts.append(f"{many} for a person to decide")
        if self.drafts:
            drafts = choose_plural(len(self.drafts), "draft")
            parts.append(f"{drafts} of yours {'is' if len(self.drafts) == 1 else 'are'} not published")
        text = " and ".join(parts) or "nothing waits for you"
        return f"{text[:1].upper()}{text[1:]}."

    @property
    def figures(self) -> list[tuple[str, int, str]]:
        """What became of today's mails: in words, how many, and a search that finds them (empty: none does)."""
        after = f"after:{self.today_date}"
        figures = [("Asked for", self.today.total, after), ("Accepted by a mail server", self.today.sent, "")]
        for words, statuses in _FIGURES.items():
            count = sum(self.today.statuses[status] for status in statuses)
            search = f"status:{statuses[0]} {after}" if len(statuses) == 1 else ""
            if count or Status.FAILED in statuses:
                figures.append((words, count, search))
        return figures


async def show_home(request: Request) -> Response:
    """Show what waits for the person."""
    session, console = await require_member(request), get_console(request)
    member, now = session.member, console.clock.now()
    period = compute_day(now, ZoneInfo(member.time_zone))
    async with console.read_slots.open() as connection:
        undecided = await notification_view.list_held_unknown(connection, limit=MAX_LISTED + 1)
        titles = await console.mail_titles.load_titles(connection, undecided)
        templates = await template_store.list_templates(connection, limit=MAX_TEMPLATES)

    async def load_figures(connection: ReadConnection) -> tuple[list[PeriodFigures], datetime | None]:
        figures = await statistics_query.load_figures(connection, [period], StatisticsFilter())
        return figures, await statistics_query.find_counted_at(connection, period)

    figures, counted_at = await console.read_slots.read_standby(load_figures)
    contents = HomeContents(
        undecided=undecided[:MAX_LISTED],
        titles=titles,
        has_more=len(undecided) > MAX_LISTED,
        drafts=[view for view in templates if view.has_draft and view.updated_by == member.actor_name],
        today=figures[0],
        counted_at=counted_at,
        today_date=now.astimezone(ZoneInfo(member.time_zone)).date(),
    )
    return render_page(request, "home", contents=contents)


def compute_day(now: datetime, zone: ZoneInfo) -> Period:
    """Compute the reader's day. In every zone of today it begins with a quarter of an hour, as statistics need it."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(start=midnight.astimezone(UTC), stop=(midnight + timedelta(days=1)).astimezone(UTC))


routes = [Route("/", show_home)]
