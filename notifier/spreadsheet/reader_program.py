"""The child process that reads one spreadsheet, with little memory and time, and answers requests for its rows.

It ends when its parent's end of the connection does.
"""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from notifier.rendering.child_program import silence_stderr
from notifier.spreadsheet.reader_protocol import (
    REQUEST_DECODER,
    FileOpened,
    FileRefused,
    OpenFileRequest,
    ReaderAnswer,
    ReaderReady,
    ReaderRequest,
    ReadRowsRequest,
    RowsRead,
)
from notifier.spreadsheet.sheet_opening import open_sheet
from notifier.spreadsheet.sheet_row import SheetRow, SpreadsheetError, SpreadsheetInfo

MAX_GROWTH_BYTES = 104 * 1024 * 1024
"""Bytes of address space that a file may take beside the program itself, which holds 43 MiB of memory."""
MAX_CHUNK_CPU_SECONDS = 40
"""Processor seconds for one answer."""
MAX_ANSWER_CHARACTERS = 1024 * 1024
"""Characters in one answer after which the other rows are left for the next."""
MAX_REQUEST_BYTES = 64 * 1024
TOO_MUCH_MEMORY = "Reading the file takes more memory than is allowed: save it as CSV (UTF-8), or split it."
_NICENESS = 5
_PAGE_BYTES = resource.getpagesize()
_encode = msgspec.msgpack.Encoder().encode


def serve_reader(connection: Connection) -> None:
    """Run in the child: open the file, and answer requests until the parent closes the connection."""
    silence_stderr()
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    limit_resources()
    with connection, contextlib.suppress(OSError, EOFError):
        connection.send_bytes(_encode(ReaderReady()))
        for answer in _answer_requests(connection):
            connection.send_bytes(_encode(answer))
            if isinstance(answer, FileRefused):
                break


def limit_resources() -> None:
    """Limit the address space to what the process has and a little more; write no core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * _PAGE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (used + MAX_GROWTH_BYTES, used + MAX_GROWTH_BYTES))


def _limit_processor_time() -> None:
    """Let the next answer take so many seconds; beyond, SIGXCPU ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + MAX_CHUNK_CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _answer_requests(connection: Connection) -> Iterator[ReaderAnswer]:
    reader = SheetReader()
    while True:
        request = REQUEST_DECODER.decode(connection.recv_bytes(MAX_REQUEST_BYTES))
        _limit_processor_time()
        try:
            yield reader.answer_request(request)
        except SpreadsheetError as error:
            yield FileRefused(reason=str(error), row=error.row)
        except MemoryError:
            yield FileRefused(reason=TOO_MUCH_MEMORY, row=None)


class SheetReader:
    """Reads one file."""

    def __init__(self) -> None:
        self._rows: Iterator[SheetRow] = iter(())
        self._next: SheetRow | None = None  # read ahead by skipping, or because an answer was full

    def answer_request(self, request: ReaderRequest) -> ReaderAnswer:
        """Answer a request. Raises `SpreadsheetError`."""
        if isinstance(request, OpenFileRequest):
            return FileOpened(info=self._open(request))
        if isinstance(request, ReadRowsRequest):
            return RowsRead(rows=self._read_rows(request.count))
        for row in self._iterate():
            if row.number > request.number:
                self._next = row
                break
        return RowsRead(rows=[])

    def _open(self, request: OpenFileRequest) -> SpreadsheetInfo:
        info, self._rows = open_sheet(Path(request.path), request.max_rows)
        return info

    def _iterate(self) -> Iterator[SheetRow]:
        if self._next is not None:
            row, self._next = self._next, None
            yield row
        yield from self._rows

    def _read_rows(self, count: int) -> list[SheetRow]:
        rows: list[SheetRow] = []
        size = 0
        for row in self._iterate():
            rows.append(row)
            size += sum(map(len, row.cells))
            if len(rows) >= count or size > MAX_ANSWER_CHARACTERS:
                break
        return rows
