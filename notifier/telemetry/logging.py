"""Structured logs: an event name plus fields from an allow-list, JSON for machines, pretty for a terminal.

Addresses, bodies, variables and secrets are not on the list, so they cannot be logged by accident.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

FIELDS = frozenset(
    {
        "boot_id", "circuit", "count", "delivery_id", "detail", "duration_ms", "endpoint_id", "entry_id", "error",
        "event", "exc_info", "exception", "lease_no", "level", "notification_id", "outcome", "reason", "relay",
        "request_id", "service_id", "timestamp", "version",
    }
)  # fmt: skip


def _places_only(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """Types and places of an exception: neither locals nor messages, which hold keys, addresses and SQL parameters."""
    stacks = ExceptionDictTransformer(show_locals=False)(exc_info)
    return [stack | {"exc_value": ""} for stack in stacks]


_TRACEBACKS = structlog.processors.ExceptionRenderer(_places_only)


def allow_listed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop every field that is not on the list, and say so, so that the omission is noticed in development."""
    if event.keys() <= FIELDS:
        return event
    dropped = sorted(event.keys() - FIELDS)
    for name in dropped:
        del event[name]
    event["detail"] = f"fields not on the allow-list were dropped: {', '.join(dropped)}"
    return event


def configure(*, json: bool, level: str, stream: TextIO = sys.stderr) -> None:
    """Set up logging for this process; called once, by the command line."""
    processors: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _TRACEBACKS if json else _no_change,
        allow_listed,
        structlog.processors.JSONRenderer(serializer=_to_json)
        if json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s %(message)s", force=True)


def _to_json(event: EventDict, default: Callable[[Any], Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=default).decode()


def _no_change(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return event


def get_logger() -> FilteringBoundLogger:
    """The logger; what it prints is decided when the program starts."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger
