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
    openapi,
    run,
    send,
    services,
    suppressions,
    templates,
)
from notifier.cli.output import CommandError

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
openapi.register_openapi_command(app)


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
        from notifier.cli import unexpected_error

        unexpected_error.print_unexpected_error(error)
        sys.exit(1)
