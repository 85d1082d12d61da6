"""Structured logs: an event name and fields from an allow-list, as JSON or as text for a terminal.

Addresses, bodies, variables and secrets are not on the list, so they cannot be logged by accident. Log records of
libraries and of the interpreter are reduced to their source and place; their messages are dropped.
"""

import itertools
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from notifier.telemetry.redaction import redact_text
from notifier.telemetry.request_context import get_current_request

ALLOWED_FIELDS = frozenset(
    {
        "boot_id", "bytes_in", "bytes_out", "circuit", "count", "delivery_id", "detail", "duration_ms", "endpoint_id",
        "entry_id", "error", "event", "exc_info", "exception", "job_id", "job_kind", "key_id", "lease_no", "level",
        "method", "notification_id", "outcome", "place", "reason", "relay", "request_id", "route", "schedule",
        "schedule_id", "service_id", "source", "status", "timestamp", "version",
    }
)  # fmt: skip
FREE_TEXT_FIELDS = ("detail", "error", "reason")
"""Fields that may quote others. Addresses, quoted strings and long tokens are removed from them."""
ALLOWED_LIBRARY_MESSAGES = (
    "Exception in ASGI application",
    "Future exception was never retrieved",
    "Invalid HTTP request received",
    "Task exception was never retrieved",
    "Task was destroyed but it is pending",
    "Unclosed",
    "Unhandled exception in event loop",
)
"""Beginnings of library messages that are logged as `detail`. Other messages may contain values."""
MAX_CHAIN = 8
"""Exceptions of one chain or group that are described, outermost first."""
MAX_FRAMES = 40
"""Innermost frames of one exception that are described."""
_ROOTS = sorted({f"{Path(folder).absolute()}{os.sep}" for folder in sys.path if folder}, key=len, reverse=True)


def drop_unlisted_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop every field that is not on the list, and name it in `detail`, so that a developer notices."""
    for name in FREE_TEXT_FIELDS:
        if name in event:
            event[name] = redact_text(str(event[name])) if event[name] is not None else None
    if event.keys() <= ALLOWED_FIELDS:
        return event
    dropped = sorted(event.keys() - ALLOWED_FIELDS)
    for name in dropped:
        del event[name]
    event["detail"] = f"fields not on the allow-list were dropped: {', '.join(dropped)}"
    return event


def configure_logging(*, json: bool, level: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process; call it once."""
    stream = stream or sys.stderr
    processors: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_request_id,
        _describe_exceptions,
        drop_unlisted_fields,
        structlog.processors.JSONRenderer(serializer=_to_json) if json else _indent_exceptions,
    ]
    if not json:
        processors.append(structlog.dev.ConsoleRenderer(colors=stream.isatty()))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)


def log_uncaught_exceptions() -> None:
    """Log what the interpreter would otherwise print: uncaught exceptions of any thread, and warnings."""
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread
    warnings.showwarning = cast("Any", _log_warning)


class _LibraryHandler(logging.Handler):
    """Logs the source, place and exception of library records, and the message only if it is a known constant."""

    def emit(self, record: logging.LogRecord) -> None:
        message = str(record.msg)
        sentence = next((start for start in ALLOWED_LIBRARY_MESSAGES if message.startswith(start)), None)
        error = record.exc_info[1] if record.exc_info else None
        get_logger().log(
            record.levelno,
            "library_log",
            source=record.name,
            place=format_place(record.pathname, record.lineno, record.funcName or ""),
            detail=sentence,
            error=_class_of(error),
            exc_info=error,
        )


def _log_uncaught(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    if not isinstance(error, KeyboardInterrupt):
        get_logger().error("uncaught_exception", error=_class_of(error), exc_info=error)


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        _log_ended("thread", ended.exc_value)


def _log_unraisable(failed: "sys.UnraisableHookArgs") -> None:
    _log_ended("finalizer", failed.exc_value)


def _log_warning(*arguments: Any) -> None:
    _message, category, filename, line = arguments[:4]
    get_logger().warning("warning", error=category.__name__, place=format_place(filename, line))


def _log_ended(source: str, error: BaseException | None) -> None:
    get_logger().error("uncaught_exception", source=source, error=_class_of(error), exc_info=error)


def _class_of(error: BaseException | None) -> str | None:
    return type(error).__name__ if error is not None else None


def add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the id of the request that is being served."""
    if (request := get_current_request()) is not None:
        event["request_id"] = request.id
    return event


def _describe_exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its classes and places."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event


def _indent_exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put the exception into lines below the event, for a terminal."""
    if "exception" in event:
        event["exception"] = "\n".join(f"  {line}" for line in event["exception"])
    return event


def _to_json(event: EventDict, default: Callable[[Any], Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=default).decode()


def get_logger() -> FilteringBoundLogger:
    """Get the logger. `configure_logging` decides what it prints."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def describe_exception(error: BaseException) -> list[str]:
    """Describe each exception of the chain in one line with its class, followed by one line for each frame.

    Messages, source lines, locals and notes are left out, because they may hold keys, addresses and SQL parameters.
    """
    lines: list[str] = []
    for link in itertools.islice(_iterate_chain(error), MAX_CHAIN):
        frames = list(traceback.walk_tb(link.__traceback__))[-MAX_FRAMES:]
        places = [format_place(frame.f_code.co_filename, number, frame.f_code.co_name) for frame, number in frames]
        lines += [_name_class(type(link)), *(f"  {text}" for text in places)]
    return lines


def format_place(filename: str, line: int, function: str = "") -> str:
    """Format a place in the code: the file relative to its import root, the line and the function."""
    root = next((root for root in _ROOTS if filename.startswith(root)), "")
    return f"{filename.removeprefix(root)}:{line} {function}".rstrip()


def _iterate_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, those in it if it is a group, and their causes."""
    waiting, seen = [error], set[int]()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        origin = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        waiting += [origin] if origin is not None else []


def _name_class(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
