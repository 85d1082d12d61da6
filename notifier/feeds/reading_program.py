"""The child process that reads one document, or checks one schema, with little memory and time.

It imports only what that needs.
"""

import contextlib
import signal
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from notifier.feeds.document_reader import ReadingTask, SchemaTask, check_schema, read_document
from notifier.rendering.child_program import confine_child

READING_SECONDS: Final = 20.0
MEMORY_BYTES: Final = 1024 * 1024 * 1024  # of address space; what a document needs is a small part
_TASK: msgspec.msgpack.Decoder[ReadingTask | SchemaTask] = msgspec.msgpack.Decoder(ReadingTask | SchemaTask)
_encode = msgspec.msgpack.Encoder().encode


def serve_reading(connection: Connection, nice: int) -> None:
    """Run in the child: read the task, answer, and end."""
    confine_child(nice, MEMORY_BYTES)
    signal.alarm(int(READING_SECONDS) + 5)  # in case the parent process is dead
    with connection, contextlib.suppress(OSError, EOFError):
        task = _TASK.decode(connection.recv_bytes())
        connection.send_bytes(_encode(check_schema(task) if isinstance(task, SchemaTask) else read_document(task)))
