"""`schedules`: an operator lists, saves, switches, runs and deletes the schedules of the instance or of a service."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from notifier.cli import schedule_input
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
)
from notifier.job_states import CatchUp, Overlap
from notifier.states import JobKind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.audit import Actor
    from notifier.jobs.job_control import JobActions
    from notifier.jobs.schedule_store import ScheduleView

MAX_NEXT_TIMES = 100
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance.")]
_Operation = Callable[["AsyncConnection", UUID, "JobActions", "Actor"], Awaitable[Any]]


async def list_schedules(service: Service = "", as_json: Json = False) -> None:
    """List the schedules of the instance or of a service, by name."""
    from notifier.jobs import schedule_store

    async with open_for_reading() as parts, parts.database.read() as connection:
        rows = await schedule_store.list_schedules(connection, await _find_owner(connection, service))
    if as_json:
        print(json.dumps([_build_json(row) for row in rows]))
        return
    print_rows([_build_row(row) for row in rows], as_json=False)


async def show_schedule(name: Name, service: Service = "", as_json: Json = False) -> None:
    """Show a schedule."""
    schedule, _ = await _load_schedule(name, service)
    _print_schedule(schedule, as_json=as_json)


async def list_next_times(
    name: Name,
    service: Service = "",
    count: Annotated[int, typer.Option(min=1, max=MAX_NEXT_TIMES, help="How many times.")] = 10,
    as_json: Json = False,
) -> None:
    """List the next times of a schedule, in its zone and in UTC; also of one that is switched off."""
    from zoneinfo import ZoneInfo

    schedule, now = await _load_schedule(name, service)
    times = schedule.list_next(now, count)
    zone = ZoneInfo(schedule.zone)
    rows = [{"local": time.astimezone(zone).isoformat(), "utc": format_time(time)} for time in times]
    print_rows(rows, as_json=as_json)


async def save_schedule(
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
    from notifier.jobs import schedule_store

    table = {
        "timing": timing,
        "action": action.value,
        "zone": zone,
        "options": schedule_input.parse_options(option),
        "catch_up": catch_up.value,
        "overlap": overlap.value,
        "enabled": not disabled,
    }
    request, faults = schedule_input.parse_schedule_table(table)
    if request is None:
        raise schedule_input.build_fault_error(faults)

    async def save(connection: "AsyncConnection", owner: UUID, actions: "JobActions", actor: "Actor") -> Any:
        return await schedule_store.save_schedule(connection, owner, name, request, actions, actor=actor)

    _print_schedule(await _change(service, save), as_json=as_json)


async def delete_schedule(name: Name, service: Service = "") -> None:
    """Delete a schedule that is not built in; its runs stay."""
    from notifier.jobs import schedule_store

    async def delete(connection: "AsyncConnection", owner: UUID, _actions: "JobActions", actor: "Actor") -> None:
        await schedule_store.delete_schedule(connection, owner, name, actor=actor)

    await _change(service, delete)


async def run_schedule(
    name: Name,
    service: Service = "",
    idempotency_key: Annotated[str, typer.Option(help="A second command with the same key begins no run.")] = "",
    as_json: Json = False,
) -> None:
    """Begin a run now, also of a schedule that is switched off; prints the job's id."""
    from notifier.api.request_reader import parse_idempotency_key
    from notifier.jobs import schedule_store

    key, problem = parse_idempotency_key(idempotency_key) if idempotency_key else (None, None)
    if problem is not None:
        raise CommandError(f"--idempotency-key: {problem}", USAGE_ERROR)

    async def trigger(connection: "AsyncConnection", owner: UUID, _actions: "JobActions", actor: "Actor") -> Any:
        return await schedule_store.trigger_schedule(connection, owner, name, actor=actor, idempotency_key=key)

    run, replayed = await _change(service, trigger)
    print(json.dumps({"job": str(run.id), "replayed": replayed}) if as_json else run.id)


async def enable_schedule(name: Name, service: Service = "", as_json: Json = False) -> None:
    """Switch a schedule on. Its next time is counted from now."""
    await _switch(name, service, enabled=True, as_json=as_json)


async def disable_schedule(name: Name, service: Service = "", as_json: Json = False) -> None:
    """Switch a schedule off. Runs that have begun go on."""
    await _switch(name, service, enabled=False, as_json=as_json)


async def apply_schedules(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="A table [schedules.NAME] for each schedule.")],
    service: Service = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Create and change all schedules of a file, or none if one has a fault. Others stay as they are."""
    from notifier.errors import InvalidRequestError
    from notifier.jobs import schedule_file
    from notifier.runtime.job_actions import build_job_actions

    requests = schedule_input.read_schedule_file(file)
    try:
        if dry_run:
            async with open_for_reading() as parts, parts.database.read() as connection:
                owner = await _find_owner(connection, service)
                planned = await schedule_file.plan_saves(connection, owner, requests, build_job_actions(parts))
        else:

            async def save(connection: "AsyncConnection", owner: UUID, actions: "JobActions", actor: "Actor") -> Any:
                return await schedule_file.save_schedules(connection, owner, requests, actions, actor=actor)

            planned = await _change(service, save)
    except InvalidRequestError as error:
        raise schedule_input.build_fault_error(error.faults) from error
    print_rows([{"name": item.name, "change": item.change.value} for item in planned], as_json=as_json)


async def _switch(name: str, service: str, *, enabled: bool, as_json: bool) -> None:
    from notifier.jobs import schedule_store

    async def switch(connection: "AsyncConnection", owner: UUID, _actions: "JobActions", actor: "Actor") -> Any:
        return await schedule_store.switch_schedule(connection, owner, name, enabled=enabled, actor=actor)

    _print_schedule(await _change(service, switch), as_json=as_json)


async def _change(service: str, operation: _Operation) -> Any:
    """Run an operation in a transaction, as the operator at this terminal."""
    from notifier.errors import InvalidRequestError
    from notifier.runtime.job_actions import build_job_actions

    try:
        async with open_for_writing() as parts, parts.database.write() as connection:
            owner, actor = await _find_owner(connection, service), build_actor(parts.clock.now())
            return await operation(connection, owner, build_job_actions(parts), actor)
    except InvalidRequestError as error:
        raise schedule_input.build_fault_error(error.faults) from error


async def _load_schedule(name: str, service: str) -> tuple["ScheduleView", datetime]:
    """Load a schedule, and the time."""
    from notifier.jobs import schedule_store

    async with open_for_reading() as parts, parts.database.read() as connection:
        owner = await _find_owner(connection, service)
        return await schedule_store.get_schedule(connection, owner, name), parts.clock.now()


async def _find_owner(connection: "AsyncConnection", service: str) -> UUID:
    from notifier.auth import service_admin
    from notifier.db.tables import INSTANCE

    return await service_admin.find_service(connection, service) if service else INSTANCE


# -- what is shown --------------------------------------------------------------------------------


def _print_schedule(schedule: "ScheduleView", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_build_json(schedule)))
        return
    for name, value in _build_row(schedule).items():
        print(f"{name.ljust(9)} {value}")
    if schedule.last_skipped_at is not None:
        last = f"{format_time(schedule.last_skipped_at)} by {schedule.skipped_reason}"
        print(f"skipped   {schedule.skipped_count}, the last one {last}")
    print(f"options   {json.dumps(dict(schedule.options))}")


def _build_json(schedule: "ScheduleView") -> Mapping[str, Any]:
    """Build the schedule as the API shows it."""
    from notifier.api.schedules import models

    return models.ScheduleOut.model_validate(models.build_schedule_reply(schedule)).model_dump(mode="json")


def _build_row(schedule: "ScheduleView") -> dict[str, str]:
    return {
        "name": schedule.name,
        "timing": schedule.timing,
        "zone": schedule.zone,
        "action": schedule.kind.value,
        "catch_up": schedule.catch_up.value,
        "overlap": schedule.overlap.value,
        "enabled": "yes" if schedule.enabled else "no",
        "next": format_time(schedule.next_at),
        "built_in": "yes" if schedule.built_in else "no",
    }
