"""The `notifier` command: registers all subcommands, and turns errors into one line on stderr and exit code 1.

Exit code 2: wrong use, an unusable setting or database, a busy port. Tracebacks are shown only at log level DEBUG.
"""

import sys
from typing import Annotated

import typer

from notifier.cli import (
    db,
    demo,
    doctor,
    forward,
    keys,
    notifications,
    run,
    send,
    services,
    suppressions,
    templates,
)
from notifier.cli.command import CommandError

app = typer.Typer(
    name="notifier",
    help="E-mail notifications that are never silently lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
demo.register_demo_command(app)
run.register_process_commands(app)
db.register_db_commands(app)
services.register_service_commands(app)
keys.register_key_commands(app)
templates.register_template_commands(app)
send.register_send_command(app)
forward.register_forward_command(app)
notifications.register_notification_commands(app)
suppressions.register_suppression_commands(app)
doctor.register_doctor_command(app)


@app.command("openapi")
def print_openapi() -> None:
    """Print the API's description (OpenAPI 3.1, JSON)."""
    from notifier.api.app import build_bare_app
    from notifier.api.openapi import description

    print(description.format_document(build_bare_app().openapi()), end="")


def _print_version(is_set: bool) -> None:
    if is_set:
        from notifier import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """E-mail notifications that are never silently lost."""


def run_command_line() -> None:
    """Run the command line: the entry point of the `notifier` script."""
    try:
        app()
    except CommandError as failure:
        print(f"notifier: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except Exception as error:  # noqa: BLE001 - an error that no command expects
        _print_unexpected_error(error)
        sys.exit(1)


def _print_unexpected_error(error: Exception) -> None:
    """Print one line without the error's own message, which may hold secrets, addresses and SQL."""
    from pydantic import ValidationError

    from notifier.db.data_directory import describe_os_error
    from notifier.log_settings import LogLevel, LogSettings
    from notifier.telemetry.logging import describe_exception

    try:
        level = LogSettings().log_level
    except ValidationError:
        level = LogLevel.INFO
    if level is LogLevel.DEBUG:
        print("\n".join(describe_exception(error)), file=sys.stderr)
    if isinstance(error, OSError) and error.filename is not None:
        line = f"{error.filename}: {describe_os_error(error)}"
    else:
        kind = type(error).__name__
        line = f"a fault of Notifier's own ({kind}): set NOTIFIER_LOG_LEVEL=DEBUG to see where, and report it"
    print(f"notifier: {line}", file=sys.stderr)
