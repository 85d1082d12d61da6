"""The `notifier` command: registers all subcommands, and turns errors into one line on stderr and exit code 1.

Exit code 2: wrong use, an unusable setting or database, a busy port. Tracebacks are shown only at log level DEBUG.
"""

import sys
from typing import Annotated

import typer

from notifier.cli import (
    administer,
    change,
    demo,
    doctor,
    forward,
    keys,
    openapi,
    process,
    send,
    services,
    suppressions,
    template,
)
from notifier.cli.output import Failed

app = typer.Typer(
    name="notifier",
    help="E-mail notifications that are never silently lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
demo.register(app)
process.register(app)
administer.register(app)
services.register(app)
keys.register(app)
template.register(app)
send.register(app)
forward.register(app)
change.register(app)
suppressions.register(app)
doctor.register(app)
openapi.register(app)


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


def run() -> None:
    """Run the command line: the entry point of the `notifier` script."""
    try:
        app()
    except Failed as failure:
        print(f"notifier: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except Exception as error:  # noqa: BLE001 - an error that no command expects
        from notifier.cli import unexpected

        unexpected.show(error)
        sys.exit(1)
