"""`show`, `unknown`, `cancel`, `retry` and `resolve`: an operator looks at one mail, and decides about it."""

import getpass
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.options import Json
from notifier.cli.output import CommandError
from notifier.cli.process_parts import open_for_writing
from notifier.states import Reason, Resolution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.audit import AuditRecord
    from notifier.lookup.notification_view import NotificationView
    from notifier.lookup.timeline import TimelineItem
    from notifier.status.notification_actions import ChangeRequest

MAX_LISTED = 1000
Id = Annotated[str, typer.Argument(metavar="ID", help="The notification's id.")]
Comment = Annotated[str, typer.Option(help="Why; kept in the timeline.")]


def register_notification_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(show)
    app.command()(unknown)
    app.command()(cancel)
    app.command()(retry)
    app.command()(resolve)


# -- looking -------------------------------------------------------------------------------------


def show(id_: Id, as_json: Json = False) -> None:
    """What became of a notification, and why: its status and everything that happened to it."""
    output.run_command(_show(id_, as_json=as_json))


async def _show(id_: str, *, as_json: bool) -> None:
    from notifier.api.notifications import models
    from notifier.lookup import notification_view, timeline
    from notifier.runtime import process_parts

    wanted = _uuid(id_)
    async with process_parts.open_process_parts(output.load_settings()) as parts:
        async with parts.database.read() as connection:
            view = await notification_view.get_notification(connection, None, wanted)
            items = await timeline.get_timeline(connection, None, wanted)
        now = parts.clock.now()
    if as_json:
        shown = models.build_notification_reply(view, now) | {
            "events": [models.build_event_reply(item) for item in items]
        }
        print(json.dumps(shown, default=_exactly))
        return
    status = models.get_shown_status(view.status, view.send_at, now)
    print(f"{view.id}  {view.template} v{view.template_version}  to {strip_control_characters(view.recipient)}\n")
    print(f"status    {status}" + (f" ({view.reason})" if view.reason else ""))
    print(f"why       {strip_control_characters(view.detail or '-')}")
    if view.uncertain_at is not None:
        print(f"unsure    since {format_time(view.uncertain_at)}: a relay may have taken it without saying so")
    print(f"what now  {_what_now(view)}\n")
    for item in items:
        print(_line(item))


def _what_now(view: "NotificationView") -> str:
    """What happens next, by itself or if somebody does something."""
    from notifier.states import WAITING_STATUSES, EntryState, Status

    until = format_time(view.expires_at)
    if view.entry_state is EntryState.HELD:
        return f"waits for a person until {until}: notifier resolve {view.id} --as sent|failed|resend"
    if view.entry_state is EntryState.LEASED:
        return "a sender has it in hand"
    if view.due_at is not None and view.status in WAITING_STATUSES:
        return f"is due at {format_time(view.due_at)}; given up after {until}"
    if view.status in (Status.FAILED, Status.EXPIRED):
        return f"nothing; to send it again: notifier retry {view.id}"
    if view.status is Status.UNKNOWN:
        return f"nothing; to decide: notifier resolve {view.id} --as sent|failed|resend"
    return "nothing: it has ended"


def _line(item: "TimelineItem") -> str:
    parts = [format_time(item.at), item.kind.ljust(9)]
    if item.attempt is not None:
        took = f" in {item.attempt.duration_ms} ms" if item.attempt.duration_ms is not None else ""
        parts.append(f"{item.attempt.number}, {item.attempt.relay or 'the sender died'}{took}, {item.attempt.phase}:")
    parts += [strip_control_characters(item.detail)] if item.detail else []
    parts += [f"(by {item.actor})"] if item.actor else []
    return "  ".join(parts)


def unknown(as_json: Json = False) -> None:
    """Mails of which nobody knows whether they were taken, and that wait for a person; oldest first."""
    output.run_command(_unknown(as_json=as_json))


async def _unknown(*, as_json: bool) -> None:
    from notifier.lookup import notification_view
    from notifier.runtime import process_parts

    async with process_parts.open_process_parts(output.load_settings()) as parts, parts.database.read() as connection:
        found = await notification_view.list_held_unknown(connection, limit=MAX_LISTED)
    rows = [
        {
            "id": str(view.id),
            "to": strip_control_characters(view.recipient),
            "template": view.template,
            "since": format_time(view.uncertain_at),
            "until": format_time(view.expires_at),
            "reason": view.reason,
        }
        for view in found
    ]
    output.print_rows(rows, as_json=as_json)


# -- deciding ------------------------------------------------------------------------------------


def cancel(id_: Id, comment: Comment = "") -> None:
    """See that a mail is never sent. Exit 1 if it may be on its way, or has ended."""
    from notifier.status import notification_actions

    output.run_command(_change(id_, comment, notification_actions.cancel_notification))


def retry(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="The notification's id.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Instead of an ID: all that failed for this reason.")] = None,
    comment: Comment = "",
) -> None:
    """Send a failed or expired mail again, with the same bytes; or all mails that failed for a reason."""
    from notifier.status import notification_actions

    if (id_ is None) == (reason is None):
        raise CommandError("give the ID of a notification, or --reason for all that failed for it", output.USAGE_ERROR)
    if id_ is not None:
        output.run_command(_change(id_, comment, notification_actions.retry_notification))
    elif reason is not None:
        output.run_command(_retry_all(reason, comment))


async def _retry_all(reason: Reason, comment: str) -> None:
    """Each in the order in which it was accepted; what somebody else changes meanwhile is passed over."""
    from uuid import UUID

    from notifier.status import notification_actions

    async with open_for_writing() as parts:
        started, last, retried = parts.clock.now(), UUID(int=0), 0
        while True:
            async with parts.database.write() as connection:
                found = await notification_actions.list_failed_ids(connection, reason, after=last, until=started)
                for id_ in found:
                    retried += await _retry_one(connection, id_, _asked(comment, started))
            if not found:
                break
            last = found[-1]
    print(f"retried {retried}")


async def _retry_one(connection: "AsyncConnection", id_: "UUID", asked: "ChangeRequest") -> bool:
    from notifier import audit
    from notifier.errors import NotFoundError
    from notifier.status import notification_actions

    try:
        async with connection.begin_nested():
            deeds = await notification_actions.retry_notification(connection, id_, asked)
    except (notification_actions.NotPossibleError, NotFoundError):
        return False
    for deed in deeds:
        await audit.write_audit_record(connection, deed, audit.Actor(name=asked.actor, at=asked.at))
    return True


def _asked(comment: str, at: datetime) -> "ChangeRequest":
    """What is asked for at this terminal."""
    from notifier.states import TransitionCause
    from notifier.status import notification_actions

    words = comment.encode(errors="replace").decode()
    if len(words) > notification_actions.MAX_COMMENT_LENGTH:
        raise CommandError(
            f"--comment: at most {notification_actions.MAX_COMMENT_LENGTH} characters", output.USAGE_ERROR
        )
    return notification_actions.ChangeRequest(
        actor=get_operator_name(), cause=TransitionCause.PERSON, rights=None, at=at, comment=words
    )


def resolve(
    id_: Id,
    how: Annotated[Resolution, typer.Option("--as", help="It was sent, it failed, or send it again.")],
    comment: Comment = "",
) -> None:
    """Decide about a mail of which nobody knows whether it was taken."""
    from notifier.status import notification_actions

    async def resolved(connection: "AsyncConnection", wanted: "UUID", asked: "ChangeRequest") -> "list[AuditRecord]":
        return await notification_actions.resolve_notification(connection, wanted, how, asked)

    output.run_command(_change(id_, comment, resolved))


async def _change(
    id_: str, comment: str, make: "Callable[[AsyncConnection, UUID, ChangeRequest], Awaitable[list[AuditRecord]]]"
) -> None:
    from notifier import audit
    from notifier.lookup import notification_view

    wanted = _uuid(id_)
    async with open_for_writing() as parts, parts.database.write() as connection:
        asked = _asked(comment, parts.clock.now())
        for deed in await make(connection, wanted, asked):
            await audit.write_audit_record(connection, deed, audit.Actor(name=asked.actor, at=asked.at))
        view = await notification_view.get_notification(connection, None, wanted)
    print(view.status)


def get_operator_name() -> str:
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
        raise CommandError(f"{text!r} is not the id of a notification", output.USAGE_ERROR) from error


def strip_control_characters(words: str) -> str:
    """Without what a terminal would obey: these words come from relays and callers."""
    return "".join(character if character.isprintable() else " " for character in words)


def format_time(value: datetime | None) -> str:
    """A time as it is read at a terminal."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value is not None else "-"


def _exactly(value: object) -> str:
    """As the API writes it."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
