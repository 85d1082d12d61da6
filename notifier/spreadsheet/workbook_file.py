"""The rows of a workbook, XLSX or ODS, read by calamine, which holds one whole sheet in memory."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import python_calamine

from notifier.spreadsheet.cell_text import write_cell_text
from notifier.spreadsheet.file_kind import FileKind
from notifier.spreadsheet.row_layout import check_cell, name_column
from notifier.spreadsheet.sheet_inspection import explain_merged_cells, inspect_sheet
from notifier.spreadsheet.sheet_row import RawRow, SpreadsheetError
from notifier.spreadsheet.workbook_archive import DAMAGED, unpack_workbook


@dataclass(frozen=True, kw_only=True)
class WorkbookFile:
    """A workbook that was looked at."""

    sheet: str  # the first visible one that is not empty
    rows: Iterator[RawRow]


def open_workbook(path: Path, kind: FileKind) -> WorkbookFile:
    """Read the first visible sheet that is not empty. Raises `SpreadsheetError`, also while the rows are read."""
    try:
        with unpack_workbook(path) as unpacked:
            with python_calamine.CalamineWorkbook.from_path(f"/dev/fd/{unpacked.fileno()}") as workbook:
                sheet = _find_sheet(workbook)
            faults = inspect_sheet(unpacked, kind, sheet.name)
    except python_calamine.CalamineError as error:
        raise SpreadsheetError(DAMAGED) from error
    return WorkbookFile(sheet=sheet.name, rows=_read_rows(sheet, faults))


def _find_sheet(workbook: python_calamine.CalamineWorkbook) -> python_calamine.CalamineSheet:
    hidden = 0
    for metadata in workbook.sheets_metadata:
        if metadata.typ is not python_calamine.SheetTypeEnum.WorkSheet:
            continue
        if metadata.visible is not python_calamine.SheetVisibleEnum.Visible:
            hidden += 1
            continue
        sheet = workbook.get_sheet_by_name(metadata.name)
        if sheet.start is not None:
            return sheet
    if hidden:
        raise SpreadsheetError("All visible sheets of the workbook are empty: show the sheet with the data.")
    raise SpreadsheetError("The workbook has no text in any cell: write headings in its first row and the data below.")


def _read_rows(sheet: python_calamine.CalamineSheet, faults: Sequence[SpreadsheetError]) -> Iterator[RawRow]:
    """Read the rows up to the first fault."""
    merged = sorted(sheet.merged_cell_ranges or [])  # pairs of (row, column), from 0
    ranges, later_faults = deque(merged), deque(faults)
    for number, values in enumerate(sheet.iter_rows(), 1):
        cells = [write_cell_text(value) for value in values]
        for column, cell in enumerate(cells):
            check_cell(cell, number, column)
        while ranges and ranges[0][0][0] < number:
            (row, column), (last_row, last_column) = ranges.popleft()
            if row == number - 1 and column < len(cells) and cells[column]:
                name = f"{name_column(column)}{number}:{name_column(last_column)}{last_row + 1}"
                raise explain_merged_cells(name, number)
        if later_faults and (later_faults[0].row or 0) <= number:
            raise later_faults[0]
        yield RawRow(number, cells)
    if later_faults:
        raise later_faults[0]
