"""Odd files that are spreadsheets all the same: their rows are right, and what was detected is told."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from support.spreadsheet_file import read_spreadsheet
from support.workbook_builder import Sheet, build_ods, build_xlsx, write_ods_row, write_xlsx_row

HEADINGS = "E-Mail;Name;Ort\r\n"
TWO_ROWS = HEADINGS + "a@example.com;Jürgen Groß;Köln\r\nb@example.com;Zoë Müller;Ulm\r\n"
_TWO: list[tuple[int, tuple[str, ...]]] = [
    (2, ("a@example.com", "Jürgen Groß", "Köln")),
    (3, ("b@example.com", "Zoë Müller", "Ulm")),
]
_POLISH = "E-Mail;Imię;Miasto\r\na@example.com;Łukasz;Łódź\r\nb@example.com;Wiśniewska;Gdańsk\r\n"
_CZECH = "E-Mail;Jméno;Město\r\na@example.com;Jiří Dvořák;Plzeň\r\n"
_TURKISH = "E-Mail;Ad;Şehir\r\na@example.com;Ayşe Öztürk;İstanbul\r\nb@example.com;Çağlar;İzmir\r\n"
_RUSSIAN = "Почта;Имя;Город\r\n" + "a@example.com;Наталья Иванова;Москва\r\nb@example.com;Дмитрий;Казань\r\n" * 5
_SPANISH = "Correo;Nombre;Nota\r\na@example.com;Íñigo Muñoz;¿Qué tal?\r\nb@example.com;José Peña;¡Olé!\r\n"

ENCODINGS = {
    "utf-8": (TWO_ROWS, "utf-8", "utf-8"),
    "utf-8 with its mark, as Excel writes it": (TWO_ROWS, "utf-8-sig", "utf-8-sig"),
    "utf-16 with its mark": (TWO_ROWS, "utf-16", "utf-16"),
    "utf-16, low byte first, without a mark": (TWO_ROWS, "utf-16-le", "utf-16-le"),
    "utf-16, high byte first, without a mark": (TWO_ROWS, "utf-16-be", "utf-16-be"),
    "utf-32 with its mark": (TWO_ROWS, "utf-32", "utf-32"),
    "German by Excel for Windows": (TWO_ROWS, "cp1252", "cp1252"),
    "German by Excel for MS-DOS": (TWO_ROWS, "cp850", "cp850"),
    "German by Excel for Macintosh": (TWO_ROWS, "mac-roman", "mac-roman"),
    "a euro sign of Windows": (TWO_ROWS + "c@example.com;Ann;5 €\r\n", "cp1252", "cp1252"),
    "a euro sign of Unix": (TWO_ROWS + "c@example.com;Ann;5 €\r\n", "iso-8859-15", "iso-8859-15"),
    "French": ("Courriel;Prénom;Ville\r\na@example.com;Renée;Besançon \u2013 l\u2019Été\r\n", "cp1252", "cp1252"),
    "Spanish": (_SPANISH, "cp1252", "cp1252"),
    "names of many countries": ("a;b\r\nSøren Ångström;Peña\r\nMüller;François\r\n", "cp1252", "cp1252"),
    "Polish": (_POLISH, "cp1250", "cp1250"),
    "Polish by Unix": (_POLISH, "iso-8859-2", "iso-8859-2"),
    "Czech": (_CZECH, "cp1250", "cp1250"),
    "Turkish": (_TURKISH, "cp1254", "cp1254"),
    "Russian": (_RUSSIAN, "cp1251", "cp1251"),
    "Russian by Unix": (_RUSSIAN, "koi8_r", "koi8_r"),
    "the first letter beyond ASCII far behind": (
        HEADINGS + "a@example.com;Ann;Ulm\r\n" * 90_000 + "z@example.com;Zoë;Köln\r\n",
        "cp1252",
        "cp1252",
    ),
}
CSV_FILES: dict[str, tuple[str, str, list[tuple[int, tuple[str, ...]]]]] = {
    "line ends of Unix": (TWO_ROWS.replace("\r\n", "\n"), ";", _TWO),
    "line ends of an old Macintosh": (TWO_ROWS.replace("\r\n", "\r"), ";", _TWO),
    "no line end at the end": (TWO_ROWS.rstrip(), ";", _TWO),
    "commas": ("a,b\n1,2\n", ",", [(2, ("1", "2"))]),
    "tabs": ("a\tb\n1,5\t2\n", "\t", [(2, ("1,5", "2"))]),
    "bars": ("a|b\n1|2\n", "|", [(2, ("1", "2"))]),
    "European numbers": (
        "Name;Betrag\nAnn;1,50\nBob;1.234,56\n",
        ";",
        [(2, ("Ann", "1,50")), (3, ("Bob", "1.234,56"))],
    ),
    "semicolons, and a comma in each row": (
        "e;name, first\nx;Doe, A\ny;Roe, B\n",
        ";",
        [(2, ("x", "Doe, A")), (3, ("y", "Roe, B"))],
    ),
    "Excel's line for the delimiter": ("sep=;\r\na;b,c\r\n1;2,3\r\n", ";", [(2, ("1", "2,3"))]),
    "one column": ("E-Mail\na@example.com\nb@example.com\n", ",", [(2, ("a@example.com",)), (3, ("b@example.com",))]),
    "one column of names with commas": ("Name\nDoe, Ann\n", ";", [(2, ("Doe, Ann",))]),
    "line breaks in quotation marks": (
        'a,b\r\n"x\r\ny",1\r\n"p\nq",2\r\n',
        ",",
        [(2, ("x\r\ny", "1")), (3, ("p\nq", "2"))],
    ),
    "quotation marks in cells": ('a,b\n"say ""hi""",5" pipe\n', ",", [(2, ('say "hi"', '5" pipe'))]),
    "delimiters in quotation marks": ('a,b\n"x,y","1;2"\n', ",", [(2, ("x,y", "1;2"))]),
    "blank rows count": ("\n\na;b\n\n;;\n1;2\n", ";", [(6, ("1", "2"))]),
    "blank rows at the end": ("a;b\n1;2\n" + ";;;;\n" * 1000, ";", [(2, ("1", "2"))]),
    "blank columns at the end": ("a;b;;;\n1;2;;;\n3;4;;;\n", ";", [(2, ("1", "2")), (3, ("3", "4"))]),
    "a blank column within": ("a;;b\n1;;2\n", ";", [(2, ("1", "2"))]),
    "rows without their last cells": (
        "a;b;c\n1;2;3\n4\n5;6;7\n",
        ";",
        [(2, ("1", "2", "3")), (3, ("4", "", "")), (4, ("5", "6", "7"))],
    ),
    "white space around": (" a ; b\n 1 ;\u00a02\u00a0\n", ";", [(2, ("1", "2"))]),
    "formulas stay text": ("a;b\n=1+1;@SUM(A1)\n+49 30;-5\n", ";", [(2, ("=1+1", "@SUM(A1)")), (3, ("+49 30", "-5"))]),
    "formulas of a table of faults": (
        "a;b\n'=1+1;'+49 30\n'x;it's\n",
        ";",
        [(2, ("=1+1", "+49 30")), (3, ("'x", "it's"))],
    ),
    "a space before quotation marks": ('a, b\n1, "x, y"\n', ",", [(2, ("1", "x, y"))]),
    "leading zeros": ("a;b\n01234;0049\n", ";", [(2, ("01234", "0049"))]),
    "letters beyond the basic plane": ("a;b\n😀;🧾\n", ";", [(2, ("😀", "🧾"))]),
}
_R, _O = write_xlsx_row, write_ods_row
_HEAD = ("E-Mail", "Name")
_TRUE, _FALSE = True, False
_BLANK_ODS_ROWS = (
    '<table:table-row table:number-rows-repeated="{}"><table:table-cell table:number-columns-repeated="16384"/>'
    "</table:table-row>"
)
_REPEATED_ODS_ROW = (
    '<table:table-row table:number-rows-repeated="2"><table:table-cell table:number-columns-repeated="2"'
    ' office:value-type="string"><text:p>x</text:p></table:table-cell></table:table-row>'
)
_EMPTY_MERGE = '<mergeCells><mergeCell ref="A9:B12"/></mergeCells>'
_PICTURE = {"xl/media/image1.png": bytes(60 * 1024 * 1024)}
WORKBOOKS: dict[str, tuple[bytes, str, list[tuple[int, tuple[str, ...]]]]] = {
    "numbers": (
        build_xlsx(Sheet(rows=[_R(1, "a", "b", "c", "d"), _R(2, 3.0, 0.1 + 0.2, 4915112345678, -1.5e-7)])),
        "xlsx",
        [(2, ("3", "0.3", "4915112345678", "-1.5e-07"))],
    ),
    "days, moments and truth": (
        build_xlsx(Sheet(rows=[_R(1, "a", "b", "c"), _R(2, date(2026, 2, 28), datetime(2026, 3, 1, 9, 30), _TRUE)])),  # noqa: DTZ001
        "xlsx",
        [(2, ("2026-02-28", "2026-03-01T09:30:00", "true"))],
    ),
    "formulas with results": (
        build_xlsx(
            Sheet(
                rows=[
                    _R(1, *_HEAD),
                    _R(2, '<c r="A2" t="str"><f>B2&amp;"x"</f><v>ax</v></c>', "a"),
                    _R(3, '<c r="A3" t="str"><f>""</f><v></v></c>', "b"),
                ]
            )
        ),
        "xlsx",
        [(2, ("ax", "a")), (3, ("", "b"))],
    ),
    "cells that look like formulas": (
        build_xlsx(Sheet(rows=[_R(1, *_HEAD), _R(2, "=HYPERLINK(1)", "+1")])),
        "xlsx",
        [(2, ("=HYPERLINK(1)", "+1"))],
    ),
    "shared texts with formats": (
        build_xlsx(
            Sheet(rows=[_R(1, *_HEAD), _R(2, '<c r="A2" t="s"><v>0</v></c>', "x")]),
            parts={
                "xl/sharedStrings.xml": '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si>'
                "<r><t>An</t></r><r><rPr><b/></rPr><t>na</t></r></si></sst>"
            },
        ),
        "xlsx",
        [(2, ("Anna", "x"))],
    ),
    "an empty and a hidden sheet first": (
        build_xlsx(
            Sheet(rows=[], name="Empty"),
            Sheet(rows=[_R(1, "x")], name="Hidden", is_hidden=True),
            Sheet(rows=[_R(1, *_HEAD), _R(2, "a", "b")], name="Data & more"),
        ),
        "xlsx",
        [(2, ("a", "b"))],
    ),
    "a blank row, a blank column and one more sheet": (
        build_xlsx(
            Sheet(rows=[_R(2, None, *_HEAD), _R(5, None, "a", "b"), _R(9, None, "")]),
            Sheet(rows=[_R(1, "z")], name="2"),
        ),
        "xlsx",
        [(5, ("a", "b"))],
    ),
    "merged cells without text": (
        build_xlsx(Sheet(rows=[_R(1, *_HEAD), _R(2, "a", "b")], after=_EMPTY_MERGE)),
        "xlsx",
        [(2, ("a", "b"))],
    ),
    "hidden rows without text": (
        build_xlsx(Sheet(rows=[_R(1, *_HEAD), _R(2, "a", "b"), _R(3, attributes='hidden="1"')])),
        "xlsx",
        [(2, ("a", "b"))],
    ),
    "pictures are not unpacked": (
        build_xlsx(Sheet(rows=[_R(1, *_HEAD), _R(2, "a", "b")]), parts=_PICTURE),
        "xlsx",
        [(2, ("a", "b"))],
    ),
    "OpenDocument, with its million blank rows": (
        build_ods(
            Sheet(
                rows=[
                    _O(*_HEAD, "Total", "Since", "OK"),
                    _BLANK_ODS_ROWS.format(2),
                    _O("a", "b", 19.0, date(2026, 11, 29), _FALSE),
                    _BLANK_ODS_ROWS.format(1_048_572),
                ]
            )
        ),
        "ods",
        [(4, ("a", "b", "19", "2026-11-29", "false"))],
    ),
    "OpenDocument, repeated cells and rows": (
        build_ods(Sheet(rows=[_O(*_HEAD), _REPEATED_ODS_ROW])),
        "ods",
        [(2, ("x", "x")), (3, ("x", "x"))],
    ),
    "OpenDocument, a hidden sheet first": (
        build_ods(
            Sheet(rows=[_O("z")], name="Hidden", is_hidden=True), Sheet(rows=[_O(*_HEAD), _O("a", "b")], name="2")
        ),
        "ods",
        [(2, ("a", "b"))],
    ),
}


@pytest.mark.parametrize("name", ENCODINGS)
async def test_encodings_are_detected(tmp_path: Path, name: str) -> None:
    """Each letter is right, whatever program wrote the file, and the encoding is told."""
    text, encoding, detected = ENCODINGS[name]
    info, rows = await read_spreadsheet(tmp_path, text.encode(encoding))
    assert (info.format, info.encoding, info.delimiter) == ("csv", detected, ";")
    lines = [tuple(line.split(";")) for line in text.splitlines()]
    assert [info.headings, *(row.cells for row in rows)] == lines


@pytest.mark.parametrize("name", CSV_FILES)
async def test_csv_files_are_read(tmp_path: Path, name: str) -> None:
    """The delimiter, the cells and the numbers of the rows are what a spreadsheet program shows."""
    text, delimiter, expected = CSV_FILES[name]
    info, rows = await read_spreadsheet(tmp_path, text.encode())
    assert info.delimiter == delimiter
    assert [(row.number, row.cells) for row in rows] == expected
    assert all(len(row.cells) == len(info.headings) for row in rows)


@pytest.mark.parametrize("name", WORKBOOKS)
async def test_workbooks_are_read(tmp_path: Path, name: str) -> None:
    """The cells of a workbook are text as a person sees it, from the first visible sheet that is not empty."""
    content, kind, expected = WORKBOOKS[name]
    info, rows = await read_spreadsheet(tmp_path, content)
    assert (info.format, info.encoding, info.delimiter) == (kind, None, None)
    assert [(row.number, row.cells) for row in rows] == expected


async def test_the_sheet_is_told(tmp_path: Path) -> None:
    """The name of the sheet that is read is told."""
    info, _ = await read_spreadsheet(tmp_path, WORKBOOKS["an empty and a hidden sheet first"][0])
    assert (info.sheet, info.headings) == ("Data & more", _HEAD)


async def test_durations_are_hours(tmp_path: Path) -> None:
    """A duration beyond a day is shown in hours."""
    days = timedelta(hours=30, minutes=15) / timedelta(days=1)
    styles = (
        '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="2"><xf'
        ' numFmtId="0"/><xf numFmtId="46"/></cellXfs></styleSheet>'
    )
    rows = [_R(1, "a"), _R(2, f'<c r="A2" s="1"><v>{days!r}</v></c>')]
    _, read = await read_spreadsheet(tmp_path, build_xlsx(Sheet(rows=rows), parts={"xl/styles.xml": styles}))
    assert read[0].cells == ("30:15:00",)
