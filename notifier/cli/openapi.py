"""`notifier openapi`: the API's description, as `openapi.json` in the repository has it."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(openapi)


def openapi() -> None:
    """Print the API's description (OpenAPI 3.1, JSON)."""
    from notifier.api import description
    from notifier.api.app import undressed

    print(description.text(undressed().openapi()), end="")
