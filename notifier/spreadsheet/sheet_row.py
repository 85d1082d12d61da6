"""What a spreadsheet is read into: what was detected, its rows, and the error for a file that cannot be read."""

from typing import NamedTuple

import msgspec

from notifier.errors import NotifierError


class SpreadsheetError(NotifierError):
    """The file cannot be read as a spreadsheet."""

    def __init__(self, message: str | None = None, *, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row  # number of the row in the file, from 1; None if the whole file is meant


class SpreadsheetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a file was found to be."""

    format: str  # "csv", "xlsx" or "ods"
    encoding: str | None  # of a CSV: "utf-8", "utf-8-sig", "utf-16", "cp1252", …
    delimiter: str | None  # of a CSV: "," ";" "\t" or "|"
    sheet: str | None  # of a workbook: the sheet that is read, the first visible one that is not empty
    headings: tuple[str, ...]  # as written, stripped; never empty, no duplicates


class SheetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row with text in at least one cell."""

    number: int  # in the file, as a spreadsheet program shows it; line breaks within cells do not count
    cells: tuple[str, ...]  # as many as there are headings, stripped


class RawRow(NamedTuple):
    """One row as the format gives it, before headings are known."""

    number: int
    cells: list[str]
