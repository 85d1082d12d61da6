"""The Celery application whose workers host senders: `celery --app notifier.celery worker`.

Its broker carries hints, never mails. See docs/celery.md.
"""

from importlib import import_module
from typing import Any

from notifier.cli.entry_point import require_server_libraries


def __getattr__(name: str) -> Any:
    """Build the application when Celery asks for it, so that an import alone does nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_server_libraries()
    return import_module("notifier.celery.application").build_application()
