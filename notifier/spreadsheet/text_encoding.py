"""Which encoding a text file has: its mark, UTF-8 if the whole file is, else the likely one."""

import codecs
from pathlib import Path

from notifier.spreadsheet.sheet_row import SpreadsheetError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 1024 * 1024


def detect_encoding(path: Path) -> str:
    """Detect the encoding, as Python names it; the whole file can be decoded with it. Raises `SpreadsheetError`."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            _check_decodes(path, encoding)
            return encoding
    if _decodes(path, "utf-8"):
        return "utf-8"
    _check_decodes(path, "cp1252")
    return "cp1252"


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _check_decodes(path: Path, encoding: str) -> None:
    if not _decodes(path, encoding):
        raise SpreadsheetError(f"The file is damaged: it is not {encoding} throughout. Save it as CSV (UTF-8) again.")
