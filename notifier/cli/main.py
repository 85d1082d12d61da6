"""`notifier`: the commands, and how their errors end: one line on stderr, exit 1.

Wrong use, a setting or database that cannot be used, or a busy port: exit 2. A traceback is shown to nobody unasked.
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


def _print_version(wanted: bool) -> None:
    if wanted:
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
    """Entry point of the `notifier` script."""
    try:
        app()
    except CommandError as failure:
        print(f"notifier: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except Exception as error:
        from notifier.cli import unexpected_error

        unexpected_error.print_unexpected_error(error)
        sys.exit(1)
