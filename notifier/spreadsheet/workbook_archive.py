"""A workbook as an archive (ZIP): its sheets are unpacked under a limit, into a file that calamine then reads.

So the size is what was counted, whatever the archive says about itself, and both of us read the same parts. Each part
must be well-formed XML, because calamine reads some broken ones for ever (0.9.1, tags that do not match in an ODS).
"""

import errno
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.parsers import expat

from notifier.spreadsheet.sheet_row import SpreadsheetError

MAX_UNPACKED_BYTES = 44 * 1024 * 1024
"""Bytes of the sheets and texts of a workbook. Reading them takes 2.3 times as much memory, measured."""
MAX_WORKBOOK_PARTS = 4096
DAMAGED = (
    "The workbook is damaged or was cut off, so that it cannot be read: open it in a spreadsheet program, save it, and"
    " upload it again."
)
LOCKED = (
    "The workbook is protected by a password: remove the password, save it as .xlsx or as CSV (UTF-8), and upload that"
    " file."
)
_CHUNK_BYTES = 256 * 1024
_ENCRYPTED = 0x1  # flag (APPNOTE 6.3.10 §4.4.4)
_ODS_MANIFEST = "META-INF/manifest.xml"  # says which parts are encrypted (ODF 1.3 part 2 §4.8)
_ODS_TYPE = "mimetype"  # the only part that is no XML
_UNUSED_PARTS = re.compile(
    r"(?i)(?:xl/(?:media|drawings|charts|embeddings|theme|calcchain)|pictures/|thumbnails/|object)"
)
_USED_PARTS = re.compile(r"(?i).*\.(?:xml|rels)|mimetype")


@contextmanager
def unpack_workbook(path: Path) -> Iterator[IO[bytes]]:
    """Unpack what is read of a workbook into an archive without compression, in a temporary file without a name.

    Raises `SpreadsheetError` for an archive that is damaged, locked or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    with tempfile.TemporaryFile() as unpacked:
        try:
            with zipfile.ZipFile(path) as archive, zipfile.ZipFile(unpacked, "w") as copy:
                _copy_parts(archive, copy)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, expat.ExpatError) as error:
            raise SpreadsheetError(DAMAGED) from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # zipfile looks for a part before the beginning of the file
                raise
            raise SpreadsheetError(DAMAGED) from error
        unpacked.seek(0)
        yield unpacked


def _copy_parts(archive: zipfile.ZipFile, copy: zipfile.ZipFile) -> None:
    parts = [
        part
        for part in archive.NameToInfo.values()
        if _USED_PARTS.fullmatch(part.filename) and not _UNUSED_PARTS.match(part.filename)
    ]
    if len(parts) > MAX_WORKBOOK_PARTS:
        raise SpreadsheetError(DAMAGED)
    if sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise SpreadsheetError(_explain_size())
    if any(part.flag_bits & _ENCRYPTED for part in parts):
        raise SpreadsheetError(LOCKED)
    if _ODS_MANIFEST in archive.NameToInfo and b":encryption-data" in archive.read(_ODS_MANIFEST):
        raise SpreadsheetError(LOCKED)
    budget = MAX_UNPACKED_BYTES
    for part in parts:
        if part.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise SpreadsheetError(DAMAGED)
        budget -= _copy_part(archive, copy, part, budget)


def _copy_part(archive: zipfile.ZipFile, copy: zipfile.ZipFile, part: zipfile.ZipInfo, budget: int) -> int:
    """Copy one part of at most `budget` bytes, which must be well-formed XML, and return its bytes."""
    parser = build_xml_parser() if part.filename != _ODS_TYPE else None
    size = 0
    with archive.open(part) as source, copy.open(zipfile.ZipInfo(part.filename), "w") as target:
        while chunk := source.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > budget:
                raise SpreadsheetError(_explain_size())
            if parser is not None:
                parser.Parse(chunk)
            target.write(chunk)
    if parser is not None:
        parser.Parse(b"", True)  # noqa: FBT003 - the library's own signature
    return size


def build_xml_parser() -> expat.XMLParserType:
    """Build a parser that refuses document types, which could define entities, with `SpreadsheetError`."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_document_type
    return parser


def _refuse_document_type(*_: object) -> None:
    raise SpreadsheetError(DAMAGED)


def _explain_size() -> str:
    limit = MAX_UNPACKED_BYTES // 1024 // 1024
    return (
        f"The workbook unpacks to more than {limit} MiB, which takes too much memory: save the sheet as CSV (UTF-8), of"
        " which more is read, or split it."
    )
