"""Workbooks that cannot be read, or would be read wrongly: one clear sentence each, with the row where there is one."""

import io
import re
import zipfile
from pathlib import Path

import pytest
from support.spreadsheet_file import assert_is_one_sentence, read_refusal
from support.workbook_builder import Sheet, build_ods, build_xlsx, pack_zip, write_ods_row, write_xlsx_row

_R, _O = write_xlsx_row, write_ods_row
_GOOD_XLSX = build_xlsx(Sheet(rows=[_R(1, "a", "b"), *(_R(number, f"x{number}", "y") for number in range(2, 500))]))
_MANIFEST_OF_ENCRYPTED = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry'
    ' manifest:full-path="content.xml" manifest:media-type="text/xml"><manifest:encryption-data/>'
    "</manifest:file-entry></manifest:manifest>"
)
_SPANNED = (
    '<table:table-cell table:number-rows-spanned="2" office:value-type="string"><text:p>q</text:p></table:table-cell>'
)
_ODS_ERROR = (
    '<table:table-cell table:formula="of:=1/0" office:value-type="string" office:string-value=""'
    ' calcext:value-type="error"><text:p>#DIV/0!</text:p></table:table-cell>'
)
_ODS_HIDDEN = 'table:visibility="filter"'
_MERGED = '<mergeCells><mergeCell ref="A2:A3"/></mergeCells>'
_MERGED_TITLE = '<mergeCells><mergeCell ref="A1:C1"/></mergeCells>'
_SPREAD_SHEET = "<sheetData><row r='1'><c r='A1'><v>1</v></c></row></sheetData>"
_WITH_ENTITIES = f'<!DOCTYPE x [<!ENTITY a "{"b" * 1000}">]><worksheet>{_SPREAD_SHEET}</worksheet>'


def _lock_zip(content: bytes) -> bytes:
    """Set the flag of encryption of all entries, in their headers and in the directory."""
    locked = bytearray(content)
    for match in re.finditer(rb"PK\x03\x04|PK\x01\x02", content):
        locked[match.start() + (6 if match.group() == b"PK\x03\x04" else 8)] |= 1
    return bytes(locked)


def _pack_bz2(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    return packed.getvalue()


def _replace_in_part(content: bytes, part: str, old: bytes, new: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
        return pack_zip(files | {part: archive.read(part).replace(old, new, 1)})


def _corrupt(content: bytes) -> bytes:
    middle = content.index(b"sheet1.xml") + 60
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 20]) + content[middle + 20 :]


WORKBOOKS: dict[str, tuple[bytes, int | None, str]] = {
    "cut off": (_GOOD_XLSX[: len(_GOOD_XLSX) // 2], None, "damaged or was cut off"),
    "bytes changed": (_corrupt(_GOOD_XLSX), None, "damaged or was cut off"),
    "a part is missing": (pack_zip({"xl/workbook.xml": "<workbook/>"}), None, "damaged or was cut off|no text"),
    "no XML": (build_xlsx(Sheet(rows=["<row"])), None, "damaged or was cut off"),
    "tags that do not match, which calamine reads for ever": (
        _replace_in_part(
            build_ods(Sheet(rows=[_O("a"), _O("1")])), "content.xml", b"<office:automatic", b"<office:automat;c"
        ),
        None,
        "damaged or was cut off",
    ),
    "a document type": (
        build_xlsx(Sheet(rows=[]), parts={"xl/worksheets/sheet1.xml": _WITH_ENTITIES}),
        None,
        "damaged",
    ),
    "compressed in another way": (_pack_bz2(_GOOD_XLSX), None, "damaged or was cut off"),
    "encrypted archive": (_lock_zip(_GOOD_XLSX), None, "protected by a password"),
    "encrypted OpenDocument": (
        build_ods(
            Sheet(rows=[]), parts={"content.xml": bytes(range(99)), "META-INF/manifest.xml": _MANIFEST_OF_ENCRYPTED}
        ),
        None,
        "protected by a password",
    ),
    "no sheet with text": (build_xlsx(Sheet(rows=[])), None, "no text in any cell"),
    "all text is hidden": (
        build_xlsx(Sheet(rows=[]), Sheet(rows=[_R(1, "a")], name="2", is_hidden=True)),
        None,
        "All visible sheets .* empty",
    ),
    "headings only": (build_xlsx(Sheet(rows=[_R(1, "a", "b")])), None, "headings but no rows"),
    "a heading twice": (build_ods(Sheet(rows=[_O("a", "a"), _O("1", "2")])), 1, "“a” stands above columns A and B"),
    "NUL": (build_xlsx(Sheet(rows=[_R(1, "a"), _R(2, "x_x0000_y")])), 2, "Cell A2 holds a NUL"),
    "a long cell": (build_xlsx(Sheet(rows=[_R(1, "a"), _R(2, "x" * 33_000)])), 2, "Cell A2 is longer than 32,767"),
    "an error": (
        build_xlsx(Sheet(rows=[_R(1, "a", "b"), _R(2, "x", '<c r="B2" t="e"><v>#REF!</v></c>')])),
        2,
        "Cell B2 shows an error",
    ),
    "an error in OpenDocument": (
        build_ods(Sheet(rows=[_O("a", "b"), _O("x", _ODS_ERROR)])),
        2,
        "Cell B2 shows an error",
    ),
    "a formula without a result": (
        build_xlsx(Sheet(rows=[_R(1, "a", "b"), _R(2, "x", '<c r="B2"><f>1+1</f></c>')])),
        2,
        "Cell B2 holds a formula without",
    ),
    "merged cells": (
        build_xlsx(Sheet(rows=[_R(1, "a", "b"), _R(2, "x", "y"), _R(3, None, "z")], after=_MERGED)),
        2,
        "cells A2:A3 are merged",
    ),
    "a merged title": (
        build_xlsx(Sheet(rows=[_R(1, "Customers"), _R(2, "a", "b", "c")], after=_MERGED_TITLE)),
        1,
        "cells A1:C1 are merged",
    ),
    "merged cells in OpenDocument": (
        build_ods(Sheet(rows=[_O("a", "b"), _O("x", _SPANNED)])),
        2,
        "cells B2:B3 are merged",
    ),
    "a hidden row": (
        build_xlsx(Sheet(rows=[_R(1, "a"), _R(2, "x"), _R(3, "y", attributes='hidden="1"')])),
        3,
        "Row 3 is hidden",
    ),
    "a filtered row in OpenDocument": (
        build_ods(Sheet(rows=[_O("a"), _O("x"), _O("y", attributes=_ODS_HIDDEN)])),
        3,
        "Row 3 is hidden",
    ),
    "a cell far away": (
        build_xlsx(Sheet(rows=[_R(1, "a"), _R(1_048_576, '<c r="XFD1048576"><v>1</v></c>')])),
        None,
        "more memory",
    ),
}


@pytest.mark.parametrize("name", WORKBOOKS)
async def test_workbooks_with_a_fault_are_refused(tmp_path: Path, name: str) -> None:
    """The sentence names the cell or the row."""
    content, row, sentence = WORKBOOKS[name]
    error = await read_refusal(tmp_path, content)
    assert re.search(sentence, str(error))
    assert error.row == row
    assert_is_one_sentence(str(error))
