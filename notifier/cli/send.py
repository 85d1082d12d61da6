"""`notifier send`: sends one mail through the API and waits for its outcome.

An option comes before `NOTIFIER_URL` and `NOTIFIER_API_KEY`.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.api_access import REACH_ADVICE, KeyOption, UrlOption, find_access, open_remote_api
from notifier.cli.command import USAGE_ERROR, CommandError, strip_control_characters
from notifier.cli.send_file import FileOptions, send_file

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Notification

POLL_SECONDS = 0.1
SUCCESS_STATUSES = frozenset({"sent", "delivered"})
END_STATUSES = SUCCESS_STATUSES | {"bounced", "complained", "failed", "expired", "suppressed", "cancelled", "unknown"}


async def send_mail(
    template: Annotated[str, typer.Option(help="Slug of a published template.")],
    to: Annotated[str, typer.Option(help="The recipient's address; or give --csv.")] = "",
    var: Annotated[list[str], typer.Option(help="name=value; a value that is JSON is taken as such.")] = [],  # noqa: B006
    locale: Annotated[str | None, typer.Option(help="Language tag.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="One mail for each row of this CSV, XLSX or ODS.")] = None,
    to_column: Annotated[str, typer.Option(help="Of --csv: heading of the addresses; default: found by itself.")] = "",
    locale_column: Annotated[str, typer.Option(help="Of --csv: heading of the language tags.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Of --csv: only check the rows.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Of --csv: do not ask before the mails are sent.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Of --csv: send it though it was sent before.")] = False,
    url: UrlOption = "",
    key: KeyOption = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the outcome.")] = 10.0,
) -> None:
    """Send one mail, or one for each row of a file, through the API, and say what became of it.

    Exit 0 when the relay has accepted the mail; with --csv, when no mail has failed.
    """
    if (csv is None) == (not to):
        raise CommandError("give either --to ADDRESS or --csv FILE", USAGE_ERROR)
    if csv is None and (to_column or locale_column or dry_run or yes or again):
        raise CommandError("--to-column, --locale-column, --dry-run, --yes and --again need --csv", USAGE_ERROR)
    if csv is not None and (var or locale):
        raise CommandError("with --csv, variables and languages are columns of the file", USAGE_ERROR)
    access = find_access(url, key, "NOTIFIER_API_KEY")
    async with open_remote_api(access, advice=REACH_ADVICE) as notifier:
        if csv is None:
            await _send_one(notifier, to, template, dict(_parse_variable(text) for text in var), locale, wait)
            return
        options = FileOptions(
            template=template,
            to_column=to_column,
            locale_column=locale_column,
            dry_run=dry_run,
            yes=yes,
            again=again,
            seconds=wait,
        )
        await send_file(notifier, csv, options)


async def _send_one(
    notifier: "AsyncNotifier", to: str, template: str, variables: dict[str, Any], locale: str | None, wait: float
) -> None:
    sent = await notifier.send(to=to, template=template, variables=variables, locale=locale)
    print(f"accepted as {sent.id}")
    outcome = await _wait_for_outcome(notifier, sent.id, wait)
    _print_outcome(outcome)
    if outcome.status not in END_STATUSES:
        await _explain_wait(notifier, sent.id)
    if outcome.status not in SUCCESS_STATUSES:
        raise typer.Exit(1)


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


async def _explain_wait(notifier: "AsyncNotifier", id_: str) -> None:
    """Say why the mail still waits, and what to do."""
    answer = (await notifier.explain(id_)).answer
    if answer is not None:
        print(strip_control_characters(f"{answer.sentence or ''} {answer.next_step or ''}").strip())
    print(f"look again with: notifier show {id_}")
