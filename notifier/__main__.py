"""The command `notifier`, also as `python -m notifier`. Its commands need the extra `server`."""

import sys
from importlib.util import find_spec

SERVER_LIBRARIES = ("aiosmtplib", "fastapi", "sqlmodel", "typer")
"""Part of the extra `server`: where one of them is missing, it was not installed."""


def run_command_line() -> None:
    """Run the command line, or say what to install where the service is missing (exit code 2)."""
    if not all(map(find_spec, SERVER_LIBRARIES)):
        print("notifier: only the client is installed: run pip install 'notifier[server]'", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    from notifier.cli import main  # noqa: PLC0415 - it needs the libraries above

    main.run_command_line()


if __name__ == "__main__":
    run_command_line()
