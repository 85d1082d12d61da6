"""The rows of a merge that have faults, as a CSV file to correct and upload again."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from notifier.db.engine import Database
from notifier.merge import merge_store
from notifier.merge.merge_view import FaultyRow, MergeView
from notifier.spreadsheet.cell_text import escape_formula

FAULT_HEADING = "What is wrong"
"""The heading of the last column, which a later upload does not use."""
REPORT_ROWS = 200
"""Rows that are read at once."""
_BYTE_ORDER_MARK = "\ufeff"  # or Excel takes UTF-8 for the encoding of the host


async def build_report(database: Database, merge: MergeView) -> AsyncIterator[str]:
    """Yield the file in parts. No cell of it is a formula."""
    headings = [str(column["heading"]) for column in merge.columns or ()]
    yield _BYTE_ORDER_MARK + _format_rows([[*headings, FAULT_HEADING]])
    after = 0
    while rows := await _load_rows(database, merge.id, after):
        yield _format_rows([[*row.cells, _explain_faults(row)] for row in rows])
        after = rows[-1].number


async def _load_rows(database: Database, merge_id: UUID, after: int) -> list[FaultyRow]:
    async with database.read() as connection:
        return await merge_store.list_faults(connection, merge_id, after=after, limit=REPORT_ROWS)


def _format_rows(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([escape_formula(cell) for cell in row] for row in rows)
    return text.getvalue()


def _explain_faults(row: FaultyRow) -> str:
    sentences = [
        f"{fault['column']}: {fault['detail']}" if fault["column"] else str(fault["detail"]) for fault in row.faults
    ]
    return f"Row {row.number}: {'; '.join(sentences)}"
