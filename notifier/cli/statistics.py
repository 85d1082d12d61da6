"""`stats`: an operator looks at the figures of all services, or of one."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, Json, format_time, open_for_reading, print_rows

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from notifier.statistics.statistics_query import PeriodFigures

_DAY_LENGTH = len("2026-01-31")


async def show_statistics(
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
    from notifier.auth import service_admin
    from notifier.statistics import periods, statistics_query
    from notifier.statistics.periods import InvalidPeriodError, PeriodLength
    from notifier.statistics.statistics_query import StatisticsFilter

    if by not in tuple(PeriodLength):
        raise CommandError("--by: hour or day", USAGE_ERROR)
    async with open_for_reading() as parts, parts.database.read() as connection:
        try:
            place = periods.parse_zone(zone)
            bounds = periods.choose_bounds(
                _read_time(start, "--from", place), _read_time(stop, "--to", place), PeriodLength(by), parts.clock.now()
            )
            listed = periods.list_periods(*bounds, PeriodLength(by), place)
            service_id = await service_admin.find_service(connection, service) if service else None
            filters = StatisticsFilter(service_id=service_id, template=template or None)
            figures = await statistics_query.load_figures(connection, listed, filters)
        except InvalidPeriodError as error:
            raise CommandError(f"--{error.name}: {error}", USAGE_ERROR) from error
    print_rows([_build_row(each, place, as_json=as_json) for each in figures], as_json=as_json)


def _read_time(text: str, option: str, zone: "ZoneInfo") -> datetime | None:
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


def _build_row(figures: "PeriodFigures", zone: "ZoneInfo", *, as_json: bool) -> dict[str, Any]:
    from notifier.states import Status
    from notifier.statistics.statistics_query import MEDIAN, P95

    start = figures.period.start
    seconds = {"p50": figures.get_seconds(MEDIAN), "p95": figures.get_seconds(P95)}
    numbers: dict[str, Any] = {
        "start": format_time(start) if as_json else start.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
        "total": figures.total,
        "sent": figures.sent,
        "failed": figures.failed,
        "bounced": figures.statuses[Status.BOUNCED],
        "complained": figures.statuses[Status.COMPLAINED],
        "suppressed": figures.statuses[Status.SUPPRESSED],
        "waiting": sum(figures.statuses[status] for status in (Status.QUEUED, Status.DEFERRED, Status.UNKNOWN)),
    }
    if as_json:
        return numbers | {f"seconds_{name}": value for name, value in seconds.items()}
    return numbers | {f"s_{name}": "-" if value is None else f"{value:.1f}" for name, value in seconds.items()}
