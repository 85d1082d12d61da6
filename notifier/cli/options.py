"""Options and arguments that several commands take."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Rate = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="Notifications; 0: any number; default: the setting.")
]
