"""`show`, `unknown`, `cancel`, `retry` and `resolve`: an operator examines notifications and decides about them."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli.api_access import pass_api, take_first
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.cli.mail_search import find_id, find_newest, print_mail
from notifier.states import Reason, Resolution, Status

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier

MAX_LISTED = 1000
PAGE_SIZE = 200
Id = Annotated[str, typer.Argument(metavar="ID", help="The notification's id, or its first digits.")]
Comment = Annotated[str, typer.Option(help="Why; kept in the timeline.")]


@pass_api(writes=False)
async def show_notification(
    notifier: "AsyncNotifier",
    which: Annotated[
        str, typer.Argument(metavar="ID|ADDRESS", help="An id, its first digits, or an address: its newest mail.")
    ],
    as_json: Json = False,
) -> None:
    """Show a notification: whether it arrived, why, what to do now, and everything that happened to it."""
    id_ = (await find_newest(notifier, which)).id if "@" in which else await find_id(notifier, which)
    await print_mail(notifier, id_, as_json=as_json)


@pass_api(writes=False)
async def list_unknown(notifier: "AsyncNotifier", as_json: Json = False) -> None:
    """List notifications that wait for a person, because no one knows whether the relay took them; oldest first."""
    unknown = notifier.list(status=Status.UNKNOWN.value, copies=True, limit=PAGE_SIZE)
    held = await take_first((mail async for mail in unknown if mail.held), MAX_LISTED)
    rows = [
        {
            "id": mail.id,
            "to": strip_control_characters(mail.to),
            "template": mail.template or "-",
            "service": mail.service or "-",
            "since": format_time(mail.uncertain_at),
            "until": format_time(mail.expires_at),
            "reason": mail.reason or "-",
        }
        for mail in sorted(held, key=lambda mail: (mail.uncertain_at or mail.created_at, mail.id))
    ]
    print_rows(rows, as_json=as_json)


@pass_api(writes=True)
async def cancel_notification(notifier: "AsyncNotifier", id_: Id, comment: Comment = "") -> None:
    """Stop a mail before it is sent. Exit 1 if it may be on its way, or has ended."""
    mail = await notifier.cancel(await find_id(notifier, id_), comment=replace_surrogates(comment))
    print(mail.status)


@pass_api(writes=True)
async def retry_notifications(
    notifier: "AsyncNotifier",
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The notification's id, or its first digits.")
    ] = None,
    reason: Annotated[Reason | None, typer.Option(help="Instead of an ID: all that failed for this reason.")] = None,
    comment: Comment = "",
) -> None:
    """Send a failed or expired mail again, with the same bytes; or all mails that failed for a reason."""
    if (id_ is None) == (reason is None):
        raise CommandError("give the ID of a notification, or --reason for all that failed for it", USAGE_ERROR)
    comment = replace_surrogates(comment)
    if id_ is not None:
        print((await notifier.retry(await find_id(notifier, id_), comment=comment)).status)
    elif reason is not None:
        print(f"retried {await _retry_failed(notifier, reason, comment)}")


async def _retry_failed(notifier: "AsyncNotifier", reason: Reason, comment: str) -> int:
    """Retry what failed for this reason, in the order of acceptance; what changes meanwhile is left out."""
    from notifier.client import ConflictError, NotFoundError

    retried = 0
    for id_ in sorted([id_ for status in ("failed", "expired") for id_ in await _list_ids(notifier, status, reason)]):
        try:
            await _retry_with_pauses(notifier, id_, comment)
        except (ConflictError, NotFoundError):
            continue
        retried += 1
    return retried


async def _list_ids(notifier: "AsyncNotifier", status: str, reason: Reason) -> list[str]:
    mails = notifier.list(status=status, copies=True, limit=PAGE_SIZE)
    return [mail.id async for mail in mails if mail.reason == reason]


async def _retry_with_pauses(notifier: "AsyncNotifier", id_: str, comment: str) -> None:
    """Retry a mail, and wait where the key has reached its rate limit."""
    from notifier.client import RateLimitedError

    while True:
        try:
            await notifier.retry(id_, comment=comment)
        except RateLimitedError as error:
            await asyncio.sleep(error.retry_after or 1.0)
        else:
            return


@pass_api(writes=True)
async def resolve_notification(
    notifier: "AsyncNotifier",
    id_: Id,
    how: Annotated[Resolution, typer.Option("--as", help="It was sent, it failed, or send it again.")],
    comment: Comment = "",
) -> None:
    """Decide about a mail when no one knows whether the relay took it."""
    id_ = await find_id(notifier, id_)
    mail = await notifier.resolve(id_, how.value, comment=replace_surrogates(comment))
    print(mail.status)
