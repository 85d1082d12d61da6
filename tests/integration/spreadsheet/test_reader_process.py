"""The child process: reading in chunks, continuing at a row, and how its loss is told from a fault of the file."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from support.polling import wait_until
from support.spreadsheet_file import get_child_pid
from support.workbook_builder import Sheet, build_xlsx, write_xlsx_row

from notifier.spreadsheet.spreadsheet_reader import ReaderLostError, SpreadsheetError, open_spreadsheet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A CSV of 1,000 rows, with a blank one after every hundred."""
    path = tmp_path / "rows.csv"
    rows = [f"{number};x\n" + ("\n" if number % 100 == 0 else "") for number in range(1, 1001)]
    path.write_text("number;text\n" + "".join(rows), "utf-8")
    return path


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_rows_come_in_chunks(path: Path) -> None:
    """Each row comes once, in its order, and an empty list tells the end, again and again."""
    numbers: list[str] = []
    async with open_spreadsheet(path) as sheet:
        while rows := await sheet.read_rows(64):
            assert len(rows) <= 64
            numbers += [row.cells[0] for row in rows]
        assert await sheet.read_rows(64) == []
    assert numbers == [str(number) for number in range(1, 1001)]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 999, 1000])
async def test_a_later_reader_continues_behind_a_row(path: Path, count: int) -> None:
    """Skipping to the number of the last row that was read leaves exactly the rest."""
    async with open_spreadsheet(path) as sheet:
        before = await sheet.read_rows(count)
    async with open_spreadsheet(path) as sheet:
        await sheet.skip_to(before[-1].number)
        after = await sheet.read_rows(1000)
    assert [row.cells[0] for row in before + after] == [str(number) for number in range(1, 1001)]


async def test_skipping_goes_forward_only(path: Path) -> None:
    """A row that was read cannot be read again; skipping to where one is, or before the data, changes nothing."""
    async with open_spreadsheet(path) as sheet:
        await sheet.skip_to(0)
        await sheet.skip_to(1)
        rows = await sheet.read_rows(10)
        await sheet.skip_to(rows[-1].number)
        with pytest.raises(ValueError, match="row 11 was read already"):
            await sheet.skip_to(5)
        assert (await sheet.read_rows(1))[0].cells[0] == "11"
        await sheet.skip_to(10_000_000)
        assert await sheet.read_rows(1) == []


async def test_too_many_rows_are_refused(path: Path) -> None:
    """More rows than the caller allows are refused at the first of them; blank rows do not count."""
    async with open_spreadsheet(path, max_rows=1000) as sheet:
        assert len(await sheet.read_rows(2000)) == 1000
    async with open_spreadsheet(path, max_rows=999) as sheet:
        with pytest.raises(SpreadsheetError, match="more than 999 rows of data") as raised:
            await sheet.read_rows(2000)
    assert raised.value.row == 1010


async def test_long_rows_make_small_chunks(tmp_path: Path) -> None:
    """Fewer rows come than were asked for when they are long, and none is lost."""
    path = tmp_path / "long.csv"
    path.write_text("a;b\n" + f"{'x' * 30_000};1\n" * 200, "utf-8")
    sizes = []
    async with open_spreadsheet(path) as sheet:
        while rows := await sheet.read_rows(500):
            sizes.append(len(rows))
    assert sum(sizes) == 200
    assert max(sizes) < 50


async def test_a_fault_further_down_comes_when_it_is_reached(tmp_path: Path) -> None:
    """The rows before a fault are read, the fault names its row, and it comes again when asked again."""
    path = tmp_path / "fault.csv"
    path.write_text("a;b\n" + "1;2\n" * 600 + "1;2;3\n" + "1;2\n" * 600, "utf-8")
    async with open_spreadsheet(path) as sheet:
        assert len(await sheet.read_rows(500)) == 500
        for _ in range(2):
            with pytest.raises(SpreadsheetError) as raised:
                await sheet.read_rows(500)
            assert raised.value.row == 602


async def test_a_lost_child_is_no_fault_of_the_file(path: Path) -> None:
    """A child that somebody kills is told from one that the file brings down."""
    async with open_spreadsheet(path) as sheet:
        os.kill(get_child_pid(sheet), signal.SIGKILL)
        with pytest.raises(ReaderLostError):
            await sheet.read_rows(10)
    async with open_spreadsheet(path) as sheet:
        os.kill(get_child_pid(sheet), signal.SIGABRT)
        with pytest.raises(SpreadsheetError, match="more memory than is allowed"):
            await sheet.read_rows(10)
    async with open_spreadsheet(path) as sheet:
        os.kill(get_child_pid(sheet), signal.SIGXCPU)
        with pytest.raises(SpreadsheetError, match="more processor time than is allowed"):
            await sheet.read_rows(10)
    async with open_spreadsheet(path) as sheet:
        os.kill(get_child_pid(sheet), signal.SIGSEGV)
        with pytest.raises(SpreadsheetError, match="made its reader fail"):
            await sheet.read_rows(10)


async def test_no_child_is_left(path: Path) -> None:
    """The child is gone after the file is closed, whether the reader ended well, was refused or was cancelled."""
    async with open_spreadsheet(path) as sheet:
        pids = [get_child_pid(sheet)]
    opened = asyncio.Event()

    async def read_stopped_child() -> None:
        async with open_spreadsheet(path) as sheet:
            pids.append(get_child_pid(sheet))
            os.kill(pids[-1], signal.SIGSTOP)
            opened.set()
            await sheet.read_rows(10)

    task = asyncio.create_task(read_stopped_child())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_until(lambda: all(map(_is_gone, pids)))


async def test_an_open_file_may_be_deleted(path: Path, tmp_path: Path) -> None:
    """The rows are read on after the file has lost its name, of a CSV and of a workbook."""
    workbook = tmp_path / "rows.xlsx"
    workbook.write_bytes(build_xlsx(Sheet(rows=[write_xlsx_row(number, f"x{number}") for number in range(1, 1002)])))
    for file in (path, workbook):
        async with open_spreadsheet(file) as sheet:
            await asyncio.to_thread(file.unlink)
            assert len(await sheet.read_rows(2000)) == 1000


async def test_a_file_that_is_missing_is_no_fault_of_its_maker(tmp_path: Path) -> None:
    """A file that is not there can be brought again."""
    with pytest.raises(ReaderLostError):
        async with open_spreadsheet(tmp_path / "missing"):
            pass
