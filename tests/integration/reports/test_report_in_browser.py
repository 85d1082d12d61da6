"""The report as a reader sees it: on a phone and a desktop, light and dark, with much mail and with none."""

import asyncio
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from support import browser, template_pictures

from notifier.mail.mail_parts import RenderedParts
from notifier.rendering.pool import RenderingPool
from notifier.reports.report_variables import ReportFigures, build_report_variables
from notifier.states import Reason, Status
from notifier.statistics.periods import build_day
from notifier.statistics.statistics_query import PeriodFigures
from notifier.statistics.waiting_mail import WaitingMail
from notifier.templating.sync import template_files

ZONE = ZoneInfo("America/Argentina/ComodRivadavia")
DAY = date(2026, 10, 25)
VIEWS = [(width, scheme) for width in template_pictures.WIDTHS for scheme in template_pictures.SCHEMES]


def _build_variables(size: int) -> dict[str, Any]:
    """The variables of a service with about so many mails a day."""
    days = []
    for back in range(7, -1, -1):
        figures = PeriodFigures(period=build_day(DAY - timedelta(days=back), ZONE))
        number = size * (10 + back) // 12
        figures.statuses = Counter(
            {Status.SENT: number, Status.BOUNCED: number // 97, Status.COMPLAINED: number // 900}
            | {Status.FAILED: number // 40, Status.EXPIRED: number // 300}
        )
        figures.reasons = Counter(
            {reason.value: number // (50 + 20 * at) for at, reason in enumerate(Reason) if number}
        )
        figures.buckets = Counter({bucket: number // (bucket + 1) for bucket in range(12 + back)})
        days.append(figures)
    waiting = WaitingMail(due=size // 10, later=size // 30, held=size // 1000, is_cut=size > 100_000)
    report = ReportFigures(product="Larkspur", zone=ZONE.key, day=DAY, days=days, waiting=waiting)
    return build_report_variables(report)


async def _render(size: int) -> RenderedParts:
    source = template_files.read_template(Path("templates"), "daily_report")
    async with RenderingPool() as pool:
        check = await pool.check(msgspec.structs.replace(source, sample=_build_variables(size)))
    assert check.faults == []
    return next(iter(check.previews.values()))


@pytest.mark.parametrize("size", [0, 1_300, 4_000_000])
def test_a_report_can_be_read_at_every_width_and_in_both_schemes(size: int) -> None:
    """No sideways scrolling, enough contrast, no clipped text."""
    mail = asyncio.run(_render(size))
    complaints = []
    with browser.open_window() as window:
        window.load(mail.html or "")
        for width, scheme in VIEWS:
            window.set_view(width, scheme)
            complaints += [f"{width} {scheme}: {each}" for each in template_pictures.find_complaints(window)]
    assert complaints == []


async def test_the_text_part_has_the_same_figures() -> None:
    """Each number of the report is in the text part too, in lines of at most 78 characters."""
    variables, text = _build_variables(1_300), (await _render(1_300)).text
    rows = [*variables["metrics"], *variables["days"], *variables["top"]["rows"], *variables["facts"]["rows"]]
    assert all(row["value"] in text and row["label"] in text for row in rows)
    assert max(map(len, text.splitlines())) <= 78
