"""Reads one document, or checks one schema, in a child process with little memory and time.

A schema that makes the validator overflow its stack, and a document that needs too much memory, harm only that process.
"""

import contextlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from notifier.feeds.document_reader import (
    ReadDocument,
    ReadingTask,
    RejectedDocument,
    SchemaTask,
    check_schema,
    read_document,
)
from notifier.feeds.feed_rules import MAX_DOCUMENT_BYTES
from notifier.rendering.one_task_child import (
    TaskCrashedError,
    TaskTimeoutError,
    confine_child,
    open_child,
    receive_answers,
)

READING_SECONDS: Final = 20.0
SCHEMA_SECONDS: Final = 2.0
MEMORY_BYTES: Final = 1024 * 1024 * 1024  # of address space; what a document needs is a small part
MAX_STORED_BYTES: Final = 2 * MAX_DOCUMENT_BYTES
"""Bytes of a document as JSON: CSV grows, because each row has the headings."""
_MAX_MESSAGE_BYTES: Final = 2 * MAX_STORED_BYTES
TOO_SLOW = RejectedDocument(reason=f"reading the document took longer than {READING_SECONDS:g} s")
CRASHED = RejectedDocument(reason="the document, or its schema, made its reader fail")
TOO_LARGE = RejectedDocument(reason=f"as JSON the document has more than {MAX_STORED_BYTES // 1024**2} MiB")
_TASK: msgspec.msgpack.Decoder[ReadingTask | SchemaTask] = msgspec.msgpack.Decoder(ReadingTask | SchemaTask)
_ANSWER: msgspec.msgpack.Decoder[ReadDocument | RejectedDocument | None] = msgspec.msgpack.Decoder(
    ReadDocument | RejectedDocument | None
)
_encode = msgspec.msgpack.Encoder().encode


def read_in_child(
    task: ReadingTask, *, is_wanted: Callable[[], bool] = lambda: True
) -> ReadDocument | RejectedDocument | None:
    """Read a document in a child process, and wait for it; None if it is not wanted any more."""
    answer = _run_task(task, READING_SECONDS, is_wanted)
    if isinstance(answer, ReadDocument) and answer.size > MAX_STORED_BYTES:
        return TOO_LARGE
    return answer


def check_schema_in_child(task: SchemaTask) -> RejectedDocument | None:
    """Check a schema in a child process; None if it can be used."""
    answer = _run_task(task, SCHEMA_SECONDS, lambda: True)
    if answer is TOO_SLOW or answer is CRASHED:
        return RejectedDocument(reason="a schema that takes too long, or never ends: does it refer to itself?")
    return answer if isinstance(answer, RejectedDocument) else None


def _run_task(
    task: ReadingTask | SchemaTask, wall_seconds: float, is_wanted: Callable[[], bool]
) -> ReadDocument | RejectedDocument | None:
    try:
        with open_child(serve_reading, (_encode(task),), "notifier-feed") as connection:
            answers = receive_answers(
                connection, wall_seconds=wall_seconds, max_bytes=_MAX_MESSAGE_BYTES, is_wanted=is_wanted
            )
            for answer in answers:
                return _ANSWER.decode(answer)
    except TaskTimeoutError:
        return TOO_SLOW
    except (TaskCrashedError, msgspec.MsgspecError):
        return CRASHED
    return None


def serve_reading(connection: Connection) -> None:
    """Run in the child: read the task, answer, and end."""
    confine_child(READING_SECONDS, MEMORY_BYTES)
    with connection, contextlib.suppress(OSError, EOFError):
        task = _TASK.decode(connection.recv_bytes(_MAX_MESSAGE_BYTES))
        connection.send_bytes(_encode(check_schema(task) if isinstance(task, SchemaTask) else read_document(task)))
