"""`jobs`: an operator lists, shows, watches, cancels, pauses, resumes and retries the job runs of any owner."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
    strip_control_characters,
)
from notifier.job_states import ENDED_JOB_STATES
from notifier.states import JobKind, JobState

if TYPE_CHECKING:
    from notifier.jobs.job_action import JobRunView
    from notifier.runtime.process_parts import ProcessParts

MAX_LISTED_JOBS = 1000
WATCH_SECONDS = 1.0
"""Between two looks at a job that is watched."""
Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]
Service = Annotated[str, typer.Option(help="Only jobs of this service; default: of all owners.")]


async def list_jobs(
    service: Service = "",
    kind: Annotated[JobKind | None, typer.Option(help="Only jobs of this kind.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    schedule: Annotated[str, typer.Option(help="Only jobs that this schedule began.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED_JOBS, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List job runs, newest first."""
    from notifier.jobs import job_store
    from notifier.jobs.schedule_request import SCHEDULE_NAME

    if schedule and not SCHEDULE_NAME.fullmatch(schedule):
        raise CommandError("--schedule: lower-case letters, digits, - and _, and a letter first", USAGE_ERROR)
    async with open_for_reading() as parts, parts.database.read() as connection:
        owner = await _find_service(connection, service)
        filters = job_store.JobFilter(service_id=owner, kind=kind, state=state, schedule=schedule or None)
        runs = await job_store.list_runs(connection, filters, before=None, limit=limit)
    if as_json:
        print(json.dumps([_build_json(run, with_log=False) for run in runs]))
        return
    print_rows([_build_row(run) for run in runs], as_json=False)


async def show_job(id_: Id, service: Service = "", as_json: Json = False) -> None:
    """Show a job run: its state, what it has done, and the last lines of its log."""
    run_id = _parse_job_id(id_)
    async with open_for_reading() as parts:
        _print_run(await _load_run(parts, run_id, service), as_json=as_json)


async def cancel_job(id_: Id, service: Service = "", as_json: Json = False) -> None:
    """Cancel a job after the step under way; what it has done stays. Exit 1 if it has ended."""
    from notifier.jobs import job_control

    await _change_run(id_, service, job_control.cancel_run, is_stop=True, as_json=as_json)


async def pause_job(id_: Id, service: Service = "", as_json: Json = False) -> None:
    """Pause a job after the step under way. Exit 1 if it has ended."""
    from notifier.jobs import job_control

    await _change_run(id_, service, job_control.pause_run, is_stop=True, as_json=as_json)


async def resume_job(id_: Id, service: Service = "", as_json: Json = False) -> None:
    """Continue a paused job where it was. Exit 1 if it is not paused."""
    from notifier.jobs import job_control

    await _change_run(id_, service, job_control.resume_run, as_json=as_json)


async def retry_job(id_: Id, service: Service = "", as_json: Json = False) -> None:
    """Continue a failed job at the step that failed. Exit 1 if it has not failed."""
    from notifier.jobs import job_control

    await _change_run(id_, service, job_control.retry_run, as_json=as_json)


async def watch_job(id_: Id, service: Service = "", as_json: Json = False) -> None:
    """Watch a job until it has ended, with a progress bar on a terminal. Exit 1 if it failed or was cancelled."""
    run_id = _parse_job_id(id_)
    async with open_for_reading() as parts:
        with _show_changes(as_json=as_json) as show:
            run = await _load_run(parts, run_id, service)
            show(run)
            while run.state not in ENDED_JOB_STATES:
                await asyncio.sleep(WATCH_SECONDS)
                run = await _load_run(parts, run_id, service)
                show(run)
    if run.state is not JobState.SUCCEEDED:
        reason = f": {strip_control_characters(run.error)}" if run.error else ""
        raise CommandError(f"the job {run.state}{reason}" if run.error else f"the job was {run.state}")


async def _find_service(connection: Any, name: str) -> UUID | None:
    from notifier.auth import service_admin

    return await service_admin.find_service(connection, name) if name else None


async def _load_run(parts: "ProcessParts", id_: UUID, service: str) -> "JobRunView":
    from notifier.jobs import job_store

    async with parts.database.read() as connection:
        return await job_store.get_run(connection, id_, await _find_service(connection, service))


async def _change_run(
    id_: str,
    service: str,
    change: Callable[..., Awaitable["JobRunView"]],
    *,
    is_stop: bool = False,
    as_json: bool,
) -> None:
    from notifier.jobs import job_control
    from notifier.runtime.job_actions import build_job_actions

    run_id = _parse_job_id(id_)
    async with open_for_writing() as parts:
        actions = build_job_actions(parts)
        async with parts.database.write() as connection:
            owner, actor = await _find_service(connection, service), build_actor(parts.clock.now())
            run = await change(connection, run_id, owner, actions, actor=actor)
        if is_stop:
            async with parts.database.write() as connection:
                await job_control.finish_stop(connection, run, actions)
    _print_run(run, as_json=as_json)


def _parse_job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is not a job's id: `notifier jobs list` has them", USAGE_ERROR) from error


@contextmanager
def _show_changes(*, as_json: bool) -> Iterator[Callable[["JobRunView"], None]]:
    """Show each change of a run: by a bar on a terminal, else by a line each."""
    if sys.stderr.isatty() and not as_json:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=100)
            yield lambda run: bar.update(task, completed=run.progress, description=f"{run.kind} {run.state}")
        return
    last = ""

    def print_change(run: "JobRunView") -> None:
        nonlocal last
        line = json.dumps(_build_json(run, with_log=False)) if as_json else _format_run_line(run)
        if line != last:
            print(line, flush=True)
        last = line

    yield print_change


def _format_run_line(run: "JobRunView") -> str:
    return f"{run.state} {run.progress} %  {_format_counts(run)}".rstrip(" -")


def _print_run(run: "JobRunView", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_build_json(run, with_log=True)))
        return
    print(f"{run.id}  {run.kind}\n")
    print(f"state     {run.state}, {run.progress} %")
    print(f"counts    {_format_counts(run)}")
    if run.error:
        print(f"error     {strip_control_characters(run.error)}")
    if run.schedule_name:
        print(f"schedule  {run.schedule_name}, for {format_time(run.planned_at)}")
    print(f"created   {format_time(run.created_at)} by {run.created_by}")
    print(f"ended     {format_time(run.ended_at)}")
    for line in run.log:
        print(f"{str(line['at'])[:19]}Z  {strip_control_characters(str(line['text']))}")


def _format_counts(run: "JobRunView") -> str:
    return " ".join(f"{name}={number}" for name, number in sorted(run.counts.items())) or "-"


def _build_json(run: "JobRunView", *, with_log: bool) -> dict[str, Any]:
    """Build the job as the API shows it."""
    from notifier.api.jobs import models

    if with_log:
        return models.JobDetailOut.model_validate(models.build_job_detail(run)).model_dump(mode="json")
    return models.JobOut.model_validate(models.build_job_reply(run)).model_dump(mode="json")


def _build_row(run: "JobRunView") -> dict[str, str]:
    return {
        "id": str(run.id),
        "kind": run.kind.value,
        "state": run.state.value,
        "progress": f"{run.progress} %",
        "counts": _format_counts(run),
        "schedule": run.schedule_name or "-",
        "created": format_time(run.created_at),
        "by": run.created_by,
    }
