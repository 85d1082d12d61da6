"""Reads one document, or checks one schema, in a child process (`reading_program`) with little memory and time.

A schema that makes the validator overflow its stack, and a document that needs too much memory, harm only that process.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from notifier.feeds.document_reader import ReadDocument, ReadingTask, RejectedDocument, SchemaTask
from notifier.feeds.feed_rules import MAX_DOCUMENT_BYTES
from notifier.feeds.reading_program import READING_SECONDS, serve_reading
from notifier.rendering.one_task_child import TaskCrashedError, TaskTimeoutError, open_child, receive_answers

SCHEMA_SECONDS: Final = 2.0
MAX_STORED_BYTES: Final = 2 * MAX_DOCUMENT_BYTES
"""Bytes of a document as JSON: CSV grows, because each row has the headings."""
_MAX_MESSAGE_BYTES: Final = 2 * MAX_STORED_BYTES
TOO_SLOW = RejectedDocument(reason=f"reading the document took longer than {READING_SECONDS:g} s")
CRASHED = RejectedDocument(reason="the document, or its schema, made its reader fail")
TOO_LARGE = RejectedDocument(reason=f"as JSON the document has more than {MAX_STORED_BYTES // 1024**2} MiB")
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
