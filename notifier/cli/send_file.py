"""`notifier send --csv`: sends one mail for each row of a file, as a merge that is checked, confirmed and followed.

A file that was sent before is not sent again: its merge is shown instead, which the SHA-256 of the file identifies.
"""

import asyncio
import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, format_time, strip_control_characters

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Merge

POLL_SECONDS = 0.5
SHOWN_FAULTS = 20
"""Rows with faults that are printed."""
SENT_STATUSES = frozenset({"sent", "delivered"})
WAITING_STATUSES = frozenset({"queued", "scheduled", "deferred"})


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How the rows of a file are sent."""

    template: str
    to_column: str  # heading; empty: the column that looks like it
    locale_column: str
    dry_run: bool
    yes: bool  # do not ask
    again: bool  # although the file was sent before
    seconds: float  # to wait for the outcome


async def send_file(notifier: "AsyncNotifier", file: Path, options: FileOptions) -> None:
    """Check the rows, send them after a confirmation, and print what became of them."""
    try:
        content = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", USAGE_ERROR) from error
    earlier = None if options.again else await _find_earlier_merge(notifier, content, options.template)
    if earlier is not None and earlier.start is not None:
        print(
            f"This file was sent already, on {format_time(earlier.start.at)} as merge {earlier.id}; nothing is sent"
            " twice. To send it once more, give --again."
        )
        await _follow_merge(notifier, earlier, options.seconds)
        return
    merge = await _check_file(notifier, content, options)
    count = merge.valid - merge.duplicates
    if not (options.dry_run or options.yes or sys.stdin.isatty()):
        await notifier.merges.cancel(merge.id)
        raise CommandError(f"{count} mails would be sent, and nobody can confirm it: give --yes", USAGE_ERROR)
    if options.dry_run or not count or not (options.yes or typer.confirm(f"Send {count} mails?")):
        await notifier.merges.cancel(merge.id)
        print(f"{count} mails would be sent. Nothing was sent.")
        return
    started = await notifier.merges.start(merge.id, on_error="reject_all", duplicates="first")
    await _follow_merge(notifier, started, options.seconds)


async def _find_earlier_merge(notifier: "AsyncNotifier", content: bytes, template: str) -> "Merge | None":
    """Find a merge of this file and template that was started."""
    digest = hashlib.sha256(content).hexdigest()
    async for summary in notifier.merges.list():
        if (summary.template, summary.size) == (template, len(content)):
            merge = await notifier.merges.get(summary.id)
            if merge.sha256 == digest and merge.start is not None:
                return merge
    return None


async def _check_file(notifier: "AsyncNotifier", content: bytes, options: FileOptions) -> "Merge":
    """Upload the file and wait for its check. Raises `CommandError` if a row has a fault."""
    columns = {options.to_column: "to", options.locale_column: "locale"}
    mapping = {heading: field for heading, field in columns.items() if heading}
    merge = await notifier.merges.create(
        content, template=options.template, map_=mapping, content_type="application/octet-stream"
    )
    while merge.state == "checking":
        await asyncio.sleep(POLL_SECONDS)
        merge = await notifier.merges.get(merge.id)
    if merge.state != "checked":
        raise CommandError(strip_control_characters(merge.error or f"the check of the file is {merge.state}"))
    for sentence in merge.problems:
        print(strip_control_characters(sentence))
    notes = {"with an address that comes before": merge.duplicates, "with a suppressed address": merge.suppressed}
    print(f"{merge.rows} rows" + "".join(f", {number} {what}" for what, number in notes.items() if number))
    if merge.faulty:
        await _print_faults(notifier, merge)
        await notifier.merges.cancel(merge.id)
        raise CommandError(
            f"{merge.faulty} of {merge.rows} rows have faults, and nothing was sent: correct them, or send the others"
            " with `notifier merge FILE --start --on-error skip_invalid`"
        )
    return merge


async def _print_faults(notifier: "AsyncNotifier", merge: "Merge") -> None:
    shown = 0
    async for row in notifier.merges.faults(merge.id, limit=SHOWN_FAULTS):
        for fault in row.faults:
            place = f"row {row.row}" + (f", {fault.column}" if fault.column else "")
            cell = f" (“{fault.cell}”)" if fault.cell else ""
            print(strip_control_characters(f"{place}: {fault.detail}{cell}"), file=sys.stderr)
        shown += 1
        if shown == SHOWN_FAULTS:
            break


async def _follow_merge(notifier: "AsyncNotifier", merge: "Merge", seconds: float) -> None:
    """Wait until each mail has ended, or for `seconds`; print the counts, and exit 1 if one has failed."""
    until = time.monotonic() + seconds
    while _count_waiting(merge) and merge.state == "running" and time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        merge = await notifier.merges.get(merge.id)
    statuses = merge.submitted.statuses if merge.submitted else {}
    sent = sum(number for status, number in statuses.items() if status in SENT_STATUSES)
    others = {status: number for status, number in statuses.items() if status not in SENT_STATUSES | WAITING_STATUSES}
    failed = sum(others.values())
    details = f" ({', '.join(f'{number} {status}' for status, number in sorted(others.items()))})" if others else ""
    print(f"{sent} sent, {failed} failed{details}, {_count_waiting(merge)} waiting")
    if merge.state not in {"running", "finished"}:
        raise CommandError(strip_control_characters(merge.error or f"the merge {merge.id} is {merge.state}"))
    if failed:
        raise typer.Exit(1)


def _count_waiting(merge: "Merge") -> int:
    """Count the rows that are not submitted yet, and the mails that have not ended."""
    submitted = merge.submitted
    if submitted is None:
        return 0
    queued = sum(number for status, number in submitted.statuses.items() if status in WAITING_STATUSES)
    return submitted.size - submitted.written + queued
