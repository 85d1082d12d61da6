"""Mail merges: the calls, and their replies. docs/merge.md explains the fields. The key needs `notifications:send`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict, Unpack
from uuid import UUID

from notifier.client.api_call import (
    GET,
    POST,
    Call,
    PageCall,
    Reply,
    build_call,
    read_as,
    read_content,
    read_page,
)
from notifier.client.file_body import FileBody, FileSource
from notifier.client.notification_reply import Content
from notifier.client.request_fields import OnError


class MergeOptions(TypedDict, total=False):
    """How the rows of a merge are submitted."""

    on_error: OnError  # reject_all by default: refuse the start if a row has faults
    duplicates: Literal["first", "all"]  # of rows with the same address
    send_at: datetime | None  # when the first mail is due; None: now
    per_minute: int | None  # mails that are due in a minute; None: all at once


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics(Reply):
    """What a column has. Texts are cut at 200 characters."""

    filled: int  # cells with text
    distinct: int  # different texts
    has_more_distinct: bool = False  # True: there are more than `distinct`
    shortest: str | None = None
    longest: str | None = None
    least: str | None = None  # as numbers if all cells are numbers, else by their letters
    greatest: str | None = None


@dataclass(frozen=True, kw_only=True)
class MergeColumn(Reply):
    """A column of the file."""

    heading: str
    field: str | None = None  # that it fills: `to`, or a variable such as `order.total`; None: nothing
    statistics: ColumnStatistics | None = None


@dataclass(frozen=True, kw_only=True)
class MergeStart(Reply):
    """How a merge was started."""

    on_error: str
    duplicates: str
    send_at: datetime | None = None
    per_minute: int | None = None
    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class SubmittedRows(Reply):
    """What the run of a merge has done so far."""

    size: int  # rows that are to be submitted
    written: int  # rows that are notifications by now
    left_out: int  # rows with faults, or with an address that came before
    statuses: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MergeSummary(Reply):
    """A merge in a list."""

    id: str  # also of its batch, once it was started
    state: str  # uploading, checking, checked, running, paused, finished, failed or cancelled
    kind: str  # of the key that uploaded the file
    template: str
    template_version: int  # to which the merge is bound
    size: int  # bytes of the file
    rows: int  # that were checked, without blank ones
    valid: int
    faulty: int
    duplicates: int  # valid rows with an address that an earlier one has
    suppressed: int  # valid rows with a suppressed address: they are written, and not sent
    copies: int  # addresses in cc and bcc of valid rows: each gets a copy of the row's mail
    error: str | None = None  # why it failed
    created_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Merge(MergeSummary):
    """A merge."""

    sha256: str | None = None  # of the file, hexadecimal
    format: str | None = None  # csv, xlsx or ods
    encoding: str | None = None  # of a CSV file, as is the delimiter
    delimiter: str | None = None
    sheet: str | None = None  # of a workbook
    columns: tuple[MergeColumn, ...] = ()
    problems: tuple[str, ...] = ()  # sentences about columns that are not used
    job_id: str | None = None  # of the job that checks or submits its rows: `jobs.watch` follows it
    progress: int = 0  # of that job, in per cent
    start: MergeStart | None = None
    submitted: SubmittedRows | None = None


@dataclass(frozen=True, kw_only=True)
class MergeFault(Reply):
    """What is wrong with a row."""

    column: str | None = None  # None: the whole row
    cell: str | None = None
    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class FaultyRow(Reply):
    """A row with faults."""

    row: int  # its number in the file, as a spreadsheet program shows it
    faults: tuple[MergeFault, ...]


def create_merge(
    file: FileSource | None = None,
    /,
    *,
    template: str,
    map_: Mapping[str, str] | None = None,
    feed: str | None = None,
    content_type: str | None = None,
) -> Call[Merge]:
    """Upload a spreadsheet (CSV, XLSX or ODS, at most 64 MiB), or name a feed. Nothing is sent before the start.

    The file is its bytes, its path, or open in binary mode. `map_` names the field of a heading, and "" for none. A
    lost request is not repeated: upload the file again, or look at the list.
    """
    mappings = None if map_ is None else [f"{heading}:{name}" for heading, name in map_.items()]
    query = {"template": template, "map_": mappings, "feed": feed}
    body = None if file is None else FileBody.from_source(file, content_type)
    return build_call(POST, ("merges",), read_as(Merge), query=query, file=body)


def list_merges(*, limit: int | None = None, before: str | UUID | None = None) -> PageCall[MergeSummary]:
    """List the merges of your service, newest first."""
    query = {"limit": limit, "before": before}
    return build_call(GET, ("merges",), read_page(MergeSummary, "merges"), query=query)


def get_merge(id_: str | UUID, /) -> Call[Merge]:
    """Get a merge: what the check has found, and how far the run is."""
    return build_call(GET, ("merges", id_), read_as(Merge))


def start_merge(id_: str | UUID, /, **options: Unpack[MergeOptions]) -> Call[Merge]:
    """Submit the rows of a merge that was checked; starting twice in the same way is no error."""
    return build_call(POST, ("merges", id_, "start"), read_as(Merge), fields=options, is_idempotent=True)


def pause_merge(id_: str | UUID, /) -> Call[Merge]:
    """Submit no more rows, and hold the mails that are queued; pausing twice is no error."""
    return build_call(POST, ("merges", id_, "pause"), read_as(Merge), is_idempotent=True)


def resume_merge(id_: str | UUID, /) -> Call[Merge]:
    """Continue a paused merge where it was."""
    return build_call(POST, ("merges", id_, "resume"), read_as(Merge))


def cancel_merge(id_: str | UUID, /) -> Call[Merge]:
    """Submit no more rows, and withdraw the mails that are queued; cancelling twice is no error."""
    return build_call(POST, ("merges", id_, "cancel"), read_as(Merge), is_idempotent=True)


def list_merge_faults(id_: str | UUID, /, *, limit: int | None = None, after: int | None = None) -> PageCall[FaultyRow]:
    """List the rows with faults, in the order of the file."""
    path, query = ("merges", id_, "faults"), {"limit": limit, "after": after}
    return build_call(GET, path, read_page(FaultyRow, "rows"), query=query, cursor="after")


def download_merge_faults(id_: str | UUID, /) -> Call[bytes]:
    """Download the rows with faults as a CSV file, to correct and upload again."""
    return build_call(GET, ("merges", id_, "faults.csv"), read_content, accept="text/csv")


def preview_merge_row(id_: str | UUID, /, row: int | None = None) -> Call[Content]:
    """Render the mail of a row, by default the first, which is row 2. Raises `InvalidRequestError` if it has faults."""
    return build_call(GET, ("merges", id_, "preview"), read_as(Content), query={"row": row})
