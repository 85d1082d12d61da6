"""The files of merges as open spreadsheets: copied from the database to a temporary file, and kept open between steps.

The temporary file has no name once the spreadsheet is open, so that nothing stays behind a process that is killed.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from notifier.db.engine import Database
from notifier.merge import merge_store
from notifier.merge.merge_view import MergeFileGoneError
from notifier.merge.row_request import RowMapping
from notifier.spreadsheet.column_statistics import SheetStatistics, start_statistics
from notifier.spreadsheet.sheet_row import SheetRow, SpreadsheetError
from notifier.spreadsheet.spreadsheet_reader import OpenSpreadsheet, open_spreadsheet

MAX_OPEN_FILES = 4
"""Spreadsheets that one process keeps open, each with a process of its own that reads it."""
MatchHeadings = Callable[[Sequence[str]], RowMapping]
IDLE_SECONDS = 30.0
"""After so long without a step a spreadsheet is closed; the next step opens it again."""
_SKIPPED_ROWS = 5_000


@asynccontextmanager
async def open_merge_file(database: Database, merge_id: UUID) -> AsyncIterator[OpenSpreadsheet]:
    """Open the file of a merge. Raises `MergeFileGoneError`, and what opening a spreadsheet raises."""
    async with AsyncExitStack() as stack:
        path = await _copy_file(database, merge_id)
        try:
            sheet = await stack.enter_async_context(open_spreadsheet(path))
        finally:
            path.unlink()
        yield sheet


async def _copy_file(database: Database, merge_id: UUID) -> Path:
    """Copy the file to a temporary one, which the caller deletes. Raises `MergeFileGoneError`."""
    first = await _load_chunk(database, merge_id, 0)
    if first is None:
        raise MergeFileGoneError
    handle, name = tempfile.mkstemp(prefix="notifier-merge-")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            data, number = first, 0
            while data:
                await asyncio.to_thread(file.write, data)
                number += 1
                data = await _load_chunk(database, merge_id, number) or b""
    except BaseException:
        os.unlink(name)  # noqa: PTH108 - as quick as it is
        raise
    return path


async def _load_chunk(database: Database, merge_id: UUID, number: int) -> bytes | None:
    async with database.read() as connection:
        return await merge_store.load_chunk(connection, merge_id, number)


@dataclass(frozen=True, kw_only=True)
class FilePlace:
    """How far a spreadsheet was read."""

    row: int = 0  # number of the last row that was read
    seen: int = 0  # rows that were read, without blank ones


class MergeFile:
    """A spreadsheet that is read from its beginning, with the statistics of the rows that were read so far."""

    def __init__(
        self, stack: AsyncExitStack, sheet: OpenSpreadsheet, mapping: RowMapping, statistics: SheetStatistics | None
    ) -> None:
        self.sheet = sheet
        self.statistics = statistics  # None: nobody needs them
        self.mapping = mapping
        self.place = FilePlace()
        self._unread: list[SheetRow] = []  # of the sheet, behind the place
        self._stack = stack

    async def read_rows(self, count: int) -> list[SheetRow]:
        """Read rows with at most `count` mails together, copies too, but at least one row; none at the end."""
        rows = self._unread or await self.sheet.read_rows(count)
        fitting = self.mapping.count_fitting_rows(rows, count)
        rows, self._unread = rows[:fitting], rows[fitting:]
        if rows:
            self.place = FilePlace(row=rows[-1].number, seen=self.place.seen + len(rows))
        if self.statistics is not None:
            await asyncio.to_thread(_add_rows, self.statistics, rows)
        return rows

    async def skip_to(self, place: FilePlace) -> None:
        """Continue behind this place; with statistics, the rows before it are read again for them."""
        if self.statistics is None:
            self._unread = [row for row in self._unread if row.number > place.row]
            if not self._unread:
                await self.sheet.skip_to(place.row)
            self.place = place
            return
        while self.place.seen < place.seen:  # by their count, because blank rows have numbers as well
            if not await self.read_rows(min(_SKIPPED_ROWS, place.seen - self.place.seen)):
                raise SpreadsheetError(f"The file ends before row {place.row}, which was read before.")

    async def close(self) -> None:
        """End the process that reads it."""
        await self._stack.aclose()


def _add_rows(statistics: SheetStatistics, rows: Sequence[SheetRow]) -> None:
    for row in rows:
        statistics.add_row(row.cells)


class MergeFiles:
    """The open spreadsheets of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._files: dict[UUID, MergeFile] = {}  # by job run; the last used one is the last
        self._timers: dict[UUID, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def get_file(
        self, job_id: UUID, merge_id: UUID, match: MatchHeadings, *, after: FilePlace, has_statistics: bool
    ) -> MergeFile:
        """Get the file of a merge, to be read behind the place `after`. Raises as `open_merge_file` and `match`."""
        self._stop_timer(job_id)
        file = self._files.pop(job_id, None)
        if file is not None and file.place.row > after.row:  # a step was not committed
            await file.close()
            file = None
        while len(self._files) >= MAX_OPEN_FILES:
            await self.close_file(next(iter(self._files)))
        if file is None:
            file = await self._open(merge_id, match, has_statistics=has_statistics)
        try:
            if file.place.row < after.row:  # it was just opened, or another process has done some steps
                await file.skip_to(after)
        except BaseException:
            await file.close()
            raise
        self._files[job_id] = file
        loop = asyncio.get_running_loop()
        self._timers[job_id] = loop.call_later(IDLE_SECONDS, self._begin_closing, job_id)
        return file

    async def _open(self, merge_id: UUID, match: MatchHeadings, *, has_statistics: bool) -> MergeFile:
        async with AsyncExitStack() as stack:
            sheet = await stack.enter_async_context(open_merge_file(self._database, merge_id))
            mapping = match(sheet.info.headings)
            statistics = start_statistics(len(sheet.info.headings)) if has_statistics else None
            return MergeFile(stack.pop_all(), sheet, mapping, statistics)

    async def close_file(self, job_id: UUID) -> None:
        """Close the file of a job run, if it is open."""
        self._stop_timer(job_id)
        file = self._files.pop(job_id, None)
        if file is not None:
            await file.close()

    async def close(self) -> None:
        """Close every file."""
        for job_id in list(self._files):
            await self.close_file(job_id)
        if self._closing:
            await asyncio.wait(self._closing)

    def _begin_closing(self, job_id: UUID) -> None:
        task = asyncio.create_task(self.close_file(job_id))
        self._closing.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._closing.discard)

    def _stop_timer(self, job_id: UUID) -> None:
        timer = self._timers.pop(job_id, None)
        if timer is not None:
            timer.cancel()
