"""`schedules`: an operator lists, saves, switches, runs and deletes the schedules of the instance or of a service."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import schedule_input
from notifier.cli.api_access import pass_api
from notifier.cli.command import Json, format_time, print_rows
from notifier.job_states import CatchUp, Overlap
from notifier.states import JobKind

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Schedule

MAX_NEXT_TIMES = 100
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance.")]


@pass_api(writes=False)
async def list_schedules(notifier: "AsyncNotifier", service: Service = "", as_json: Json = False) -> None:
    """List the schedules of the instance or of a service, by name."""
    schedules = [schedule async for schedule in notifier.schedules.list(service=service or None)]
    if as_json:
        print(json.dumps([schedule.raw for schedule in schedules]))
        return
    print_rows([_build_row(schedule) for schedule in schedules], as_json=False)


@pass_api(writes=False)
async def show_schedule(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """Show a schedule."""
    _print_schedule(await notifier.schedules.get(name, service=service or None), as_json=as_json)


@pass_api(writes=False)
async def list_next_times(
    notifier: "AsyncNotifier",
    name: Name,
    service: Service = "",
    count: Annotated[int, typer.Option(min=1, max=MAX_NEXT_TIMES, help="How many times.")] = 10,
    as_json: Json = False,
) -> None:
    """List the next times of a schedule, in its zone and in UTC; also of one that is switched off."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo((await notifier.schedules.get(name, service=service or None)).zone)
    times = await notifier.schedules.next_times(name, count=count, service=service or None)
    rows = [{"local": time.astimezone(zone).isoformat(), "utc": format_time(time)} for time in times]
    print_rows(rows, as_json=as_json)


@pass_api(writes=True)
async def save_schedule(
    notifier: "AsyncNotifier",
    name: Name,
    timing: Annotated[str, typer.Option(help="Five cron fields, such as '0 9 * * 1-5', or 'every 15m'.")],
    action: Annotated[JobKind, typer.Option(help="What it does.")],
    zone: Annotated[str, typer.Option(help="The time zone of a cron timing, such as Europe/Berlin.")] = "UTC",
    option: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="A setting of the action, as JSON or text; may be repeated.")
    ] = [],  # noqa: B006
    catch_up: Annotated[CatchUp, typer.Option(help="Which missed times get a run.")] = CatchUp.ONE,
    overlap: Annotated[Overlap, typer.Option(help="If the last run has not ended.")] = Overlap.SKIP,
    disabled: Annotated[bool, typer.Option("--disabled", help="It begins no runs, except by hand.")] = False,
    service: Service = "",
    as_json: Json = False,
) -> None:
    """Create a schedule, or replace it as a whole. Its next time is counted from now."""
    from notifier.client import InvalidRequestError

    try:
        schedule = await notifier.schedules.save(
            name,
            service=service or None,
            timing=timing,
            action=action.value,
            zone=zone,
            options=schedule_input.parse_options(option),
            catch_up=catch_up.value,
            overlap=overlap.value,
            enabled=not disabled,
        )
    except InvalidRequestError as error:
        raise schedule_input.build_fault_error(error) from error
    _print_schedule(schedule, as_json=as_json)


@pass_api(writes=True)
async def delete_schedule(notifier: "AsyncNotifier", name: Name, service: Service = "") -> None:
    """Delete a schedule that is not built in; its runs stay."""
    await notifier.schedules.delete(name, service=service or None)


@pass_api(writes=True)
async def run_schedule(
    notifier: "AsyncNotifier",
    name: Name,
    service: Service = "",
    idempotency_key: Annotated[str, typer.Option(help="A second command with the same key begins no run.")] = "",
    as_json: Json = False,
) -> None:
    """Begin a run now, also of a schedule that is switched off; prints the job's id."""
    run = await notifier.schedules.run(name, service=service or None, idempotency_key=idempotency_key or None)
    print(json.dumps({"job": run.id, "replayed": run.replayed}) if as_json else run.id)


@pass_api(writes=True)
async def enable_schedule(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """Switch a schedule on. Its next time is counted from now."""
    schedule = await notifier.schedules.switch(name, enabled=True, service=service or None)
    _print_schedule(schedule, as_json=as_json)


@pass_api(writes=True)
async def disable_schedule(notifier: "AsyncNotifier", name: Name, service: Service = "", as_json: Json = False) -> None:
    """Switch a schedule off. Runs that have begun go on."""
    schedule = await notifier.schedules.switch(name, enabled=False, service=service or None)
    _print_schedule(schedule, as_json=as_json)


@pass_api(writes=True)
async def apply_schedules(
    notifier: "AsyncNotifier",
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="A table [schedules.NAME] for each schedule.")],
    service: Service = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Create and change all schedules of a file, or none if one has a fault. Others stay as they are."""
    from notifier.client import InvalidRequestError

    schedules = schedule_input.read_schedule_file(file)
    try:
        saved = await notifier.schedules.save_all(schedules, dry_run=dry_run or None, service=service or None)
    except InvalidRequestError as error:
        raise schedule_input.build_fault_error(error) from error
    print_rows([{"name": each.name, "change": each.change} for each in saved], as_json=as_json)


# -- what is shown --------------------------------------------------------------------------------


def _print_schedule(schedule: "Schedule", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(schedule.raw))
        return
    for name, value in _build_row(schedule).items():
        print(f"{name.ljust(9)} {value}")
    if schedule.last_skipped_at is not None:
        last = f"{format_time(schedule.last_skipped_at)} by {schedule.skipped_reason}"
        print(f"skipped   {schedule.skipped_count}, the last one {last}")
    print(f"options   {json.dumps(dict(schedule.options))}")


def _build_row(schedule: "Schedule") -> dict[str, str]:
    return {
        "name": schedule.name,
        "timing": schedule.timing,
        "zone": schedule.zone,
        "action": schedule.action,
        "catch_up": schedule.catch_up,
        "overlap": schedule.overlap,
        "enabled": "yes" if schedule.enabled else "no",
        "next": format_time(schedule.next_at),
        "built_in": "yes" if schedule.built_in else "no",
    }
