"""The request and reply models of mail merges."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from notifier.api import fields
from notifier.api.request_model import RequestModel
from notifier.job_states import MergeState
from notifier.jobs.job_action import JobRunView
from notifier.lookup.batch_progress import BatchView
from notifier.merge.merge_view import FaultyRow, MergeView, OnDuplicate, OnFaulty, StartOptions
from notifier.states import KeyKind, Status

MAX_PER_MINUTE = 60_000
MAX_ROW_NUMBER = 1_048_577
_EXAMPLE: JsonValue = {"on_error": "skip_invalid", "duplicates": "first", "per_minute": 600}


class MergeStartIn(RequestModel):
    """How the rows of a merge are submitted."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    on_error: OnFaulty = Field(
        OnFaulty.REJECT_ALL,
        strict=False,
        description="`reject_all`: refuse the start if a row has faults. `skip_invalid`: submit the other rows.",
    )
    duplicates: OnDuplicate = Field(
        OnDuplicate.FIRST, strict=False, description="Of rows with the same address: submit the `first`, or `all`."
    )
    send_at: fields.Time | None = Field(None, description="When the first mail is due. Default: now.")
    per_minute: Annotated[int, Field(ge=1, le=MAX_PER_MINUTE)] | None = Field(
        None, description="Mails that are due in a minute. Default: all at once."
    )

    def build_options(self) -> StartOptions:
        """Build the options of the operation."""
        return StartOptions(
            on_error=self.on_error, duplicates=self.duplicates, send_at=self.send_at, per_minute=self.per_minute
        )


class FaultQuery(BaseModel):
    """Which page of the rows with faults."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Query(ge=1, le=200, description="Maximum number of rows on a page.")] = 50
    after: Annotated[int, Query(ge=0, le=MAX_ROW_NUMBER, description="The `next` of the previous page.")] = 0


class ColumnStatisticsOut(BaseModel):
    """What a column has. Texts are cut at 200 characters; null if no cell is filled."""

    filled: int = Field(description="Cells with text.")
    distinct: int = Field(description="Different texts.")
    has_more_distinct: bool = Field(description="There are more different texts than `distinct`.")
    shortest: str | None
    longest: str | None
    least: str | None = Field(description="As numbers if all cells are numbers, else by their letters.")
    greatest: str | None


class MergeColumnOut(BaseModel):
    """A column of the file."""

    heading: str
    field: str | None = Field(description="What it fills: `to`, or a variable such as `order.total`; null: nothing.")
    statistics: ColumnStatisticsOut | None


class MergeStartOut(BaseModel):
    """How the merge was started."""

    on_error: OnFaulty
    duplicates: OnDuplicate
    send_at: datetime | None
    per_minute: int | None
    by: str
    at: datetime


class SubmittedRowsOut(BaseModel):
    """What the run has done so far."""

    size: int = Field(description="Rows that are to be submitted.")
    written: int = Field(description="Rows that are notifications by now.")
    left_out: int = Field(description="Rows that were left out: with faults, or with an address that came before.")
    statuses: dict[Status, int] = Field(description="How many of the notifications have each status.")


class MergeSummaryOut(BaseModel):
    """A mail merge in a list."""

    id: UUID = Field(description="Also the id of its batch, once it was started.")
    state: MergeState
    kind: KeyKind = Field(description="The kind of the key that uploaded the file.")
    template: str
    template_version: int = Field(description="To which the merge is bound.")
    size: int = Field(description="Bytes of the file.")
    rows: int = Field(description="Rows that were checked, without blank ones.")
    valid: int
    faulty: int
    duplicates: int = Field(description="Valid rows with an address that an earlier valid row has.")
    copies: int = Field(description="Addresses in `cc` and `bcc` of valid rows: each gets a copy of the row's mail.")
    suppressed: int = Field(description="Valid rows with a suppressed address: they are written, and not sent.")
    error: str | None = Field(description="Why it failed.")
    created_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


class MergeOut(MergeSummaryOut):
    """A mail merge."""

    sha256: str | None = Field(description="Of the file, in hexadecimal digits.")
    format: str | None = Field(description="`csv`, `xlsx` or `ods`.")
    encoding: str | None = Field(description="Of a CSV file.")
    delimiter: str | None = Field(description="Of a CSV file.")
    sheet: str | None = Field(description="The sheet of a workbook that is read.")
    columns: list[MergeColumnOut]
    problems: list[str] = Field(description="Sentences about columns that are not used.")
    job_id: UUID | None = Field(description="The job that checks or submits its rows.")
    progress: int = Field(ge=0, le=100, description="Of that job, in per cent.")
    start: MergeStartOut | None
    submitted: SubmittedRowsOut | None


class MergesOut(BaseModel):
    """A page of merges, newest first."""

    merges: list[MergeSummaryOut]
    next: UUID | None


class MergeFaultOut(BaseModel):
    """What is wrong with a row."""

    column: str | None = Field(description="The heading of the column; null: the whole row.")
    cell: str | None = Field(description="The text of the cell.")
    code: str
    detail: str


class FaultyRowOut(BaseModel):
    """A row with faults."""

    row: int = Field(description="Its number in the file, as a spreadsheet program shows it.")
    faults: list[MergeFaultOut]


class MergeFaultsOut(BaseModel):
    """A page of rows with faults, in the order of the file."""

    rows: list[FaultyRowOut]
    next: int | None


def build_summary(merge: MergeView) -> dict[str, Any]:
    """Build the reply for a merge in a list."""
    return {name: getattr(merge, name) for name in MergeSummaryOut.model_fields}


def build_merge_reply(merge: MergeView, run: JobRunView | None, batch: BatchView | None) -> dict[str, Any]:
    """Build the reply for a merge with its present job, and its batch if it was started."""
    info = dict(merge.info or {})
    return build_summary(merge) | {
        **{name: info.get(name) for name in ("sha256", "format", "encoding", "delimiter", "sheet")},
        "columns": merge.columns or _list_columns(info),
        "problems": merge.problems or [],
        "job_id": run.id if run is not None else None,
        "progress": run.progress if run is not None else 0,
        "start": _build_start(merge),
        "submitted": _build_submitted(run, batch) if batch is not None else None,
    }


def hide_cells(reply: dict[str, Any]) -> dict[str, Any]:
    """Hide the texts of the file, which are variables: only with `content:read` does a key see those of a mail."""
    columns = [dict(column) | {"statistics": None} for column in reply["columns"]]
    return reply | {"columns": columns, "error": "it cannot be read" if reply["error"] else None}


def _list_columns(info: dict[str, Any]) -> list[dict[str, Any]]:
    """List the headings while the file is being checked."""
    return [{"heading": heading, "field": None, "statistics": None} for heading in info.get("headings", ())]


def _build_start(merge: MergeView) -> dict[str, Any] | None:
    options = merge.get_options()
    return vars(options) | {"by": merge.started_by, "at": merge.started_at} if options is not None else None


def _build_submitted(run: JobRunView | None, batch: BatchView) -> dict[str, Any]:
    counts = run.counts if run is not None else {}
    return {
        "size": batch.size,
        "written": batch.accepted,
        "left_out": counts.get("faulty", 0) + counts.get("duplicates", 0),
        "statuses": batch.statuses,
    }


def build_fault_page(rows: list[FaultyRow], limit: int) -> dict[str, Any]:
    """Build the page of `limit` + 1 rows."""
    page = rows[:limit]
    return {
        "rows": [{"row": row.number, "faults": row.faults} for row in page],
        "next": page[-1].number if len(rows) > limit else None,
    }
