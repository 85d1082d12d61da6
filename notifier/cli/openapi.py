"""`notifier openapi`: prints the description of the API, as in `openapi.json`."""

import typer


def register_openapi_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command("openapi")(print_openapi)


def print_openapi() -> None:
    """Print the API's description (OpenAPI 3.1, JSON)."""
    from notifier.api.app import build_undecorated_app
    from notifier.api.openapi import description

    print(description.format_document(build_undecorated_app().openapi()), end="")
