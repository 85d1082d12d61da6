"""The headings of a sheet and the rows below them, the same for all formats."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from notifier.spreadsheet.cell_text import unescape_formula
from notifier.spreadsheet.sheet_row import RawRow, SheetRow, SpreadsheetError

MAX_COLUMNS = 200
MAX_HEADING_CHARACTERS = 200
MAX_CELL_CHARACTERS = 32_767
"""Characters in a cell, as in Excel."""
MAX_ROW_CHARACTERS = 262_144
"""Characters in a row, with the line breaks in its cells."""
MAX_SHEET_ROWS = 1_048_576
"""Rows in a file, blank ones too, as in Excel."""
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def read_headings(rows: Iterator[RawRow]) -> RawRow:
    """Read up to the heading row, the first that is not blank, and return it with stripped cells."""
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row.cells]
        if any(cells):
            while not cells[-1]:
                cells.pop()
            return RawRow(row.number, cells)
    raise SpreadsheetError("The file has no text in any cell: write headings in its first row and the data below.")


def check_headings(row: RawRow) -> None:
    """Raise `SpreadsheetError` for headings that cannot be told apart or are none."""
    if len(row.cells) > MAX_COLUMNS:
        reason = f"The file has {len(row.cells)} columns; at most {MAX_COLUMNS} are read: delete those you do not need."
        raise SpreadsheetError(reason, row=row.number)
    columns: dict[str, int] = {}
    for index, heading in enumerate(row.cells):
        if not heading:
            continue
        if len(heading) > MAX_HEADING_CHARACTERS:
            raise SpreadsheetError(
                f"The heading of column {name_column(index)} is longer than {MAX_HEADING_CHARACTERS} characters:"
                f" write a short heading into row {row.number}.",
                row=row.number,
            )
        if _ADDRESS.fullmatch(heading):
            raise SpreadsheetError(
                f"Row {row.number} holds an e-mail address ({shorten(heading)}) where headings should be:"
                " insert a row of headings above the data.",
                row=row.number,
            )
        first = columns.setdefault(heading.casefold(), index)
        if first != index:
            raise SpreadsheetError(
                f"The heading “{shorten(heading)}” stands above columns {name_column(first)} and"
                f" {name_column(index)}: give each column a heading of its own.",
                row=row.number,
            )


def lay_out_rows(rows: Iterator[RawRow], heading_row: RawRow, max_rows: int) -> Iterator[SheetRow]:
    """Yield the rows that are not blank, each with one cell for each heading. Raises `SpreadsheetError`.

    A table of faults comes back corrected, so an apostrophe that keeps a text from being a formula is taken away.
    """
    columns = [index for index, heading in enumerate(heading_row.cells) if heading]
    width, is_plain = len(heading_row.cells), len(columns) == len(heading_row.cells)
    data_rows = 0
    for row in rows:
        cells = [cell.strip() for cell in row.cells]
        if not any(cells):
            continue
        if any(cell.startswith("'") for cell in cells):
            cells = [unescape_formula(cell) for cell in cells]
        data_rows += 1
        if data_rows > max_rows:
            reason = f"The file has more than {max_rows:,} rows of data: split it into several files."
            raise SpreadsheetError(reason, row=row.number)
        if len(cells) < width:
            cells += [""] * (width - len(cells))
        if len(cells) > width or not is_plain:
            _check_headless_cells(row.number, cells, heading_row)
            cells = [cells[index] for index in columns]
        yield SheetRow(number=row.number, cells=tuple(cells))


def read_ahead(rows: Iterator[SheetRow]) -> Iterator[SheetRow]:
    """Read the first row, so that a fault in it shows at once; raises `SpreadsheetError` if there is none."""
    first = next(rows, None)
    if first is None:
        raise SpreadsheetError("The file has headings but no rows below them: add at least one row of data.")
    return chain([first], rows)


def _check_headless_cells(number: int, cells: Sequence[str], heading_row: RawRow) -> None:
    headings = heading_row.cells
    for index, cell in enumerate(cells):
        if cell and (index >= len(headings) or not headings[index]):
            raise SpreadsheetError(
                f"Row {number} has “{shorten(cell)}” in column {name_column(index)}, which has no heading in row"
                f" {heading_row.number}: add a heading or empty the column. In a CSV file, a cell that holds the"
                " delimiter must be in quotation marks.",
                row=number,
            )


def check_cell(text: str, number: int, column: int) -> None:
    """Raise `SpreadsheetError` for a cell that is too long or holds a NUL character. `column` counts from 0."""
    if len(text) > MAX_CELL_CHARACTERS:
        raise SpreadsheetError(
            f"Cell {name_column(column)}{number} is longer than {MAX_CELL_CHARACTERS:,} characters: shorten it.",
            row=number,
        )
    if "\0" in text:
        raise SpreadsheetError(
            f"Cell {name_column(column)}{number} holds a NUL character, which no mail can hold: write the cell anew.",
            row=number,
        )


def name_column(index: int) -> str:
    """Name a column as spreadsheet programs do: 0 is A, 26 is AA."""
    letters, rest = "", index + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def shorten(text: str) -> str:
    """Shorten a text of the file for a sentence about it, on one line and without control characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:60])
    return " ".join(printable[:40].split()) + ("…" if len(text) > 40 else "")  # noqa: PLR2004 - as long as above
