"""The check of a merge: each step validates the next rows of the file, and counts what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address, suppression
from notifier.db.dialect import bind_now, build_statement, encode_rows, is_sqlite
from notifier.db.tables import Merge, get_columns
from notifier.job_states import MergeState
from notifier.jobs.job_action import JobFailedError, JobRunView, StepContext, StepResult
from notifier.merge import merge_store
from notifier.merge.merge_context import LoadedMerge, MergeContext
from notifier.merge.merge_files import FilePlace, MergeFile
from notifier.merge.merge_view import FaultyRow
from notifier.merge.row_request import RowMapping
from notifier.merge.row_validation import ValidatedRow
from notifier.outbox.queue_sql import NOW, UUID_TYPE
from notifier.spreadsheet.sheet_row import SpreadsheetError, SpreadsheetInfo

CHECKED_ROWS = 1000
"""Rows of one step; fewer if they have copies, which count as rows."""
MAX_KEPT_FAULTS = 20_000
"""Rows with faults that are kept; more are counted only."""
_merge = get_columns(Merge)
_BARRED = suppression.build_barring_query("r.address", service=":service", category=":category", now="{now}")
_COUNT_SUPPRESSED = build_statement(
    "SELECT count(*) AS number FROM json_to_recordset(CAST(:rows AS json)) AS r(address text)"  # noqa: S608 - ours
    f" WHERE EXISTS ({_BARRED.format(now=NOW)})",
    "SELECT count(*) AS number FROM (SELECT value ->> 'address' AS address FROM json_each(:rows)) AS r"  # noqa: S608
    f" WHERE EXISTS ({_BARRED.format(now=':now')})",
    parameters={"service": UUID_TYPE},
)


@dataclass(frozen=True, kw_only=True)
class CheckedChunk:
    """The rows of one step of a check."""

    size: int  # bytes of the file
    sha256: str  # of the file, hexadecimal
    info: SpreadsheetInfo
    mapping: RowMapping
    rows: Sequence[ValidatedRow]  # none: the end of the file
    suppressed: int
    columns: Sequence[dict[str, Any]] | None  # at the end: with the statistics


async def prepare_check(context: MergeContext, run: JobRunView, step: StepContext) -> CheckedChunk:
    """Read and validate the next rows. Raises `JobFailedError`."""
    merge = await context.load_merge(run)
    after = FilePlace(row=run.cursor["row"], seen=run.counts["rows"]) if run.cursor else FilePlace()
    file = await context.open_file(run, merge, after=after, has_statistics=True)
    try:
        rows = await file.read_rows(CHECKED_ROWS)
    except SpreadsheetError as error:
        await context.files.close_file(run.id)
        raise JobFailedError(str(error)) from error
    validated = await context.validator.validate_rows(rows, file.mapping, merge.view, merge.caller, step.now)
    columns = None if rows else _describe_columns(file)
    if columns is not None:
        await context.files.close_file(run.id)
    return CheckedChunk(
        size=merge.view.size,
        sha256=(merge.view.info or {}).get("sha256", ""),
        info=file.sheet.info,
        mapping=file.mapping,
        rows=validated,
        suppressed=await _count_suppressed(context, merge, validated),
        columns=columns,
    )


async def _count_suppressed(context: MergeContext, merge: LoadedMerge, rows: Sequence[ValidatedRow]) -> int:
    recipients = [row.valid.recipient for row in rows if row.valid is not None]
    addresses = [{"address": email_address.get_address_key(recipient)} for recipient in recipients]
    if not addresses:
        return 0
    async with context.database.read() as connection:
        values = bind_now(connection, None)[0] | {
            "rows": encode_rows(addresses, sqlite=is_sqlite(connection)),
            "service": merge.view.service_id,
            "category": merge.version.category.value,
        }
        return int((await connection.execute(_COUNT_SUPPRESSED.for_connection(connection), values)).scalar_one())


def _describe_columns(file: MergeFile) -> list[dict[str, Any]]:
    """Describe the columns: heading, field and statistics, which are null before the end of the file."""
    mapping = file.mapping
    summaries = file.statistics.summarize() if file.statistics is not None else [None] * len(mapping.headings)
    return [
        {
            "heading": heading,
            "field": mapping.columns[index].field.name if index in mapping.columns else None,
            "statistics": msgspec.to_builtins(summary),
        }
        for index, (heading, summary) in enumerate(zip(mapping.headings, summaries, strict=True))
    ]


async def apply_check(connection: AsyncConnection, run: JobRunView, chunk: CheckedChunk, now: datetime) -> StepResult:
    """Write what the step has found."""
    merge_id = run.subject_id or UUID(int=0)
    if chunk.columns is not None:
        await merge_store.update_merge(connection, merge_id, now, state=MergeState.CHECKED, columns=chunk.columns)
        return StepResult(is_done=True, log=["all rows were checked"])
    valid = [row for row in chunk.rows if row.valid is not None]
    first: dict[UUID, int] = {}
    for row in valid:
        if row.address_hash is not None:
            first.setdefault(row.address_hash, row.row.number)
    new = await merge_store.add_recipients(connection, merge_id, first)
    faulty = [row for row in chunk.rows if row.valid is None]
    kept = max(0, MAX_KEPT_FAULTS - run.counts.get("faulty", 0))
    await merge_store.add_faults(connection, merge_id, [build_faulty_row(row) for row in faulty[:kept]])
    counts = {
        "rows": len(chunk.rows),
        "valid": len(valid),
        "faulty": len(faulty),
        "duplicates": len(valid) - new,
        "copies": sum(len(row.valid.copies) for row in valid if row.valid is not None),
        "suppressed": chunk.suppressed,
    }
    values: dict[str, Any] = {name: _merge[name] + number for name, number in counts.items()}
    if run.cursor is None:
        info = msgspec.to_builtins(chunk.info) | {"sha256": chunk.sha256}
        values |= {"info": info, "problems": list(chunk.mapping.problems)}
    await merge_store.update_merge(connection, merge_id, now, **values)
    read = (run.cursor["read"] if run.cursor else 0) + sum(map(_measure_row, chunk.rows))
    return StepResult(
        cursor={"row": chunk.rows[-1].row.number, "read": read},
        counts=counts,
        progress=_estimate_progress(chunk, read),
    )


def build_faulty_row(row: ValidatedRow) -> FaultyRow:
    """Build the row with its faults as it is stored."""
    return FaultyRow(number=row.row.number, faults=row.faults, cells=row.row.cells)


def _measure_row(row: ValidatedRow) -> int:
    return sum(map(len, row.row.cells)) + len(row.row.cells)


def _estimate_progress(chunk: CheckedChunk, read: int) -> int | None:
    """Estimate the part of a CSV file that was read, by its size; None for a workbook, which is compressed."""
    return 100 * read // chunk.size if chunk.size and chunk.info.format == "csv" else None
