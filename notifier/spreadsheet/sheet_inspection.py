"""What a sheet shows its reader but calamine does not tell: errors, merged cells, hidden rows, formulas without result.

Each of them would become an empty cell, or a mail to somebody who was filtered out, without a word.
"""

import zipfile
from collections.abc import Mapping
from typing import IO

from notifier.spreadsheet.file_kind import FileKind
from notifier.spreadsheet.row_layout import name_column
from notifier.spreadsheet.sheet_row import SpreadsheetError
from notifier.spreadsheet.workbook_parts import find_xlsx_sheet, get_local_name, walk_elements


def inspect_sheet(unpacked: IO[bytes], kind: FileKind, sheet: str) -> list[SpreadsheetError]:
    """List the first fault of each kind that must not pass silently, in the order of their rows.

    Raises `SpreadsheetError` if the sheet cannot be walked.
    """
    faults = _FaultList()
    walk: _XlsxWalk | _OdsWalk = _XlsxWalk(faults) if kind is FileKind.XLSX else _OdsWalk(faults, sheet)
    with zipfile.ZipFile(unpacked) as archive:
        part = find_xlsx_sheet(archive, sheet) if kind is FileKind.XLSX else "content.xml"
        walk_elements(archive, part, walk.start_element, walk.end_element)
    return sorted(faults.by_kind.values(), key=lambda fault: fault.row or 0)


def explain_merged_cells(cells: str, row: int) -> SpreadsheetError:
    """Explain why merged cells are refused; `cells` is a range such as A1:B2."""
    return SpreadsheetError(
        f"The cells {cells} are merged, so that only the first has the text: unmerge them and fill each cell, or delete"
        " the row if it is a title.",
        row=row,
    )


class _FaultList:
    """The first fault of each kind; rows come in their order."""

    def __init__(self) -> None:
        self.by_kind: dict[str, SpreadsheetError] = {}

    def add_error(self, cell: str, row: int) -> None:
        sentence = f"Cell {cell} shows an error such as #REF!: correct its formula, or write the value into the cell."
        self._add("error", sentence, row)

    def add_formula(self, cell: str, row: int) -> None:
        self._add(
            "formula",
            f"Cell {cell} holds a formula without a result, because the program that wrote the file does not compute:"
            " open it in a spreadsheet program and save it.",
            row,
        )

    def add_hidden(self, row: int) -> None:
        self._add(
            "hidden",
            f"Row {row} is hidden, perhaps by a filter, and whether it should get a mail cannot be told: show all rows,"
            " and delete those that should not.",
            row,
        )

    def add_merged(self, cells: str, row: int) -> None:
        self.by_kind.setdefault("merged", explain_merged_cells(cells, row))

    def _add(self, kind: str, sentence: str, row: int) -> None:
        self.by_kind.setdefault(kind, SpreadsheetError(sentence, row=row))


class _XlsxWalk:
    """Walks a worksheet (ECMA-376 part 1 §18.3.1). Its merged cells are told by calamine."""

    def __init__(self, faults: _FaultList) -> None:
        self._faults = faults
        self._row = 0
        self._is_hidden = False
        self._cell = ""
        self._has_formula = False
        self._has_result = False

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        if ":" in name:
            name = get_local_name(name)
        if name == "c":
            self._cell = attributes.get("r") or f"in row {self._row}"
            kind = attributes.get("t")
            self._has_formula, self._has_result = False, kind == "str"  # the result may be an empty text
            if kind == "e":
                self._has_result = True
                self._faults.add_error(self._cell, self._row)
        elif name == "row":
            self._row = _parse_count(attributes.get("r"), self._row + 1)
            self._is_hidden = attributes.get("hidden") in {"1", "true"}
        elif name in {"v", "is"}:
            self._has_result = True
            if self._is_hidden:
                self._faults.add_hidden(self._row)
        elif name == "f":
            self._has_formula = True

    def end_element(self, name: str) -> None:
        if self._has_formula and get_local_name(name) == "c" and not self._has_result:
            self._faults.add_formula(self._cell, self._row)


class _OdsWalk:
    """Walks the tables of an OpenDocument spreadsheet (ODF 1.3 part 3 §9.1), by the prefixes that all write."""

    def __init__(self, faults: _FaultList, sheet: str) -> None:
        self._faults, self._sheet = faults, sheet
        self._depth = 0  # of tables within each other
        self._is_sheet = False  # the present table is the one that is read
        self._row = self._next_row = 1
        self._column = self._next_column = 0
        self._is_hidden = False
        self._hidden_groups: list[bool] = []
        self._merged: tuple[int, int] | None = None  # columns and rows of the present cell

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "table:table":
            self._depth += 1
            if self._depth == 1:
                self._is_sheet = attributes.get("table:name") == self._sheet
                self._row = self._next_row = 1
        elif not self._is_sheet or self._depth != 1:
            return
        elif name == "table:table-row-group":
            self._hidden_groups.append(attributes.get("table:display") == "false")
        elif name == "table:table-row":
            self._row = self._next_row
            self._next_row += _parse_count(attributes.get("table:number-rows-repeated"), 1)
            self._next_column = 0
            self._is_hidden = attributes.get("table:visibility") in {"collapse", "filter"} or any(self._hidden_groups)
        elif name in {"table:table-cell", "table:covered-table-cell"}:
            self._start_cell(attributes)
        elif name == "text:p":
            self._see_text()

    def end_element(self, name: str) -> None:
        if name == "table:table":
            self._depth -= 1
        elif name == "table:table-row-group" and self._hidden_groups and self._is_sheet and self._depth == 1:
            self._hidden_groups.pop()

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        self._column = self._next_column
        self._next_column += _parse_count(attributes.get("table:number-columns-repeated"), 1)
        columns = _parse_count(attributes.get("table:number-columns-spanned"), 1)
        rows = _parse_count(attributes.get("table:number-rows-spanned"), 1)
        self._merged = (columns, rows) if columns > 1 or rows > 1 else None
        cell = f"{name_column(self._column)}{self._row}"
        if attributes.get("calcext:value-type") == "error":
            self._faults.add_error(cell, self._row)
        if attributes.get("table:formula") is not None and "office:value-type" not in attributes:
            self._faults.add_formula(cell, self._row)

    def _see_text(self) -> None:
        if self._is_hidden:
            self._faults.add_hidden(self._row)
        if self._merged is not None:
            columns, rows = self._merged
            first = f"{name_column(self._column)}{self._row}"
            last = f"{name_column(self._column + columns - 1)}{self._row + rows - 1}"
            self._faults.add_merged(f"{first}:{last}", self._row)


def _parse_count(text: str | None, default: int) -> int:
    """Parse a whole number above 0 of the file; `default` if it is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and 0 < len(text) < 10 else default  # noqa: PLR2004
