"""The rows of a CSV file: any usual line end, cells in quotation marks, and no line that fills the memory."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from notifier.spreadsheet.csv_delimiter import detect_delimiter
from notifier.spreadsheet.row_layout import (
    MAX_CELL_CHARACTERS,
    MAX_ROW_CHARACTERS,
    MAX_SHEET_ROWS,
)
from notifier.spreadsheet.sheet_row import RawRow, SpreadsheetError
from notifier.spreadsheet.text_encoding import detect_encoding

_SAMPLE_CHARACTERS = 128 * 1024
_DELIMITER_LINE = re.compile(r"sep=([,;|:\t])?\s*", re.IGNORECASE)  # Excel's own first line, which it does not show


@dataclass(frozen=True, kw_only=True)
class CsvFile:
    """A CSV file that was looked at."""

    encoding: str
    delimiter: str
    rows: Iterator[RawRow]


def open_csv(path: Path) -> CsvFile:
    """Detect the encoding and the delimiter, and return the rows. Raises `SpreadsheetError`, also while reading."""
    encoding = detect_encoding(path)
    with _open_text(path, encoding) as text:
        sample = text.read(_SAMPLE_CHARACTERS)
    is_whole = len(sample) < _SAMPLE_CHARACTERS
    line = re.match(r"[^\r\n]*(\r\n|\r|\n)?", sample)
    hint = _DELIMITER_LINE.fullmatch(line.group()) if line is not None and len(line.group()) < 10 else None  # noqa: PLR2004
    if hint is not None and line is not None:
        sample = sample[line.end() :]
    delimiter = (hint.group(1) if hint is not None else None) or detect_delimiter(sample, is_whole=is_whole)
    rows = _read_rows(_open_text(path, encoding), delimiter, skip_first_line=hint is not None)
    return CsvFile(encoding=encoding, delimiter=delimiter, rows=rows)


def _open_text(path: Path, encoding: str) -> io.TextIOWrapper:
    return path.open(encoding=encoding, newline="")  # line ends stay, because csv tells those within quotation marks


class _LineSource:
    """Gives csv one line after the other, and stops at a row that is too long."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream
        self.row = 1  # that is being read
        self.size = 0  # its characters so far
        self.line = ""  # the last one

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_ROW_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.size += len(line)
        if self.size > MAX_ROW_CHARACTERS:
            raise SpreadsheetError(
                f"Row {self.row} is longer than {MAX_ROW_CHARACTERS:,} characters. Probably a quotation mark is not"
                " closed, or this is not a CSV file: correct the row, or save the file as .xlsx.",
                row=self.row,
            )
        if "\0" in line:
            raise SpreadsheetError(
                f"Row {self.row} holds a NUL character, so this is no text file or it is damaged:"
                " save it as CSV (UTF-8) again.",
                row=self.row,
            )
        self.line = line
        return line


def _read_rows(stream: io.TextIOWrapper, delimiter: str, *, skip_first_line: bool) -> Iterator[RawRow]:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with stream:
        if skip_first_line:
            stream.readline()
        lines = _LineSource(stream)
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        first_width = last_width = 0
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise _explain_csv_error(str(error), lines.row, delimiter) from error
            if cells is None:
                break
            first_width = first_width or len(cells)
            last_width = len(cells)
            yield RawRow(lines.row, cells)
            lines.row += 1
            lines.size = 0
            if lines.row > MAX_SHEET_ROWS + 1:
                reason = f"The file has more than {MAX_SHEET_ROWS:,} rows: split it into several files."
                raise SpreadsheetError(reason, row=lines.row)
        if 0 < last_width < first_width and not lines.line.endswith(("\n", "\r")):
            raise SpreadsheetError(
                f"The file ends in the middle of row {lines.row - 1}, which has {last_width} of {first_width} cells and"
                " no line end. The file seems to be cut off: save or upload it again.",
                row=lines.row - 1,
            )


def _explain_csv_error(error: str, row: int, delimiter: str) -> SpreadsheetError:
    if "field larger" in error:
        sentence = (
            f"Row {row} has a cell of more than {MAX_CELL_CHARACTERS:,} characters. Probably a quotation mark is not"
            " closed: close it, or shorten the cell."
        )
    elif "unexpected end" in error:
        sentence = (
            f"The cell in quotation marks that begins in row {row} is never closed. The file seems to be cut off,"
            " or a quotation mark is missing: correct the row, or save the file again."
        )
    elif "expected after" in error:
        name = "a tab" if delimiter == "\t" else f"“{delimiter}”"
        sentence = (
            f"Row {row} has text right after a closing quotation mark, where {name} should be. Write a quotation mark"
            ' within a cell twice (""), or save the file as .xlsx.'
        )
    else:
        sentence = f"Row {row} is not CSV ({error}): save the file as CSV again."
    return SpreadsheetError(sentence, row=row)
