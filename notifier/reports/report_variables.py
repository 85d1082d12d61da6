"""The variables of the daily report, in the words and numbers that its readers see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from notifier.states import Reason, Status
from notifier.statistics.statistics_query import MEDIAN, P95, PeriodFigures
from notifier.statistics.waiting_mail import WaitingMail

DAYS_BACK = 7
"""Days that are shown as bars; the one before them is the day of a week ago."""
MAX_REASONS = 5
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
REASON_WORDS: Final[dict[str, str]] = {
    Reason.RECIPIENT_REFUSED: "The mailbox does not exist",
    Reason.REDIRECT_REFUSED: "The redirect address was refused",
    Reason.MESSAGE_REFUSED: "The message was refused",
    Reason.SENDER_REFUSED: "The sender address was refused",
    Reason.EXHAUSTED: "Refused for now, until the last attempt",
    Reason.TEMPLATE: "The template could not be rendered",
    Reason.INTERNAL: "A fault of Notifier",
    Reason.MESSAGE_TOO_LARGE: "The message was too large",
    Reason.RECIPIENT_NOT_ALLOWED: "The recipient is not allowed here",
    Reason.RECIPIENT_SUPPRESSED: "The address is suppressed",
    Reason.EXPIRED: "Not sent in time",
    Reason.TEMPORARY_REFUSAL: "Refused for now",
    Reason.CONNECTION_LOST: "The connection was lost",
    Reason.NO_FINAL_REPLY: "No final reply",
    Reason.SENDER_DIED: "The sender process died",
    Reason.POISON: "It killed several senders",
    Reason.RESOLVED: "A person decided so",
}


@dataclass(frozen=True, kw_only=True)
class ReportFigures:
    """What a report shows."""

    product: str
    zone: str
    day: date
    days: Sequence[PeriodFigures]  # eight days; the last one is `day`
    waiting: WaitingMail


def build_report_variables(figures: ReportFigures) -> dict[str, Any]:
    """Build the variables of the template `daily_report`."""
    week_ago, yesterday = figures.days[0], figures.days[-1]
    variables: dict[str, Any] = {
        "product": figures.product,
        "date": _format_day(figures.day),
        "summary": _summarise(yesterday, figures.zone),
        "compared_to": _format_day(figures.day - timedelta(days=DAYS_BACK)),
        "metrics": _build_metrics(yesterday, week_ago),
        "chart_title": "Sent, last seven days",
        "days": _build_days(figures),
        "facts": {"title": "Waiting now", "rows": _build_waiting(figures.waiting)},
    }
    if yesterday.reasons:
        variables["top"] = {"title": "Why mail failed", "rows": _build_reasons(yesterday)}
    return variables


def _summarise(yesterday: PeriodFigures, zone: str) -> str:
    if not yesterday.total:
        return f"Nothing was submitted. The day is that of {zone}."
    share = f"{yesterday.sent:,} of {yesterday.total:,} mails that were submitted have been accepted by a mail server"
    return f"{share}. The day is that of {zone}."


def _build_metrics(yesterday: PeriodFigures, week_ago: PeriodFigures) -> list[dict[str, Any]]:
    numbers = (
        ("Sent", yesterday.sent, week_ago.sent, True),
        ("Failed", yesterday.failed, week_ago.failed, False),
        ("Bounced", yesterday.statuses[Status.BOUNCED], week_ago.statuses[Status.BOUNCED], False),
        ("Complained", yesterday.statuses[Status.COMPLAINED], week_ago.statuses[Status.COMPLAINED], False),
    )
    metrics = [
        {"label": label, "value": f"{now:,}", **_compare_numbers(now, before, more_is_good=more_is_good)}
        for label, now, before, more_is_good in numbers
    ]
    for label, quantile in (("Half accepted in", MEDIAN), ("95 % accepted in", P95)):
        now, before = yesterday.get_seconds(quantile), week_ago.get_seconds(quantile)
        metrics.append({"label": label, "value": format_seconds(now), **_compare_seconds(now, before)})
    return metrics


def _compare_numbers(now: int, before: int, *, more_is_good: bool) -> dict[str, Any]:
    if now == before:
        return {"delta": "0", "trend": "same"}
    delta = f"{abs(now - before) / before:.1%}" if before else f"{now:,}"
    return {"delta": delta, "trend": "up" if now > before else "down", "good": (now > before) is more_is_good}


def _compare_seconds(now: float | None, before: float | None) -> dict[str, Any]:
    if now is None or before is None:
        return {"delta": "0", "trend": "none"}
    if format_seconds(now) == format_seconds(before):
        return {"delta": "0", "trend": "same"}
    return {"delta": format_seconds(abs(now - before)), "trend": "up" if now > before else "down", "good": now < before}


def _build_days(figures: ReportFigures) -> list[dict[str, Any]]:
    shown = figures.days[-DAYS_BACK:]
    most = max(day.sent for day in shown) or 1
    first = figures.day - timedelta(days=DAYS_BACK - 1)
    return [
        {
            "label": _WEEKDAYS[(first + timedelta(days=index)).weekday()][:3],
            "value": shorten_number(day.sent),
            "percent": round(100 * day.sent / most),
        }
        for index, day in enumerate(shown)
    ]


def _build_reasons(yesterday: PeriodFigures) -> list[dict[str, Any]]:
    reasons = yesterday.reasons.most_common(MAX_REASONS)
    return [
        {
            "label": REASON_WORDS.get(reason, reason),  # of a failure without a reason, its status
            "value": f"{number:,}",
            "percent": round(100 * number / reasons[0][1]),
        }
        for reason, number in reasons
    ]


def _build_waiting(waiting: WaitingMail) -> list[dict[str, str]]:
    more = " or more" if waiting.is_cut else ""
    return [
        {"label": "For a sender", "value": f"{waiting.due:,}{more}"},
        {"label": "For a later time", "value": f"{waiting.later:,}{more}"},
        {"label": "For a decision", "value": f"{waiting.held:,}{more}"},
    ]


def shorten_number(number: int) -> str:
    """Shorten a number so that it fits above a bar on a phone: 9,999, 12.3k, 4.0M."""
    for limit, unit, letter in ((10_000, 1, ""), (999_950, 1_000, "k")):
        if number < limit:
            return f"{number / unit:.1f}{letter}" if letter else f"{number:,}"
    return f"{number / 1_000_000:.1f}M"


def format_seconds(seconds: float | None) -> str:
    """Format a time for people; None: there is none."""
    if seconds is None:
        return "-"
    for limit, unit, digits in ((10, 1, 1), (100, 1, 0), (5_400, 60, 0)):
        if seconds < limit:
            return f"{seconds / unit:.{digits}f} {'s' if unit == 1 else 'min'}"
    return f"{seconds / 3600:.1f} h"


def _format_day(day: date) -> str:
    return f"{_WEEKDAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"
