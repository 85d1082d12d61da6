"""`jobs`: an operator lists, shows, watches, cancels, pauses, resumes and retries the job runs of any owner."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from notifier.cli.api_access import pass_api, take_first
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.job_states import ENDED_JOB_STATES
from notifier.states import JobKind, JobState

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Job

MAX_LISTED_JOBS = 1000
PAGE_SIZE = 200
WATCH_SECONDS = 1.0
"""Between two looks at a job that is watched."""
Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]


@pass_api(writes=False)
async def list_jobs(
    notifier: "AsyncNotifier",
    service: Annotated[str, typer.Option(help="Only jobs of this service; default: of all owners.")] = "",
    kind: Annotated[JobKind | None, typer.Option(help="Only jobs of this kind.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    schedule: Annotated[str, typer.Option(help="Only jobs that this schedule began.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED_JOBS, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List job runs, newest first."""
    listed = notifier.jobs.list(
        service=service or None,
        kind=kind.value if kind else None,
        state=state.value if state else None,
        schedule=replace_surrogates(schedule) or None,
        limit=min(limit, PAGE_SIZE),
    )
    jobs = await take_first(listed, limit)
    if as_json:
        print(json.dumps([job.raw for job in jobs]))
        return
    print_rows([_build_row(job) for job in jobs], as_json=False)


@pass_api(writes=False)
async def show_job(notifier: "AsyncNotifier", id_: Id, as_json: Json = False) -> None:
    """Show a job run: its state, what it has done, and the last lines of its log."""
    _print_job(await notifier.jobs.get(_parse_job_id(id_)), as_json=as_json)


@pass_api(writes=True)
async def cancel_job(notifier: "AsyncNotifier", id_: Id, as_json: Json = False) -> None:
    """Cancel a job after the step under way; what it has done stays. Exit 1 if it has ended."""
    _print_job(await notifier.jobs.cancel(_parse_job_id(id_)), as_json=as_json)


@pass_api(writes=True)
async def pause_job(notifier: "AsyncNotifier", id_: Id, as_json: Json = False) -> None:
    """Pause a job after the step under way. Exit 1 if it has ended."""
    _print_job(await notifier.jobs.pause(_parse_job_id(id_)), as_json=as_json)


@pass_api(writes=True)
async def resume_job(notifier: "AsyncNotifier", id_: Id, as_json: Json = False) -> None:
    """Continue a paused job where it was. Exit 1 if it is not paused."""
    _print_job(await notifier.jobs.resume(_parse_job_id(id_)), as_json=as_json)


@pass_api(writes=True)
async def retry_job(notifier: "AsyncNotifier", id_: Id, as_json: Json = False) -> None:
    """Continue a failed job at the step that failed. Exit 1 if it has not failed."""
    _print_job(await notifier.jobs.retry(_parse_job_id(id_)), as_json=as_json)


@pass_api(writes=False)
async def watch_job(notifier: "AsyncNotifier", id_: Id, as_json: Json = False) -> None:
    """Watch a job until it has ended, with a progress bar on a terminal. Exit 1 if it failed or was cancelled."""
    job_id = _parse_job_id(id_)
    with _show_changes(as_json=as_json) as show:
        job = await notifier.jobs.get(job_id)
        show(job)
        while job.state not in ENDED_JOB_STATES:
            await asyncio.sleep(WATCH_SECONDS)
            job = await notifier.jobs.get(job_id)
            show(job)
    if job.state != JobState.SUCCEEDED:
        reason = f": {strip_control_characters(job.error)}" if job.error else ""
        raise CommandError(f"the job {job.state}{reason}" if job.error else f"the job was {job.state}")


def _parse_job_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise CommandError(f"{text!r} is not a job's id: `notifier jobs list` has them", USAGE_ERROR) from error


@contextmanager
def _show_changes(*, as_json: bool) -> Iterator[Callable[["Job"], None]]:
    """Show each change of a job: by a bar on a terminal, else by a line each."""
    if sys.stderr.isatty() and not as_json:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=100)
            yield lambda job: bar.update(task, completed=job.progress, description=f"{job.kind} {job.state}")
        return
    last = ""

    def print_change(job: "Job") -> None:
        nonlocal last
        line = json.dumps(_build_json(job, with_log=False)) if as_json else _format_job_line(job)
        if line != last:
            print(line, flush=True)
        last = line

    yield print_change


def _format_job_line(job: "Job") -> str:
    return f"{job.state} {job.progress} %  {_format_counts(job)}".rstrip(" -")


def _print_job(job: "Job", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_build_json(job, with_log=True)))
        return
    print(f"{job.id}  {job.kind}\n")
    print(f"state     {job.state}, {job.progress} %")
    print(f"counts    {_format_counts(job)}")
    if job.error:
        print(f"error     {strip_control_characters(job.error)}")
    if job.schedule:
        print(f"schedule  {job.schedule}, for {format_time(job.planned_at)}")
    print(f"created   {format_time(job.created_at)} by {job.created_by}")
    print(f"ended     {format_time(job.ended_at)}")
    for line in job.log:
        print(f"{format_time(line.at)}  {strip_control_characters(line.text)}")


def _format_counts(job: "Job") -> str:
    return " ".join(f"{name}={number}" for name, number in sorted(job.counts.items())) or "-"


def _build_json(job: "Job", *, with_log: bool) -> dict[str, Any]:
    """Build the job as the API shows it."""
    return {name: value for name, value in job.raw.items() if with_log or name != "log"}


def _build_row(job: "Job") -> dict[str, str]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "progress": f"{job.progress} %",
        "counts": _format_counts(job),
        "schedule": job.schedule or "-",
        "created": format_time(job.created_at),
        "by": job.created_by,
    }
