"""Odd files that cannot be read: one clear sentence each, with the row where there is one."""

import re
from pathlib import Path

import pytest
from support.spreadsheet_file import assert_is_one_sentence, read_refusal
from support.workbook_builder import pack_zip

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
_WIDE = ";".join(f"c{number}" for number in range(300))

NO_SPREADSHEETS = {
    "empty": (b"", "The file is empty"),
    "white space": (b" \r\n \r\n", "no text in any cell"),
    "only the mark of UTF-8": (b"\xef\xbb\xbf", "no text in any cell"),
    "PDF": (b"%PDF-1.7\n\x00\x01", "PDF document, not a spreadsheet.*save it as .xlsx or as CSV"),
    "PNG": (b"\x89PNG\r\n\x1a\n\x00\x00", "an image"),
    "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "a compressed file"),
    "BMP": (b"BM\x36\x00\x00\x00" + bytes(60), "an image"),
    "RTF": (rb"{\rtf1\ansi hello}", "a text document"),
    "old .xls": (_OLE + b"\x09\x08\x10\x00\x00\x06", "an old Office program.*save it as .xlsx"),
    ".xlsx with a password": (_OLE + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
    "a web page that is called .xls": (b"<html><table><tr><td>a</td></tr></table></html>", "a web page or XML"),
    "XML of Excel 2003": (b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>', "a web page or XML"),
    "a text document": (pack_zip({"word/document.xml": "<w/>"}), "an archive or a document"),
    "a binary workbook": (pack_zip({"xl/workbook.bin": b"\x00"}), r"\.xlsb"),
    "a Numbers document": (pack_zip({"Index/Document.iwa": b"\x00"}), "a Numbers document"),
    "random bytes": (bytes((number * 7919 + 13) % 256 for number in range(5000)), "NUL characters|encoding"),
    "bytes of no encoding": (
        b"a;b\r\n" + bytes(range(0x80, 0x100)) + b";x\r\n",
        "which encoding it has cannot be told",
    ),
    "Japanese by Windows": ("名前;都市\r\n山田;東京\r\n".encode("shift_jis"), "which encoding it has cannot be told"),
}
CSV_FILES: dict[str, tuple[bytes, int | None, str]] = {
    "headings only": (b"a;b\r\n", None, "headings but no rows"),
    "headings and blank rows": (b"a;b\r\n;\r\n\r\n", None, "headings but no rows"),
    "a heading twice": (b"E-Mail;Name;e-mail\r\n1;2;3\r\n", 1, "“e-mail” stands above columns A and C"),
    "an empty heading above filled cells": (b"a;;c\r\n1;;3\r\n1;2;3\r\n", 3, "Row 3 has “2” in column B, which has no"),
    "a cell too many": (b"a;b\r\n1;2\r\n1;2;3\r\n", 3, "Row 3 has “3” in column C, which has no heading"),
    "no headings": (b"a@example.com;Ann\r\nb@example.com;Bob\r\n", 1, "where headings should be"),
    "300 columns": (f"{_WIDE}\r\n{_WIDE}\r\n".encode(), 1, "300 columns; at most 200"),
    "a long heading": (b"h" * 201 + b";b\r\n1;2\r\n", 1, "longer than 200 characters"),
    "an open quotation mark": (b'a;b\r\n1;2\r\n3;"4\r\n5;6\r\n', 3, "begins in row 3 is never closed"),
    "an open quotation mark in a long file": (
        b'a;b\r\n1;"2\r\n' + b"3;4\r\n" * 20_000,
        2,
        "Row 2 has a cell of more than 32,767 characters",
    ),
    "text behind a quotation mark": (b'a;b\r\n"1"x;2\r\n', 2, "text right after a closing quotation mark"),
    "cut off in a row": (b"a;b;c\r\n1;2;3\r\n1;2", 3, "ends in the middle of row 3"),
    "cut off in a character": ("a;b\r\nö;ü\r\nö;ü".encode()[:-1], None, "ends in the middle of a character"),
    "UTF-16 cut off": ("a;b\r\nö;ü\r\n".encode("utf-16")[:-1], None, "damaged or cut off"),
    "UTF-8 with a few other bytes": (
        "a;b\r\nMüller;Groß\r\n".encode() * 3 + b"J\xf6rg;x\r\n",
        None,
        "The file is UTF-8, but line 7",
    ),
    "NUL": (b"a;b\r\n" + b"1;2\r\n" * 1000 + b"1;\x002\r\n", 1002, "Row 1002 holds a NUL"),
    "NUL at the beginning": (b"a;b\r\n1;\x002\r\n", None, "holds NUL characters"),
    "one row of many lines": (b"a;b\r\n" + b'"\n";' * 100_000, 2, "Row 2 is longer than 262,144 characters"),
    "a long cell": (b"a;b\r\n" + b"x" * 40_000 + b";2\r\n", 2, "more than 32,767 characters"),
}


@pytest.mark.parametrize("name", NO_SPREADSHEETS)
async def test_files_that_are_no_spreadsheets_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """The sentence says what the file is, and what to do."""
    content, sentence = NO_SPREADSHEETS[name]
    error = await read_refusal(tmp_path, content)
    assert re.search(sentence, str(error))
    assert_is_one_sentence(str(error))


@pytest.mark.parametrize("name", CSV_FILES)
async def test_csv_files_with_a_fault_are_refused(tmp_path: Path, name: str) -> None:
    """The sentence names the row."""
    content, row, sentence = CSV_FILES[name]
    error = await read_refusal(tmp_path, content)
    assert re.search(sentence, str(error))
    assert row is None or error.row == row
    assert_is_one_sentence(str(error))
