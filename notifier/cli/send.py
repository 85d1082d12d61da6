"""`notifier send`: sends one mail through the API and waits for its outcome; and the API that such commands call.

An option comes before `NOTIFIER_URL` and `NOTIFIER_API_KEY`. The demo's key is sent to this host only.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from notifier.cli.command import USAGE_ERROR, CommandError

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Notification

DEFAULT_URL = "http://127.0.0.1:8000"
DEMO_KEY = "demo-key"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
UrlOption = Annotated[
    str, typer.Option(help=f"The API; default: NOTIFIER_URL, or {DEFAULT_URL}.", show_default=False, metavar="URL")
]
KeyOption = Annotated[
    str, typer.Option(help="API key; default: NOTIFIER_API_KEY, or that of a demo on this host.", show_default=False)
]
POLL_SECONDS = 0.1
SUCCESS_STATUSES = frozenset({"sent", "delivered"})
END_STATUSES = SUCCESS_STATUSES | {"bounced", "complained", "failed", "expired", "suppressed", "cancelled", "unknown"}


async def send_mail(
    to: Annotated[str, typer.Option(help="The recipient's address.")],
    template: Annotated[str, typer.Option(help="Slug of a published template.")],
    var: Annotated[list[str], typer.Option(help="name=value; a value that is JSON is taken as such.")] = [],  # noqa: B006
    locale: Annotated[str | None, typer.Option(help="Language tag.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the outcome.")] = 10.0,
) -> None:
    """Send one mail and say what became of it. Exit 0 when the relay has accepted it."""
    from notifier import client

    variables = dict(_parse_variable(text) for text in var)
    url, key = resolve_access(url, key)
    try:
        async with client.AsyncNotifier(url=url, key=key, timeout=10, retries=client.RetryPolicy(tries=1)) as notifier:
            sent = await notifier.send(to=to, template=template, variables=variables, locale=locale)
            print(f"accepted as {sent.id}")
            outcome = await _wait_for_outcome(notifier, sent.id, wait)
    except client.ConfigurationError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
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
        raise CommandError(f"--var {text}: write name=value", USAGE_ERROR)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


async def _wait_for_outcome(notifier: "AsyncNotifier", id_: str, seconds: float) -> "Notification":
    """Return the notification once it has ended, or its state after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        notification = await notifier.get(id_)
        if notification.status in END_STATUSES or time.monotonic() > until:
            return notification
        await asyncio.sleep(POLL_SECONDS)


def _print_outcome(outcome: "Notification") -> None:
    for attempt in outcome.attempts:
        took = f" ({attempt.duration_ms} ms)" if attempt.duration_ms is not None else ""
        print(f"attempt {attempt.number}: {attempt.code or ''} {attempt.reply}{took}")
    print(outcome.status + (f": {outcome.detail}" if outcome.status not in SUCCESS_STATUSES and outcome.detail else ""))
    if outcome.status not in SUCCESS_STATUSES:
        raise typer.Exit(1)


def resolve_access(url: str, key: str) -> tuple[str, str]:
    """Complete URL and key from the environment. Raises `CommandError` if there is no key."""
    url = url.strip() or os.environ.get("NOTIFIER_URL", "").strip() or DEFAULT_URL
    key = key.strip() or os.environ.get("NOTIFIER_API_KEY", "").strip() or _read_demo_key(url)
    if not key:
        raise CommandError("no API key: give --key or set NOTIFIER_API_KEY", USAGE_ERROR)
    return url, key


def _read_demo_key(url: str) -> str:
    """Read the key of a demo if the API is on this host."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ""
    if host not in LOOPBACK_NAMES:
        return ""
    return next((file.read_text().strip() for file in _list_demo_key_files() if file.is_file()), "")


def _list_demo_key_files() -> Iterator[Path]:
    data_dir = os.environ.get("NOTIFIER_DATA_DIR", "").strip()
    if data_dir:
        yield Path(data_dir) / DEMO_KEY
    yield Path("var/demo") / DEMO_KEY
