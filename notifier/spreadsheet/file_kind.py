"""What kind of file it is, by its content; files that are no spreadsheets are refused by name."""

import zipfile
import zlib
from enum import StrEnum
from pathlib import Path

from notifier.spreadsheet.sheet_row import SpreadsheetError

SAVE_AS = "save it as .xlsx or as CSV (UTF-8), and upload that file"
_LOOKED_AT_BYTES = 4096
_WORKBOOK_MARK = b"PK"
_OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")  # a stream in an OLE file: a workbook with a password
_FOREIGN_MARKS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"RIFF", "an image, a sound or a film"),
    (b"BM", "an image (BMP)"),
    (b"II*\x00", "an image (TIFF)"),
    (b"MM\x00*", "an image (TIFF)"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"Rar!", "an archive (RAR)"),
    (b"7z\xbc\xaf", "an archive (7-Zip)"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database"),
    (b"PAR1", "a Parquet file"),
)


class FileKind(StrEnum):
    """The formats that are read."""

    CSV = "csv"
    XLSX = "xlsx"
    ODS = "ods"


def detect_kind(path: Path) -> FileKind:
    """Detect the format from the content. Raises `SpreadsheetError` for files that are none."""
    with path.open("rb") as stream:
        start = stream.read(_LOOKED_AT_BYTES)
    if start.startswith(_OLE_MARK):
        raise SpreadsheetError(_explain_ole(path))
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _detect_workbook(path)
    for mark, name in _FOREIGN_MARKS:
        if start.startswith(mark) and (len(mark) > 2 or _is_binary(start)):  # noqa: PLR2004 - two letters may be text
            raise SpreadsheetError(f"This is {name}, not a spreadsheet: open the spreadsheet, {SAVE_AS}.")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<table", b"<?xml", b"<workbook")):
        raise SpreadsheetError(
            f"This is a web page or XML, not a spreadsheet, whatever its name says: open it in a spreadsheet program,"
            f" {SAVE_AS}."
        )
    return FileKind.CSV


def _is_binary(start: bytes) -> bool:
    return b"\x00" in start[:64]


def _explain_ole(path: Path) -> str:
    if _ENCRYPTED_PACKAGE in path.read_bytes():
        return f"The workbook is protected by a password: remove the password, {SAVE_AS}."
    return f"This is a file of an old Office program (such as .xls or .doc), which is not read: {SAVE_AS}."


def _detect_workbook(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            mimetype = archive.open("mimetype").read(100) if "mimetype" in names else b""
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise SpreadsheetError(
            "The workbook is damaged or was cut off, so that it cannot be opened: save and upload it again."
        ) from error
    if "xl/workbook.bin" in names:
        raise SpreadsheetError(f"This is a binary workbook (.xlsb), which is not read: {SAVE_AS}.")
    if "xl/workbook.xml" in names:
        return FileKind.XLSX
    if b"opendocument.spreadsheet" in mimetype and "content.xml" in names:
        return FileKind.ODS
    if "encrypted-package" in names:
        raise SpreadsheetError(f"The workbook is protected by a password: remove the password, {SAVE_AS}.")
    if any(name.endswith(".iwa") for name in names):
        raise SpreadsheetError(f"This is a Numbers document, which is not read: export it as .xlsx, and {SAVE_AS}.")
    raise SpreadsheetError(f"This is an archive or a document, not a spreadsheet: open the spreadsheet, {SAVE_AS}.")
