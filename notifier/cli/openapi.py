"""`notifier openapi`: prints the description of the API, as in `openapi.json`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(openapi)


def openapi() -> None:
    """Print the API's description (OpenAPI 3.1, JSON)."""
    from notifier.api import description
    from notifier.api.app import undressed

    print(description.text(undressed().openapi()), end="")
