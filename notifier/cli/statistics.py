"""`stats`: an operator looks at the figures of all services, or of one."""

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.api_access import pass_api
from notifier.cli.command import USAGE_ERROR, CommandError, Json, format_time, print_rows

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, PeriodFigures, StatisticsFilter

_DAY_LENGTH = len("2026-01-31")
_WAITING = ("queued", "deferred", "unknown")


@pass_api(writes=False)
async def show_statistics(
    notifier: "AsyncNotifier",
    service: Annotated[str, typer.Option(help="Only this service; default: all.")] = "",
    template: Annotated[str, typer.Option(help="Only this template.")] = "",
    by: Annotated[str, typer.Option(help="hour or day.")] = "day",
    start: Annotated[
        str, typer.Option("--from", help="A day of the zone, or a time such as 2026-01-31T12:00:00Z.")
    ] = "",
    stop: Annotated[str, typer.Option("--to", help="Before this day or time; default: now.")] = "",
    zone: Annotated[str, typer.Option(help="The time zone of the days, such as Europe/Berlin.")] = "UTC",
    as_json: Json = False,
) -> None:
    """Show how many notifications each hour or day had, by status, and how quickly they were accepted."""
    if by not in ("hour", "day"):
        raise CommandError("--by: hour or day", USAGE_ERROR)
    place = _find_zone(zone)
    filters: StatisticsFilter = {
        "by": "hour" if by == "hour" else "day",
        "from_": _read_time(start, "--from", place),
        "to": _read_time(stop, "--to", place),
        "zone": zone,
        "template": template or None,
        "service": service or None,
    }
    statistics = await notifier.statistics(**filters)
    print_rows([_build_row(each, place, as_json=as_json) for each in statistics.periods], as_json=as_json)


def _find_zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise CommandError(f"--zone: there is no time zone {name}", USAGE_ERROR) from error


def _read_time(text: str, option: str, zone: tzinfo) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=zone) if len(text) == _DAY_LENGTH else time
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    detail = "a day such as 2026-01-31, or a time with its offset, such as 2026-01-31T12:00:00Z"
    raise CommandError(f"{option}: {detail}", USAGE_ERROR)


def _build_row(figures: "PeriodFigures", zone: tzinfo, *, as_json: bool) -> dict[str, Any]:
    statuses = figures.statuses
    numbers: dict[str, Any] = {
        "start": format_time(figures.start) if as_json else figures.start.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
        "total": figures.total,
        "sent": figures.sent,
        "failed": figures.failed,
        "bounced": statuses.get("bounced", 0),
        "complained": statuses.get("complained", 0),
        "suppressed": statuses.get("suppressed", 0),
        "waiting": sum(statuses.get(status, 0) for status in _WAITING),
    }
    seconds = {"p50": figures.seconds_p50, "p95": figures.seconds_p95}
    if as_json:
        return numbers | {f"seconds_{name}": value for name, value in seconds.items()}
    return numbers | {f"s_{name}": "-" if value is None else f"{value:.1f}" for name, value in seconds.items()}
