"""Reads a CSV document into rows: a line of headings, and then as many cells in each line.

The messages quote no cells, because they are logged. `document_reader` calls this in a child process.
"""

import codecs
import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from notifier.errors import NotifierError

MAX_ROWS: Final = 50_000
MAX_COLUMNS: Final = 100
MAX_CELL_LENGTH: Final = 32_768
MAX_HEADING_LENGTH: Final = 128
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252"})
_DELIMITERS = ",;\t|"
_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class InvalidDocumentError(NotifierError):
    """The document of a feed cannot be used; the message says why."""


def read_csv_rows(body: bytes, charset: str | None) -> list[dict[str, Any]]:
    """Read the rows as objects of texts, by their headings. Raises `InvalidDocumentError`."""
    text = _decode_text(body, charset)
    if not text.strip():
        raise InvalidDocumentError("the document is empty: it has no line of headings")
    csv.field_size_limit(MAX_CELL_LENGTH)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_find_delimiter(text), strict=True)
    rows: list[dict[str, Any]] = []
    headings: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if headings is None:
                headings = _read_headings(cells)
                continue
            if len(cells) != len(headings):
                raise InvalidDocumentError(
                    f"line {reader.line_num} has {len(cells)} cells, and there are {len(headings)} headings"
                )
            if len(rows) == MAX_ROWS:
                raise InvalidDocumentError(f"the document has more than {MAX_ROWS:,} rows")
            rows.append(dict(zip(headings, cells, strict=True)))
    except csv.Error as error:
        raise InvalidDocumentError(_describe_csv_error(error, reader.line_num)) from error
    return rows


def _decode_text(body: bytes, charset: str | None) -> str:
    name = (charset or "utf-8").lower()
    if body.startswith(_OTHER_MARKS):
        raise InvalidDocumentError("the document is UTF-16: a feed must be UTF-8, or name its charset")
    if name not in _CHARSETS:
        raise InvalidDocumentError(f"the charset {name[:40]!r} is not supported: a feed must be UTF-8")
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode(name)
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02X} at position {error.start}"
        raise InvalidDocumentError(f"the document is not {name.upper()}: {place}") from error
    if "\x00" in text:
        raise InvalidDocumentError("the document contains NUL: it is binary, or UTF-16")
    return text


def _find_delimiter(text: str) -> str:
    first = next(line for line in io.StringIO(text) if line.strip())
    return max(_DELIMITERS, key=first.count)


def _read_headings(cells: Sequence[str]) -> list[str]:
    headings = [cell.strip() for cell in cells]
    if len(headings) > MAX_COLUMNS:
        raise InvalidDocumentError(f"the document has {len(headings):,} columns; at most {MAX_COLUMNS} are allowed")
    for number, heading in enumerate(headings, 1):
        if not 1 <= len(heading) <= MAX_HEADING_LENGTH:
            form = f"a heading has 1 to {MAX_HEADING_LENGTH} characters"
            raise InvalidDocumentError(f"the heading of column {number} has {len(heading)}: {form}")
        if heading in headings[: number - 1]:
            raise InvalidDocumentError(f"the headings of columns {headings.index(heading) + 1} and {number} are equal")
    return headings


def _describe_csv_error(error: csv.Error, line: int) -> str:
    if "field larger" in str(error):
        return f"line {line}: a cell has more than {MAX_CELL_LENGTH:,} characters, or its quotation mark is missing"
    if "unexpected end of data" in str(error):
        return f"line {line}: the document ends within quotation marks: only a part of it was sent"
    return f"line {line} is not valid CSV: its quotation marks do not match"
