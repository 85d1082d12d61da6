"""The entry point of the command `notifier`, which works without the extra `server` to say that it is missing."""

import sys
from importlib.util import find_spec

SERVER_LIBRARIES = ("aiosmtplib", "fastapi", "sqlmodel", "typer")
"""Part of the extra `server`: where one of them is missing, it was not installed."""


def start_command_line() -> None:
    """Run the command line, or say what to install where the service is missing (exit code 2)."""
    if not all(map(find_spec, SERVER_LIBRARIES)):
        print("notifier: only the client is installed: run pip install 'notifier-outbox[server]'", file=sys.stderr)
        sys.exit(2)
    from notifier.cli.main import run_command_line

    run_command_line()
