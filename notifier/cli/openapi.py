"""`notifier openapi`: the API's description, as `openapi.json` in the repository has it."""

import typer


def register_openapi_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(openapi)


def openapi() -> None:
    """Print the API's description (OpenAPI 3.1, JSON)."""
    from notifier.api.app import build_undecorated_app
    from notifier.api.openapi import description

    print(description.format_document(build_undecorated_app().openapi()), end="")
