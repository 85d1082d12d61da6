"""What a file may cost: memory and the size of answers, whatever is in it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.spreadsheet_file import assert_is_one_sentence, get_child_pid, read_process_file, read_refusal
from support.workbook_builder import Sheet, build_ods, build_xlsx, pack_zip, write_xlsx_row

from notifier.spreadsheet.reader_program import MAX_ANSWER_CHARACTERS, MAX_GROWTH_BYTES
from notifier.spreadsheet.spreadsheet_reader import open_spreadsheet

MEBIBYTE = 1024 * 1024
MAX_RESIDENT_BYTES = 150 * MEBIBYTE
_R = write_xlsx_row
_REPEATED = (
    '<table:table-row table:number-rows-repeated="{}"><table:table-cell table:number-columns-repeated="{}"'
    ' office:value-type="string"><text:p>x</text:p></table:table-cell></table:table-row>'
)


def _build_wide_csv() -> bytes:
    row = b";".join(b"x" * 100 for _ in range(200)) + b"\n"
    return b";".join(b"c%d" % number for number in range(200)) + b"\n" + row * (60 * MEBIBYTE // len(row))


def _build_large_workbook() -> bytes:
    rows = [_R(1, "E-Mail", "Name"), *(_R(number, f"{number}@example.com", "Ann") for number in range(2, 150_000))]
    return build_xlsx(Sheet(rows=rows))


def _build_bomb(name: str) -> bytes:
    return build_xlsx(Sheet(rows=[_R(1, "a")]), parts={name: bytes(200 * MEBIBYTE)})


def _lie_about_size(content: bytes) -> bytes:
    """Write a small size of each part into the directory, as an archive does that wants to be unpacked."""
    lying = bytearray(content)
    for match in re.finditer(rb"PK\x01\x02", content):
        lying[match.start() + 24 : match.start() + 28] = (10).to_bytes(4, "little")
    return bytes(lying)


HOSTILE_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "one line of 64 MiB": (lambda: b"a" * (64 * MEBIBYTE), "Row 1 is longer than 262,144 characters"),
    "64 MiB of quotation marks": (lambda: b'"' * (64 * MEBIBYTE - 1), "Row 1"),
    "64 MiB of delimiters": (lambda: b";" * (64 * MEBIBYTE), "Row 1 is longer"),
    "64 MiB of line ends": (lambda: b"\n" * (64 * MEBIBYTE), "more than 1,048,576 rows"),
    "more than 64 MiB": (lambda: b"a;b\n" * (17 * MEBIBYTE), "larger than 64 MiB"),
    "a bomb": (lambda: _build_bomb("xl/sharedStrings.xml"), "more than 44 MiB"),
    "a bomb that lies about its size": (lambda: _lie_about_size(_build_bomb("xl/sharedStrings.xml")), "damaged"),
    "many small parts": (
        lambda: pack_zip({f"xl/{n}.xml": "" for n in range(5000)} | {"xl/workbook.xml": ""}),
        "damaged",
    ),
    "a cell far away": (
        lambda: build_xlsx(Sheet(rows=[_R(1, "a"), _R(1_048_576, '<c r="XFD1048576"><v>1</v></c>')])),
        "more memory",
    ),
    "OpenDocument, a row repeated to the end": (
        lambda: build_ods(Sheet(rows=[_REPEATED.format(1_048_576, 16_384)])),
        "damaged",  # calamine's own limit of cells, which looks like any other fault
    ),
    "OpenDocument, a thousand wide rows": (
        lambda: build_ods(Sheet(rows=[_REPEATED.format(1000, 16_384)])),
        "more memory",
    ),
    "cells of one byte": (
        lambda: build_xlsx(Sheet(rows=["<row>" + "<c><v>1</v></c>" * 16_000 + "</row>"] * 180)),
        "more memory|columns",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
async def test_hostile_files_are_refused_within_the_memory_limit(tmp_path: Path, name: str) -> None:
    """A file that would fill the memory gets its sentence; the limit of the system holds the child."""
    build, sentence = HOSTILE_FILES[name]
    error = await read_refusal(tmp_path, build())
    assert re.search(sentence, str(error))
    assert_is_one_sentence(str(error))


LARGE_FILES: dict[str, Callable[[], bytes]] = {
    "a CSV of 60 MiB": _build_wide_csv,
    "a workbook near the limit": _build_large_workbook,
}


@pytest.mark.parametrize("name", LARGE_FILES)
async def test_large_files_are_read_within_the_memory_limit(tmp_path: Path, name: str) -> None:
    """The system's limit leaves the child less than 150 MiB, answers are small, and a large file fits."""
    path = tmp_path / "upload"
    path.write_bytes(LARGE_FILES[name]())
    count = largest = 0
    async with open_spreadsheet(path) as sheet:
        pid = get_child_pid(sheet)
        while rows := await sheet.read_rows(2000):
            count += len(rows)
            largest = max(largest, sum(len(cell) for row in rows for cell in row.cells))
        limit = re.search(r"Max address space\s+(\d+)", read_process_file(pid, "limits"))
        status = dict(re.findall(r"(\w+):\s+(\d+) kB", read_process_file(pid, "status")))
    assert count > 3000
    assert largest < MAX_ANSWER_CHARACTERS + 262_144
    assert limit is not None
    # What the program itself has in memory is less than its address space; a file adds at most what is left of it.
    assert int(status["VmPeak"]) * 1024 <= int(limit.group(1))
    assert int(status["VmHWM"]) * 1024 < MAX_RESIDENT_BYTES


async def test_a_small_file_leaves_room(tmp_path: Path) -> None:
    """The process's own memory and the most that a file can add stay below 150 MiB."""
    path = tmp_path / "upload"
    path.write_bytes(b"a;b\n1;2\n")
    async with open_spreadsheet(path) as sheet:
        lines = read_process_file(get_child_pid(sheet), "smaps_rollup").splitlines()
    private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))  # kB, shared with nobody
    assert 0 < private * 1024 + MAX_GROWTH_BYTES < MAX_RESIDENT_BYTES
