"""Open a file of any format that is read, and lay out its rows."""

from collections.abc import Iterator
from pathlib import Path

from notifier.spreadsheet.csv_file import open_csv
from notifier.spreadsheet.file_kind import FileKind, detect_kind
from notifier.spreadsheet.row_layout import check_headings, lay_out_rows, read_ahead, read_headings
from notifier.spreadsheet.sheet_row import RawRow, SheetRow, SpreadsheetError, SpreadsheetInfo
from notifier.spreadsheet.workbook_file import open_workbook

MAX_FILE_BYTES = 64 * 1024 * 1024


def open_sheet(path: Path, max_rows: int) -> tuple[SpreadsheetInfo, Iterator[SheetRow]]:
    """Open the file and return what was detected, and its rows.

    Raises `SpreadsheetError`, also while the rows are read, and `OSError`.
    """
    size = path.stat().st_size
    if size == 0:
        raise SpreadsheetError("The file is empty: save the spreadsheet again and upload it.")
    if size > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1024 // 1024
        raise SpreadsheetError(f"The file is larger than {limit} MiB: split it into several files.")
    kind = detect_kind(path)
    encoding = delimiter = sheet = None
    rows: Iterator[RawRow]
    if kind is FileKind.CSV:
        csv_file = open_csv(path)
        encoding, delimiter, rows = csv_file.encoding, csv_file.delimiter, csv_file.rows
    else:
        workbook = open_workbook(path, kind)
        sheet, rows = workbook.sheet, workbook.rows
    heading_row = read_headings(rows)
    check_headings(heading_row)
    info = SpreadsheetInfo(
        format=kind.value,
        encoding=encoding,
        delimiter=delimiter,
        sheet=sheet,
        headings=tuple(heading for heading in heading_row.cells if heading),
    )
    return info, read_ahead(lay_out_rows(rows, heading_row, max_rows))
