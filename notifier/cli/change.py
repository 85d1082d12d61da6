"""`show`, `unknown`, `cancel`, `retry` and `resolve`: an operator looks at one mail, and decides about it."""

import getpass
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.options import Json
from notifier.cli.output import Failed
from notifier.cli.process_parts import open_for_writing
from notifier.states import Reason, Resolution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.audit import Deed
    from notifier.notification.change import Asked
    from notifier.notification.find import NotificationView
    from notifier.notification.timeline import Item

MOST_LISTED = 1000
Id = Annotated[str, typer.Argument(metavar="ID", help="The notification's id.")]
Comment = Annotated[str, typer.Option(help="Why; kept in the timeline.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(show)
    app.command()(unknown)
    app.command()(cancel)
    app.command()(retry)
    app.command()(resolve)


# -- looking -------------------------------------------------------------------------------------


def show(id_: Id, as_json: Json = False) -> None:
    """What became of a notification, and why: its status and everything that happened to it."""
    output.run(_show(id_, as_json=as_json))


async def _show(id_: str, *, as_json: bool) -> None:
    from notifier import installation
    from notifier.api import reply
    from notifier.notification import find, timeline

    wanted = _uuid(id_)
    async with installation.base(output.settings()) as parts:
        async with parts.database.read() as connection:
            view = await find.one(connection, None, wanted)
            items = await timeline.of(connection, None, wanted)
        now = parts.clock.now()
    if as_json:
        shown = reply.show(view, now) | {"events": [reply.show_item(item) for item in items]}
        print(json.dumps(shown, default=_exactly))
        return
    status = reply.shown_status(view.status, view.send_at, now)
    print(f"{view.id}  {view.template} v{view.template_version}  to {plain(view.recipient)}\n")
    print(f"status    {status}" + (f" ({view.reason})" if view.reason else ""))
    print(f"why       {plain(view.detail or '-')}")
    if view.uncertain_at is not None:
        print(f"unsure    since {text(view.uncertain_at)}: a relay may have taken it without saying so")
    print(f"what now  {_what_now(view)}\n")
    for item in items:
        print(_line(item))


def _what_now(view: "NotificationView") -> str:
    """What happens next, by itself or if somebody does something."""
    from notifier.states import WAITING, EntryState, Status

    until = text(view.expires_at)
    if view.entry_state is EntryState.HELD:
        return f"waits for a person until {until}: notifier resolve {view.id} --as sent|failed|resend"
    if view.entry_state is EntryState.LEASED:
        return "a sender has it in hand"
    if view.due_at is not None and view.status in WAITING:
        return f"is due at {text(view.due_at)}; given up after {until}"
    if view.status in (Status.FAILED, Status.EXPIRED):
        return f"nothing; to send it again: notifier retry {view.id}"
    if view.status is Status.UNKNOWN:
        return f"nothing; to decide: notifier resolve {view.id} --as sent|failed|resend"
    return "nothing: it has ended"


def _line(item: "Item") -> str:
    parts = [text(item.at), item.kind.ljust(9)]
    if item.attempt is not None:
        took = f" in {item.attempt.duration_ms} ms" if item.attempt.duration_ms is not None else ""
        parts.append(f"{item.attempt.number}, {item.attempt.relay or 'the sender died'}{took}, {item.attempt.phase}:")
    parts += [plain(item.detail)] if item.detail else []
    parts += [f"(by {item.actor})"] if item.actor else []
    return "  ".join(parts)


def unknown(as_json: Json = False) -> None:
    """Mails of which nobody knows whether they were taken, and that wait for a person; oldest first."""
    output.run(_unknown(as_json=as_json))


async def _unknown(*, as_json: bool) -> None:
    from notifier import installation
    from notifier.notification import find

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        found = await find.unknown(connection, limit=MOST_LISTED)
    rows = [
        {
            "id": str(view.id),
            "to": plain(view.recipient),
            "template": view.template,
            "since": text(view.uncertain_at),
            "until": text(view.expires_at),
            "reason": view.reason,
        }
        for view in found
    ]
    output.show(rows, as_json=as_json)


# -- deciding ------------------------------------------------------------------------------------


def cancel(id_: Id, comment: Comment = "") -> None:
    """See that a mail is never sent. Exit 1 if it may be on its way, or has ended."""
    from notifier.notification import change

    output.run(_change(id_, comment, change.cancel))


def retry(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="The notification's id.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Instead of an ID: all that failed for this reason.")] = None,
    comment: Comment = "",
) -> None:
    """Send a failed or expired mail again, with the same bytes; or all mails that failed for a reason."""
    from notifier.notification import change

    if (id_ is None) == (reason is None):
        raise Failed("give the ID of a notification, or --reason for all that failed for it", output.WRONG_USE)
    if id_ is not None:
        output.run(_change(id_, comment, change.retry))
    elif reason is not None:
        output.run(_retry_all(reason, comment))


async def _retry_all(reason: Reason, comment: str) -> None:
    """Each in the order in which it was accepted; what somebody else changes meanwhile is passed over."""
    from uuid import UUID

    from notifier.notification import change

    async with open_for_writing() as parts:
        started, last, retried = parts.clock.now(), UUID(int=0), 0
        while True:
            async with parts.database.write() as connection:
                found = await change.find_failed(connection, reason, after=last, until=started)
                for id_ in found:
                    retried += await _retry_one(connection, id_, _asked(comment, started))
            if not found:
                break
            last = found[-1]
    print(f"retried {retried}")


async def _retry_one(connection: "AsyncConnection", id_: "UUID", asked: "Asked") -> bool:
    from notifier import audit
    from notifier.errors import NotFoundError
    from notifier.notification import change

    try:
        async with connection.begin_nested():
            deeds = await change.retry(connection, id_, asked)
    except (change.NotPossibleError, NotFoundError):
        return False
    for deed in deeds:
        await audit.record(connection, deed, audit.Doer(actor=asked.actor, at=asked.at))
    return True


def _asked(comment: str, at: datetime) -> "Asked":
    """What is asked for at this terminal."""
    from notifier.notification import change
    from notifier.states import Cause

    words = comment.encode(errors="replace").decode()
    if len(words) > change.LONGEST_COMMENT:
        raise Failed(f"--comment: at most {change.LONGEST_COMMENT} characters", output.WRONG_USE)
    return change.Asked(actor=operator(), cause=Cause.PERSON, rights=None, at=at, comment=words)


def resolve(
    id_: Id,
    how: Annotated[Resolution, typer.Option("--as", help="It was sent, it failed, or send it again.")],
    comment: Comment = "",
) -> None:
    """Decide about a mail of which nobody knows whether it was taken."""
    from notifier.notification import change

    async def resolved(connection: "AsyncConnection", wanted: "UUID", asked: "Asked") -> "list[Deed]":
        return await change.resolve(connection, wanted, how, asked)

    output.run(_change(id_, comment, resolved))


async def _change(
    id_: str, comment: str, make: "Callable[[AsyncConnection, UUID, Asked], Awaitable[list[Deed]]]"
) -> None:
    from notifier import audit
    from notifier.notification import find

    wanted = _uuid(id_)
    async with open_for_writing() as parts, parts.database.write() as connection:
        asked = _asked(comment, parts.clock.now())
        for deed in await make(connection, wanted, asked):
            await audit.record(connection, deed, audit.Doer(actor=asked.actor, at=asked.at))
        view = await find.one(connection, None, wanted)
    print(view.status)


def operator() -> str:
    """Who sits at the terminal, as far as the system knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under an id without a name
        name = str(os.getuid())
    return f"operator:{name}"[:64]


def _uuid(text: str) -> "UUID":
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError as error:
        raise Failed(f"{text!r} is not the id of a notification", output.WRONG_USE) from error


def plain(words: str) -> str:
    """Without what a terminal would obey: these words come from relays and callers."""
    return "".join(character if character.isprintable() else " " for character in words)


def text(value: datetime | None) -> str:
    """A time as it is read at a terminal."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value is not None else "-"


def _exactly(value: object) -> str:
    """As the API writes it."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
