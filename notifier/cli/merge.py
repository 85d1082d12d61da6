"""`notifier merge`: uploads a spreadsheet, shows what its check found, and submits its rows if that is asked for.

It calls the API, so that it works beside a running server. An option comes before `NOTIFIER_URL` and
`NOTIFIER_API_KEY`.
"""

import asyncio
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.api_access import REACH_ADVICE, KeyOption, UrlOption, find_access, open_remote_api, take_first
from notifier.cli.command import USAGE_ERROR, CommandError, strip_control_characters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from notifier.client import AsyncNotifier, Merge, MergeOptions

POLL_SECONDS = 0.5
SHOWN_FAULTS = 10
"""Rows with faults that the command prints; the others are in the file that `--faults` writes."""
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
}


class FaultyRows(StrEnum):
    """What `--on-error` takes."""

    REJECT_ALL = "reject_all"
    SKIP_INVALID = "skip_invalid"


class DuplicateRows(StrEnum):
    """What `--duplicates` takes."""

    FIRST = "first"
    ALL = "all"


async def merge_file(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or ODS; its first row has the headings.")],
    template: Annotated[str, typer.Option(help="Slug of a published template.")],
    map_: Annotated[list[str], typer.Option("--map", help="heading:field; may be repeated.")] = [],  # noqa: B006
    start: Annotated[bool, typer.Option("--start", help="Submit the rows after the check.")] = False,
    on_error: Annotated[FaultyRows, typer.Option(help="About rows with faults.")] = FaultyRows.REJECT_ALL,
    duplicates: Annotated[DuplicateRows, typer.Option(help="Of rows with one address.")] = DuplicateRows.FIRST,
    send_at: Annotated[str | None, typer.Option(help="When the first mail is due, as 2026-12-01T09:00:00Z.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Mails that are due in a minute.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Write the rows with faults into this CSV file.")] = None,
    service: Annotated[str, typer.Option(help="Only if the key is of this service; else nothing is uploaded.")] = "",
    url: UrlOption = "",
    key: KeyOption = "",
) -> None:
    """Check the rows of a spreadsheet, and with --start make each of them a mail. Exit 0 if no row has a fault."""
    if not file.is_file():
        raise CommandError(f"{file} is no file", USAGE_ERROR)
    options: MergeOptions = {"on_error": on_error.value, "duplicates": duplicates.value}
    if send_at is not None:
        options["send_at"] = _parse_time(send_at)
    if per_minute is not None:
        options["per_minute"] = per_minute
    access = find_access(url, key, "NOTIFIER_API_KEY")
    async with open_remote_api(access, advice=REACH_ADVICE) as notifier:
        if service:
            await _require_service(notifier, service)
        merge = await _check_file(notifier, file, template, map_)
        await _show_check(notifier, merge)
        if faults is not None:
            faults.write_bytes(await notifier.merges.faults_csv(merge.id))
        if start:
            await _submit_rows(notifier, merge.id, options)
    if merge.faulty and not (start and on_error is FaultyRows.SKIP_INVALID):
        raise typer.Exit(1)


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError("--send-at: a time such as 2026-12-01T09:00:00Z", USAGE_ERROR) from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


async def _require_service(notifier: "AsyncNotifier", name: str) -> None:
    """Check that the key belongs to this service. Raises `CommandError`."""
    owner = (await notifier.whoami()).service
    if owner != name:
        actual = f"the service {owner}" if owner else "no service"
        raise CommandError(strip_control_characters(f"--service {name}: the key belongs to {actual}"), USAGE_ERROR)


async def _check_file(notifier: "AsyncNotifier", file: Path, template: str, mappings: list[str]) -> "Merge":
    """Upload the file and wait for the end of its check."""
    map_ = dict(_parse_mapping(text) for text in mappings)
    media_type = MEDIA_TYPES.get(file.suffix.lower(), "application/octet-stream")
    merge = await notifier.merges.create(file, template=template, map_=map_, content_type=media_type)
    with _show_progress("checking") as bar:
        while merge.state == "checking":
            await asyncio.sleep(POLL_SECONDS)
            merge = await notifier.merges.get(merge.id)
            bar(merge.progress)
    if merge.state != "checked":
        raise CommandError(strip_control_characters(merge.error or f"the merge is {merge.state}"))
    return merge


def _parse_mapping(text: str) -> tuple[str, str]:
    heading, separator, field = text.rpartition(":")
    if not separator:
        raise CommandError(f"--map {text}: write heading:field", USAGE_ERROR)
    return heading, field


async def _show_check(notifier: "AsyncNotifier", merge: "Merge") -> None:
    print(f"merge {merge.id}: {merge.rows} rows, {merge.valid} valid, {merge.faulty} with faults")
    print(f"{merge.duplicates} with an address that comes before, {merge.suppressed} with a suppressed address")
    if merge.copies:
        print(f"{merge.copies} copies, to the addresses in cc and bcc")
    for column in merge.columns:
        print(strip_control_characters(f"  {column.heading} -> {column.field or 'not used'}"))
    for sentence in merge.problems:
        print(strip_control_characters(sentence))
    if not merge.faulty:
        return
    rows = await take_first(notifier.merges.faults(merge.id, limit=SHOWN_FAULTS + 1), SHOWN_FAULTS + 1)
    for row in rows[:SHOWN_FAULTS]:
        for fault in row.faults:
            where = f"row {row.row}" + (f", {fault.column}" if fault.column else "")
            cell = f" (“{fault.cell}”)" if fault.cell else ""
            print(strip_control_characters(f"{where}: {fault.detail}{cell}"), file=sys.stderr)
    if len(rows) > SHOWN_FAULTS:
        print("there are more: --faults FILE.csv writes all of them", file=sys.stderr)


async def _submit_rows(notifier: "AsyncNotifier", id_: str, options: "MergeOptions") -> None:
    """Start the merge and wait until each row has been submitted; mails that are due later go on alone."""
    merge = await notifier.merges.start(id_, **options)
    with _show_progress("submitting") as bar:
        while merge.state == "running" and (merge.submitted is None or merge.submitted.written < merge.submitted.size):
            await asyncio.sleep(POLL_SECONDS)
            merge = await notifier.merges.get(id_)
            bar(merge.progress)
    submitted = merge.submitted
    if merge.state in {"failed", "cancelled"} or submitted is None:
        raise CommandError(strip_control_characters(merge.error or f"the merge is {merge.state}"))
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(submitted.statuses.items()))
    rows = f"{submitted.written} of {submitted.size} rows are submitted"
    print(f"{rows}: {statuses or 'none'}; the merge is {merge.state}")


@contextmanager
def _show_progress(label: str) -> "Iterator[Any]":
    """Show a progress bar on a terminal; yields the function that takes the per cent."""
    if not sys.stderr.isatty():
        yield lambda _percent: None
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    bar: Progress
    with RichProgress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=100)
        yield lambda percent: bar.update(task, completed=percent)
