"""The rows of a workbook, XLSX or ODS, read by calamine, which holds one whole sheet in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import python_calamine

from notifier.spreadsheet.cell_text import write_cell_text
from notifier.spreadsheet.file_kind import FileKind
from notifier.spreadsheet.row_layout import check_cell
from notifier.spreadsheet.sheet_row import RawRow, SpreadsheetError

DAMAGED = "The workbook is damaged, so that it cannot be read: open it in a spreadsheet program and save it again."


@dataclass(frozen=True, kw_only=True)
class WorkbookFile:
    """A workbook that was looked at."""

    sheet: str  # the first visible one that is not empty
    rows: Iterator[RawRow]


def open_workbook(path: Path, _kind: FileKind) -> WorkbookFile:
    """Read the first visible sheet that is not empty. Raises `SpreadsheetError`, also while the rows are read."""
    try:
        with python_calamine.CalamineWorkbook.from_path(path) as workbook:
            return _read_workbook(workbook)
    except python_calamine.PasswordError as error:
        raise SpreadsheetError("The workbook is protected by a password: remove the password.") from error
    except python_calamine.CalamineError as error:
        raise SpreadsheetError(DAMAGED) from error


def _read_workbook(workbook: python_calamine.CalamineWorkbook) -> WorkbookFile:
    hidden = 0
    for metadata in workbook.sheets_metadata:
        if metadata.typ is not python_calamine.SheetTypeEnum.WorkSheet:
            continue
        if metadata.visible is not python_calamine.SheetVisibleEnum.Visible:
            hidden += 1
            continue
        sheet = workbook.get_sheet_by_name(metadata.name)
        if sheet.start is not None:
            return WorkbookFile(sheet=metadata.name, rows=_read_rows(sheet))
    if hidden:
        raise SpreadsheetError("All visible sheets of the workbook are empty: unhide the sheet with the data.")
    raise SpreadsheetError("The workbook has no text in any cell: write headings in its first row and the data below.")


def _read_rows(sheet: python_calamine.CalamineSheet) -> Iterator[RawRow]:
    for number, values in enumerate(sheet.iter_rows(), 1):
        cells = [write_cell_text(value) for value in values]
        for column, cell in enumerate(cells):
            check_cell(cell, number, column)
        yield RawRow(number, cells)
