"""A spreadsheet that a test uploads: written to a file whose name says nothing, and read by the child process."""

from pathlib import Path

from notifier.spreadsheet.spreadsheet_reader import (
    OpenSpreadsheet,
    SheetRow,
    SpreadsheetError,
    SpreadsheetInfo,
    open_spreadsheet,
)


async def read_spreadsheet(directory: Path, content: bytes) -> tuple[SpreadsheetInfo, list[SheetRow]]:
    """Write the content into a file in the directory, and read all its rows."""
    path = directory / "upload"
    path.write_bytes(content)
    rows: list[SheetRow] = []
    async with open_spreadsheet(path) as sheet:
        while chunk := await sheet.read_rows(500):
            rows += chunk
    return sheet.info, rows


async def read_refusal(directory: Path, content: bytes) -> SpreadsheetError:
    """Read a spreadsheet that is refused, and return the error."""
    try:
        info, rows = await read_spreadsheet(directory, content)
    except SpreadsheetError as error:
        return error
    raise AssertionError(info, rows[:3])


def assert_is_one_sentence(text: str) -> None:
    """Assert that a sentence for people is short, on one line, printable, and says what to do."""
    assert text.isprintable()
    assert len(text) < 320
    assert ":" in text or text.endswith((".xlsx.", "again."))


def get_child_pid(sheet: OpenSpreadsheet) -> int:
    """Get the process id of the child that reads the file."""
    process = sheet._child._process
    assert process is not None
    assert process.pid is not None
    return process.pid


def read_process_file(pid: int, name: str) -> str:
    """Read what the system tells about a process, such as `status` and `limits`."""
    return Path(f"/proc/{pid}/{name}").read_text("ascii")
