"""What the process that asks for rows and the child that reads them tell each other, as msgpack."""

import msgspec

from notifier.spreadsheet.sheet_row import SheetRow, SpreadsheetInfo


class OpenFileRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Open the file; the first request, answered by `ReaderReady` and then `FileOpened` or `FileRefused`."""

    path: str
    max_rows: int


class ReadRowsRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read the next rows; answered by `RowsRead` or `FileRefused`."""

    count: int


class SkipRowsRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Leave out all rows up to and with this number; answered by `RowsRead` without rows, or `FileRefused`."""

    number: int


class ReaderReady(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The child has its limits: if it ends from now on without an answer, the file is the cause."""


class FileOpened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The file can be read; the first row below the headings is there."""

    info: SpreadsheetInfo


class FileRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The file cannot be read, or not further."""

    reason: str
    row: int | None


class RowsRead(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The next rows; none at the end."""

    rows: list[SheetRow]


ReaderRequest = OpenFileRequest | ReadRowsRequest | SkipRowsRequest
ReaderAnswer = ReaderReady | FileOpened | FileRefused | RowsRead
REQUEST_DECODER: msgspec.msgpack.Decoder[ReaderRequest] = msgspec.msgpack.Decoder(ReaderRequest)
ANSWER_DECODER: msgspec.msgpack.Decoder[ReaderAnswer] = msgspec.msgpack.Decoder(ReaderAnswer)
