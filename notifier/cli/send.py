"""`notifier send`: send one mail through the API and wait for its outcome."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli import api_access, output
from notifier.cli.output import CommandError

if TYPE_CHECKING:
    from notifier.client import Notification, Notifier

POLL_SECONDS = 0.1
SUCCESS_STATUSES = frozenset({"sent", "delivered"})
END_STATUSES = SUCCESS_STATUSES | {"bounced", "complained", "failed", "expired", "suppressed", "cancelled", "unknown"}


def register_send_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send_mail)


def send_mail(
    to: Annotated[str, typer.Option(help="The recipient's address.")],
    template: Annotated[str, typer.Option(help="Slug of a published template.")],
    var: Annotated[list[str], typer.Option(help="name=value; a value that is JSON is taken as such.")] = [],  # noqa: B006
    locale: Annotated[str | None, typer.Option(help="Language tag.")] = None,
    url: api_access.UrlOption = "",
    key: api_access.KeyOption = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the outcome.")] = 10.0,
) -> None:
    """Send one mail and say what became of it. Exit 0 when the relay has accepted it."""
    from notifier import client

    variables = dict(_parse_variable(text) for text in var)
    url, key = api_access.resolve_access(url, key)
    try:
        with client.Notifier(url=url, key=key, timeout=10, retries=client.RetryPolicy(tries=1)) as notifier:
            sent = notifier.send(to=to, template=template, variables=variables, locale=locale)
            print(f"accepted as {sent.id}")
            outcome = _wait_for_outcome(notifier, sent.id, wait)
    except client.ConfigurationError as error:
        raise CommandError(str(error), output.USAGE_ERROR) from error
    except client.ConnectionFailedError as error:
        raise CommandError(
            f"{url} is out of reach: check --url or NOTIFIER_URL, and that the API runs there"
        ) from error
    except client.NotifierClientError as error:
        raise CommandError(str(error)) from error
    _print_outcome(outcome)


def _parse_variable(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CommandError(f"--var {text}: write name=value", output.USAGE_ERROR)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _wait_for_outcome(notifier: "Notifier", id_: str, seconds: float) -> "Notification":
    """Return the notification once it has ended, or its state after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        notification = notifier.get(id_)
        if notification.status in END_STATUSES or time.monotonic() > until:
            return notification
        time.sleep(POLL_SECONDS)


def _print_outcome(outcome: "Notification") -> None:
    for attempt in outcome.attempts:
        took = f" ({attempt.duration_ms} ms)" if attempt.duration_ms is not None else ""
        print(f"attempt {attempt.number}: {attempt.code or ''} {attempt.reply}{took}")
    print(outcome.status + (f": {outcome.detail}" if outcome.status not in SUCCESS_STATUSES and outcome.detail else ""))
    if outcome.status not in SUCCESS_STATUSES:
        raise typer.Exit(1)
