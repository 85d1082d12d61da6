"""The entry point of the command `notifier`, which works without the extra `server` to say that it is missing."""

import gc
import sys
from importlib.util import find_spec
from typing import NoReturn

SERVER_LIBRARIES = ("aiosmtplib", "fastapi", "sqlmodel", "typer")
"""Part of the extra `server`: where one of them is missing, it was not installed."""
GC_THRESHOLD_AT_START = 50_000
"""New objects before a garbage collection: with Python's default of 700 the imports take a fifth longer."""


def require_server_libraries() -> None:
    """Say what to install where the service is missing, and end with exit code 2."""
    if not all(map(find_spec, SERVER_LIBRARIES)):
        refuse("only the client is installed: run pip install 'notifier-outbox[server]'")


def refuse(reason: str) -> NoReturn:
    """End the process with one line on stderr and exit code 2."""
    print(f"notifier: {reason}", file=sys.stderr)
    sys.exit(2)


def start_command_line() -> None:
    """Run the command line."""
    require_server_libraries()
    gc.set_threshold(GC_THRESHOLD_AT_START)
    from notifier.cli.main import run_command_line

    run_command_line()
