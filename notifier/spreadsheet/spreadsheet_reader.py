"""Read a spreadsheet that somebody uploaded: CSV, XLSX or ODS, in a child process with limits.

A file that exploits or overloads a parser harms only that process. Rows come in chunks, so that this process stays
small.
"""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from notifier.errors import NotifierError
from notifier.rendering.child_process import get_forkserver
from notifier.spreadsheet.reader_program import TOO_MUCH_MEMORY, serve_reader
from notifier.spreadsheet.reader_protocol import (
    ANSWER_DECODER,
    FileOpened,
    FileRefused,
    OpenFileRequest,
    ReaderAnswer,
    ReaderReady,
    ReaderRequest,
    ReadRowsRequest,
    RowsRead,
    SkipRowsRequest,
)
from notifier.spreadsheet.sheet_row import SheetRow, SpreadsheetError, SpreadsheetInfo

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

__all__ = ["OpenSpreadsheet", "ReaderLostError", "SheetRow", "SpreadsheetError", "SpreadsheetInfo", "open_spreadsheet"]

DEFAULT_MAX_ROWS = 1_000_000
WALL_SECONDS = 120.0
"""Seconds for one answer. Far more than the processor time that a file may take: only a stopped host needs them."""
MAX_ROWS_AT_ONCE = 10_000
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
TOO_SLOW = "Reading the file takes more processor time than is allowed: save it as CSV (UTF-8), or split it."
CRASHED = "The file made its reader fail: open it in a spreadsheet program and save it again."
_encode = msgspec.msgpack.Encoder().encode


class ReaderLostError(NotifierError):
    """The process that reads the spreadsheet was lost, through no fault of the file: try again."""


class OpenSpreadsheet:
    """A spreadsheet that is being read; made by `open_spreadsheet`."""

    info: SpreadsheetInfo

    def __init__(self, child: "_ReaderChild", info: SpreadsheetInfo) -> None:
        self.info = info
        self._child = child
        self._last_number = 0  # of the last row that was returned or skipped

    async def read_rows(self, count: int) -> list[SheetRow]:
        """Read the next rows, at least one and at most `count`; an empty list at the end, and only there.

        Fewer than `count` come when cells are long. Blank rows are left out, but counted in the numbers.
        Raises `SpreadsheetError` for a row that cannot be read, and `ReaderLostError`.
        """
        request = ReadRowsRequest(count=min(max(count, 1), MAX_ROWS_AT_ONCE))
        rows = await self._ask(request)
        if rows:
            self._last_number = rows[-1].number
        return rows

    async def skip_to(self, number: int) -> None:
        """Continue behind the row with this number. It only goes forward, else `ValueError`.

        Raises `SpreadsheetError` for a row on the way that cannot be read, and `ReaderLostError`.
        """
        if number < self._last_number:
            raise ValueError(f"row {self._last_number} was read already")
        await self._ask(SkipRowsRequest(number=number))
        self._last_number = number

    async def _ask(self, request: ReaderRequest) -> list[SheetRow]:
        answer = await asyncio.to_thread(self._child.ask, request)
        if isinstance(answer, RowsRead):
            return answer.rows
        raise ReaderLostError


@asynccontextmanager
async def open_spreadsheet(path: Path, *, max_rows: int = DEFAULT_MAX_ROWS) -> AsyncIterator[OpenSpreadsheet]:
    """Open a spreadsheet with at most `max_rows` rows of data.

    Once it is open the file may be deleted, but not changed.

    Raises `SpreadsheetError` if it is none, and `ReaderLostError` if the child process is lost without its fault.
    """
    child = _ReaderChild()
    try:
        await asyncio.to_thread(child.start)
        answer = await asyncio.to_thread(child.ask, OpenFileRequest(path=str(path), max_rows=max_rows))
        if not isinstance(answer, FileOpened):
            raise ReaderLostError
        yield OpenSpreadsheet(child, answer.info)
    finally:
        child.kill()
        await asyncio.shield(asyncio.to_thread(child.close))


class _ReaderChild:
    """The child process and its connection, used from threads, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held while a thread uses the connection
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None
        self._failure: NotifierError | None = None  # what every later request raises again
        self._is_killed = False

    def start(self) -> None:
        """Start the process, and wait until it has its limits. Raises `ReaderLostError`."""
        with self._lock:
            if self._is_killed:
                raise ReaderLostError
            context = get_forkserver()
            self._connection, theirs = context.Pipe()
            self._process = context.Process(
                target=serve_reader, args=(theirs,), daemon=True, name="notifier-spreadsheet"
            )
            self._process.start()
            theirs.close()
            try:
                answer = self._receive(self._connection)
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                raise ReaderLostError from error
            if not isinstance(answer, ReaderReady):
                raise ReaderLostError

    def ask(self, request: ReaderRequest) -> ReaderAnswer:
        """Send a request and wait for its answer. Raises `SpreadsheetError` and `ReaderLostError`."""
        with self._lock:
            if self._failure is None and self._connection is not None and not self._is_killed:
                try:
                    self._connection.send_bytes(_encode(request))
                    answer = self._receive(self._connection)
                except (OSError, EOFError, msgspec.MsgspecError):
                    self._failure = self._explain_loss()
                else:
                    if not isinstance(answer, FileRefused):
                        return answer
                    self._failure = SpreadsheetError(answer.reason, row=answer.row)
            raise self._failure or ReaderLostError

    def kill(self) -> None:
        """Kill the process, on which a thread that waits for it goes on."""
        self._is_killed = True
        if self._process is not None and self._process.pid is not None:
            self._process.kill()

    def close(self) -> None:
        """Give back the process and the connection, after `kill`."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.join()
                self._process.close()
            if self._connection is not None:
                self._connection.close()

    @staticmethod
    def _receive(connection: Connection) -> ReaderAnswer:
        deadline = time.monotonic() + WALL_SECONDS
        while not connection.poll(max(0.0, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                raise TimeoutError
        return ANSWER_DECODER.decode(connection.recv_bytes(_MAX_ANSWER_BYTES))

    def _explain_loss(self) -> NotifierError:
        """Tell by how the process ended whether the file was the cause."""
        if self._process is None or self._is_killed:
            return ReaderLostError()
        self._process.join(1)
        match self._process.exitcode:
            case code if code == -signal.SIGABRT:  # calamine's allocator
                return SpreadsheetError(TOO_MUCH_MEMORY)
            case code if code == -signal.SIGXCPU:
                return SpreadsheetError(TOO_SLOW)
            case code if code == -signal.SIGSEGV or (code is not None and code > 0):
                return SpreadsheetError(CRASHED)
            case _:
                return ReaderLostError()
